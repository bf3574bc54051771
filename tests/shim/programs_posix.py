#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Unmodified programs under the shim on kernel sockets, at both ends; with --all every row, and each end alone, too."""
import sys

from matrix import ROWS, Side, Tap, need_shim, run_rows

POSIX = {"LIBOS": "posix"}
FEW = ("redis-server, redis-cli, redis-benchmark", "redis-server with 1,000 connections", "memcached with threads", "python's http.server, curl, wget",
       "nginx with workers", "node", "python, pre-forked", "nc", "haproxy", "socat", "UDP by python")


def main():
    need_shim()
    tap = Tap()
    every = len(sys.argv) > 1
    sides = [(POSIX, POSIX, "both under the shim")]
    if "--all" in sys.argv:
        sides += [(POSIX, None, "server under the shim"), (None, POSIX, "clients under the shim")]
    for server, client, where in sides:
        a, b = Side("127.0.0.1", server), Side("127.0.0.1", client)
        try:
            run_rows(tap, a, b, where, ROWS if every else FEW)
        finally:
            a.close()
            b.close()
    tap.done()


main()
