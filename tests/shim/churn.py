#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Connections that come and go, under the shim at both ends: nothing is left of them. A number is how many thousand."""
import os
import sys

from matrix import Side, Tap, Wrong, need, need_shim, port, until

POSIX = {"LIBOS": "posix"}
WARM, GROWTH_KIB = 4000, 1024


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def churn(client, address, p, count):
    """One connection a request."""
    said = client.run(need("redis-benchmark"), "-h", address, "-p", p, "-c", "20", "-k", "0", "-n", str(count), "-t", "get", "-q", timeout=200)
    if b"requests per second" not in said:
        raise Wrong("redis-benchmark: %r" % said)


def main():
    need_shim()
    tap = Tap()
    thousands = int(next((word for word in sys.argv[1:] if word.isdigit()), "12"))
    server, client = Side("127.0.0.1", POSIX), Side("127.0.0.1", POSIX)
    p = port()
    try:
        it = server.start(need("redis-server"), "--port", p, "--bind", server.address, "--save", "")
        until(lambda: client.run(need("redis-cli"), "-p", p, "ping") == b"PONG\n", it, server)
        churn(client, server.address, p, WARM)
        before, fds = resident_kib(it.pid), descriptors(it.pid)
        churn(client, server.address, p, thousands * 1000)
        grown = resident_kib(it.pid) - before
        tap.ok(grown < GROWTH_KIB, "a server's memory after %d thousand connections" % thousands, ["%d KiB more than after %d" % (grown, WARM)])
        until(lambda: descriptors(it.pid) <= fds, it, server)
        tap.ok(True, "and its descriptors")
    except Wrong as wrong:
        tap.ok(False, "connections come and go", [wrong])
    finally:
        server.close()
        client.close()
    tap.done()


main()
