#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Unmodified programs under the shim on kernel sockets, at both ends; with --all as servers and as clients alone, too."""
import sys

from matrix import Side, Tap, need_shim, run_rows

POSIX = {"LIBOS": "posix"}


def main():
    need_shim()
    tap = Tap()
    sides = [(POSIX, POSIX, "both under the shim")]
    if "--all" in sys.argv:
        sides += [(POSIX, None, "server under the shim"), (None, POSIX, "clients under the shim")]
    for server, client, where in sides:
        a, b = Side("127.0.0.1", server), Side("127.0.0.1", client)
        try:
            run_rows(tap, a, b, where)
        finally:
            a.close()
            b.close()
    tap.done()


main()
