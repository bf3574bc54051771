#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""One server on several libOSes at once: its TCP on a device of ours (AF_PACKET, DPDK's shared memory) for clients and a replica, a Unix socket of the
kernel's for the operator, shared memory for programs of this host; and TCP of the kernel's with RDMA beside it (over the double of libibverbs, which has
no clients of other processes). INFO and CLIENT LIST show each, what one writes the others read, none
holds up another, and a client that is killed on one is nothing to the others."""
import os
import signal
import time

from rig import BUILD, DEVICES, LINUX4, PATIENCE, PORT, RAW4, SERVER, Process, Redis, Rig, need_all
from resp import Client
from tap import Tap

SECONDS = 1.0
LOAD = os.path.join(BUILD, "tools", "bench", "load")


def until(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def text(client, *words):
    return client.call(*words).text().decode()


def load_on_shm(rig, path, *words):
    """Our load generator at the server's path, in a process whose libOS is shared memory."""
    return Process(rig, [LOAD, "-s", path] + [str(word) for word in words], "shm", [], lambda p: True, in_linux=True)


def replica_at(rig, config):
    """A server of ours at the wire's other end, which follows the one at this end over the wire."""
    folder = os.path.join(rig.dir, "replica")
    os.mkdir(folder)
    words = [SERVER, "--port", "0", "--save", "", "--dir", folder, "--unixsocket", os.path.join(folder, "s.sock"), "--replicaof", RAW4, str(PORT), "--enable-debug-command", "local"]
    libos = rig.device.libos if config else "posix"
    return Process(rig, words, libos, [line.replace("DIR", rig.dir) for line in config], lambda p: "eady to accept connections" in p.text(), in_linux=True)


def checks(tap, rig, rdma=()):
    on = rig.device.name + ": "

    def ok(passed, claim, *notes):
        tap.ok(passed, on + claim, [] if passed else list(notes) + server.tail())
    path = os.path.join(rig.dir, "p")
    server = rig.server("--shm-path", path, "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes", *rdma)
    operator = Client(os.path.join(rig.dir, "s.sock"), PATIENCE)
    peer = rig.device.peer + ["address: [%s/24]" % LINUX4] if rig.device.peer else []
    replica_at(rig, peer)
    replica = Client(os.path.join(rig.dir, "replica", "s.sock"), PATIENCE)
    ok(until(lambda: "master_link_status:up" in text(replica, "INFO", "replication")), "a replica follows by TCP", text(replica, "INFO", "replication"))
    lines = [line for line in text(operator, "INFO", "server").splitlines() if line.startswith("listener")]
    wanted = ["listener0:name=tcp", "listener1:name=unix", "listener3:name=shm"] + ["listener4:name=rdma"] * bool(rdma)
    ok([line.split(",")[0] for line in lines] == wanted and path in lines[2],
       "INFO shows each listener", lines)

    runs = [load_on_shm(rig, path, "-t", "set", "-c", 20, "--seconds", SECONDS)]
    if not peer: # the kernel is at the other end, and anybody's program
        runs.append(Process(rig, [LOAD, "-h", RAW4, "-p", str(PORT), "-t", "incr", "-c", "20", "--seconds", str(SECONDS)], "posix", [], lambda p: True, in_linux=True))
        tcp = Redis()
        tcp.call("SET", "by-tcp", "1")
    until(lambda: (path + ":0") in text(operator, "CLIENT", "LIST"))
    clients = text(operator, "CLIENT", "LIST").splitlines()
    shown = [sum(where in line for line in clients) for where in ("laddr=%s:%d" % (RAW4, PORT), "addr=%s:0" % path, "addr=%s/s.sock:0" % rig.dir)]
    ok(shown[0] >= (2 if not peer else 1) and shown[1] >= 1 and shown[2] >= 1 and any("flags=S" in line for line in clients),
       "CLIENT LIST shows who came by which", shown, *clients[:6])
    before = text(operator, "DBSIZE")
    pings = 0
    while any(run.alive() for run in runs):
        pings += text(operator, "PING") == "PONG"
    for run in runs:
        ok(run.process.wait() == 0 and "rror" not in run.text(), "served beside the others: " + " ".join(run.words[1:5]), *run.tail())
    ok(pings > 10 and int(text(operator, "DBSIZE")) >= int(before), "the operator is answered all the while (%d times)" % pings)

    victim = load_on_shm(rig, path, "-t", "set", "-c", 20, "-P", 16, "-n", 100000000)
    until(lambda: (path + ":0") in text(operator, "CLIENT", "LIST"))
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()
    gone = until(lambda: (path + ":0") not in text(operator, "CLIENT", "LIST"))
    ok(gone and text(operator, "SET", "after", "1") == "OK" and "master_link_status:up" in text(replica, "INFO", "replication"),
       "a client of shared memory is killed: the others do not notice")
    text(operator, "WAIT", "1", int(PATIENCE * 1000))
    ok(text(operator, "DEBUG", "DIGEST") == text(replica, "DEBUG", "DIGEST"), "the replica has what came by each of them")
    status = server.stop()
    ok(status == 0, "the server ends in order", status)


need_all(DEVICES["packet"])
tap = Tap()
DOUBLE = os.path.join(BUILD, "double")
for name, plugin in (("packet", None), ("dpdk net_memif", "libdemikernel-dpdk.so"), ("posix", "double/libdemikernel-rdma.so")):
    if plugin and not os.path.exists(os.path.join(BUILD, plugin)):
        tap.skip(name + ": several libOSes", "no %s: the library it needs is not installed" % plugin)
        continue
    os.environ["DEMI_PLUGIN_PATH"] = DOUBLE if name == "posix" else BUILD
    rdma = ["--rdma-port", str(PORT + 1), "--rdma-bind", "10.77.0.1", "--rdma-device", "double_rxe0"] if name == "posix" else []
    with Rig(DEVICES[name]) as rig:
        try:
            checks(tap, rig, rdma)
        except Exception as error: # noqa: BLE001: whatever goes wrong is one case of this device
            tap.ok(False, name + ": all of them were tried", [repr(error)])
tap.done()
