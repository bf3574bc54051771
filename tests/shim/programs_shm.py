#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 200
"""Unmodified programs under the shim over shared memory, at both ends; with --all more of them."""
import sys

from matrix import Side, Tap, need_shim, run_rows

SHM = {"LIBOS": "shm"}
FEW = ("redis-server, redis-cli, redis-benchmark", "node")
MORE = FEW + ("redis-py", "memcached with threads", "python's http.server, curl, wget", "python's asyncio", "nginx, wrk, ab")


def main():
    need_shim()
    tap = Tap()
    a, b = Side("127.0.0.1", SHM), Side("127.0.0.1", SHM)
    try:
        run_rows(tap, a, b, "over shared memory", MORE if "--all" in sys.argv else FEW)
    finally:
        a.close()
        b.close()
    tap.done()


main()
