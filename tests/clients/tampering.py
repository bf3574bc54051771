# SPDX-License-Identifier: MIT
"""Calls on files of a running server that fail, or last, as strace lets them."""
import os
import signal
import subprocess

from here import need

STRACE = need("strace")


class Tampering:
    """A strace that lets calls on some files fail, or last, for as long as this is open."""

    def __init__(self, server, call, what, names):
        paths = [word for name in names for word in ("-P", os.path.join(server.dir, name), "-P", name)]
        self.process = subprocess.Popen([STRACE, "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                                         "inject=%s:%s" % (call, what), *paths, "-p", str(server.pid)],
                                        stderr=subprocess.PIPE, text=True)
        self.attached = False
        for line in self.process.stderr:  # it ends if the tracer does
            self.attached = self.attached or "attached" in line
            if self.attached:
                break

    def __enter__(self):
        if not self.attached:
            self.__exit__()
            raise RuntimeError("strace cannot attach")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process.stderr.close()


def can_attach(server):
    try:
        with Tampering(server, "fsync", "error=EIO", ["nothing"]):
            return True
    except RuntimeError:
        return False
