# SPDX-License-Identifier: MIT
"""What the tests of this folder share: our server, a scratch folder, programs that must be there."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from programs import need  # noqa: E402
from servers import OURS, REDIS, Server, free_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

FOLDER = os.path.dirname(os.path.abspath(__file__))


def need_server():
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)


def run(words, timeout=100, **more):
    """Exit status and all output; a program that hangs has status None."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, text=True,
                              errors="replace", **more)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return None, (late.output or b"").decode("utf-8", "replace") if isinstance(late.output, bytes) else ""


__all__ = ["FOLDER", "OURS", "REDIS", "Server", "Tap", "free_port", "need", "need_server", "run", "skip_all"]
