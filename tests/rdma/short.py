# SPDX-License-Identifier: MIT
"""Connections that come and go: short.py ADDRESS PORT COUNT [valkey]. Each says PING and leaves, every third in the middle of a reply;
then the server has nothing more of them than before. One line a claim on stdout: sockets.py runs it in a guest."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from demi import Client  # noqa: E402

address, port, count, valkey = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "valkey" in sys.argv[4:]


def clients(c):
    return int(next(line for line in c.call("INFO", "clients").decode().splitlines() if line.startswith("connected_clients")).split(":")[1])


def held(c):
    """Descriptors, and what may be written to or locked, of the server."""
    pid = next(line for line in c.call("INFO", "server").decode().splitlines() if line.startswith("process_id")).split(":")[1]
    with open("/proc/%s/status" % pid) as f:
        pinned = sum(int(line.split()[1]) for line in f if line.startswith("VmPin") or line.startswith("VmLck"))
    return len(os.listdir("/proc/%s/fd" % pid)), pinned


def is_left(c, before):
    """Nobody else, and no more than before: what the device had not let go of by then is gone, too."""
    return clients(c) == 1 and all(now <= then for now, then in zip(held(c), before))


watcher = Client(address, port, valkey)
for i in range(3):
    Client(address, port, valkey).close()
before = held(watcher)
fine = 0
for i in range(count):
    c = Client(address, port, valkey)
    if i % 3 == 2:
        c.send("PING")
        fine += 1
    else:
        fine += c.call("PING") == b"PONG"
    c.close()
print("%sok %d connections that come and go" % ("" if fine == count else "not ", count))
end = time.monotonic() + 30
while not is_left(watcher, before) and time.monotonic() < end:
    time.sleep(0.2)
gone = is_left(watcher, before)
if not gone:
    print("# %d clients, %r, before %r" % (clients(watcher), held(watcher), before))
print("%sok the server keeps nothing of them" % ("" if gone else "not "))
