# SPDX-License-Identifier: MIT
"""Programs that a test cannot do without, by the list of tests/programs.txt."""
import os
import shutil

from tap import skip_all

LIST = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs.txt")
WHERE = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")


def packages():
    """Program -> Debian package."""
    with open(LIST, encoding="ascii") as lines:
        return dict(line.split() for line in lines if line.strip() and not line.startswith("#"))


def need(program):
    """The path of a program, or the end of this test."""
    found = shutil.which(program, path=WHERE)
    if not found:
        skip_all("no %s (Debian package %s)" % (program, packages().get(program, "build-essential")))
    return found
