# SPDX-License-Identifier: MIT
"""What the tests of this folder share: our server, a scratch folder, programs that must be there."""
import ctypes
import os
import subprocess
import sys
import time

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


def text_of(client, *words):
    return client.call(*words).text()


def digest(client):
    """Of all data."""
    return text_of(client, "DEBUG", "DIGEST")


def info(client, field, section="persistence"):
    """What INFO says; None: it does not."""
    for line in text_of(client, "INFO", section).decode().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1]
    return None


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


CLONE_NEWNS = 0x20000


def private_mounts():
    """What this process mounts from here on nobody else sees, and it goes with it. False: that may not be."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def log_has(server, text):
    with open(server.log, errors="replace") as file:
        return text in file.read()


__all__ = ["FOLDER", "OURS", "REDIS", "Server", "Tap", "digest", "free_port", "info", "log_has", "need", "need_server", "private_mounts", "run", "skip_all",
           "text_of", "wait_until"]
