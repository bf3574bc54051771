#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the case files of tests/compat/cases against redis-server and our server; TAP on stdout.

    tests/compat/cases.py [group …] [-k words-of-a-claim]

DEMIKV_SERVER names our server (build/demikv-server); /usr/bin/redis-server there checks the cases themselves: no differences.
"""
import argparse
import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import compat  # noqa: E402
import versions  # noqa: E402
from resp import Closed, Silent  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from older import our_server  # noqa: E402


def run_one(sides, servers, steps):
    """Differences, with a crash or a hang of our server among them; both are there again afterwards."""
    try:
        notes = compat.run_section(sides, steps)
    except (OSError, Closed, Silent, ValueError) as error:
        notes = ["%s: %s" % (type(error).__name__, error)]
    for i, server in enumerate(servers):
        if server.revive():
            notes += ["%s died; the end of its log:" % server.binary] + server.log_tail()
            sides[i] = compat.Side(server)
    return notes


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("groups", nargs="*")
    options.add_argument("-k", default="", help="only claims that contain this")
    options = options.parse_args()
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    paths = sorted(glob.glob(os.path.join(HERE, "cases", "*.txt")))
    tap = Tap()
    with Server(REDIS) as theirs, our_server() as ours:
        sides = [compat.Side(theirs), compat.Side(ours)]
        for path in paths:
            group = os.path.basename(path)[:-4]
            if options.groups and group not in options.groups:
                continue
            for claim, steps in compat.load(path):
                if options.k in claim:
                    notes = run_one(sides, (theirs, ours), steps)
                    tap.ok(not notes, "%s: %s" % (group, claim), notes)
    if not options.groups and not options.k:
        tap.ok(not versions.unused(), "every difference between versions that is listed is there", versions.unused())
        tap.ok(not versions.unused_of_ours(), "and every one that is wanted", versions.unused_of_ours())
    tap.done()


main()
