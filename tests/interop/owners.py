#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""A second process on a device never harms the first: it is refused, with a line that names who was there before, or lives beside it on
another port. The same with services of the kernel's own sockets."""
import os
import re
import socket
import subprocess
import sys
import time

import rig as R
from rig import BUILD, CLONE_NEWNET, DEVICES, EAL, PATIENCE, RAW4, SERVER, Device, Redis, Rig, die_with_parent, guarded, libc, must, need_all
from tap import Tap

DEVICES["packet, shared"] = Device("packet, shared", "packet", ["interface: r0"], kernel_too=True)
DEVICES["tap, two queues"] = Device("tap, two queues", "packet", ["tap: dkq"], veth=False, tap="dkq", tap_is_ours=True)
DEVICES["xdp, shared"] = Device("xdp, shared", "xdp", ["interface: r0", "mode: skb"], plugin="xdp", kernel_too=True)


def second(rig, *args, config=None, libos=None, apart=False):
    """Another server where ours are: its exit status (None: it goes on after some seconds) and what it said. apart: in a network of its own, which a
    socket file does not know of."""
    words = (["unshare", "-n"] if apart else []) + [SERVER, "--port", str(R.PORT), "--protected-mode", "no", "--save", "", "--dir", rig.dir] + list(args)
    env = {k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH")}
    env.update(LIBOS=libos or rig.device.libos, DEMI_PLUGIN_PATH=BUILD, CONFIG_PATH=os.path.join(rig.dir, "second.yaml"))
    with open(env["CONFIG_PATH"], "w", encoding="ascii") as out:
        out.write("\n".join(rig.config() if config is None else config) + "\n")

    def enter():
        if rig.program_namespace is not None:
            must(libc.setns(rig.program_namespace, CLONE_NEWNET))
        die_with_parent()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, preexec_fn=enter,
                               pass_fds=() if rig.program_namespace is None else (rig.program_namespace,))
    try:
        said, _ = process.communicate(timeout=8)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        process.kill()
        return None, process.communicate()[0]


def refused(got, *words):
    status, said = got
    missing = [word for word in words if not re.search(word, said)]
    if status == 1 and not missing:
        return []
    return ["status %s, and nothing of %s" % (status, missing)] + said.splitlines()[-5:]


def still_serves(client, count=300):
    """A connection that stood before, and new ones: none is reset."""
    for i in range(count):
        if client.call("SET", "k", i) not in (b"OK", "OK"):
            return ["SET %d failed" % i]
    for i in range(20):
        fresh = Redis()
        if int(fresh.call("GET", "k")) != count - 1:
            return ["GET on new connection %d" % i]
        fresh.close()
    return []


def check_refused_beside(rig, server, client, *words, **more):
    return refused(second(rig, **more), *words) + still_serves(client)


def check_busy_for_kernel(rig, server, client):
    """What our stack has the kernel's programs cannot get, as if it were one of them."""
    notes = []
    for address in (RAW4, "0.0.0.0"):
        with rig.socket_in_raw() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, R.PORT))
                sock.listen(1)
                notes.append("the kernel gave away %s:%d" % (address, R.PORT))
            except OSError:
                pass
    return notes + still_serves(client)


def check_beside(rig, server, client):
    """Another port: both serve."""
    other = rig.server("--port", "6400", "--unixsocket", "")
    notes = []
    for _ in range(50):
        stream = Redis(port=6400)
        notes += [] if stream.call("PING") in (b"PONG", "PONG") else ["the second one does not answer"]
        stream.close()
    notes += still_serves(client)
    other.stop()
    return notes + still_serves(client)


def checks_own_address(tap, rig):
    on = rig.device.name + ": "
    server = rig.server()
    client = Redis()
    pid = r"demikv-server \(pid %d\)" % server.process.pid
    guarded(tap, on + "a second process with the address is refused, and says who has it", server, check_refused_beside, rig, server, client,
            "in use by " + pid)
    config = [line for line in rig.config() if not line.startswith("address")] + ["address: 10.9.0.7/24"]
    guarded(tap, on + "one with another address starts", server, check_beside_address, rig, server, client, config)
    server.stop()
    again = rig.server()
    guarded(tap, on + "after its end the address is free", again, still_serves, Redis())
    again.stop()


def check_beside_address(rig, server, client, config):
    status, said = second(rig, "--port", "6401", config=config)
    notes = [] if status is None else ["status %s" % status] + said.splitlines()[-4:]
    return notes + still_serves(client)


def checks_shared(tap, rig):
    on = rig.device.name + ": "
    listener = rig.socket_in_raw()
    listener.bind((RAW4, R.PORT))
    listener.listen(4)
    me = r"\S+ \(pid %d\)" % os.getpid()
    taken = r"TCP port %d of %s, an address of the kernel's on r0, is taken by " % (R.PORT, RAW4.replace(".", r"\."))
    notes = refused(second(rig), taken + me)
    tap.ok(not notes, on + "a port where a service of the kernel's listens is refused, and says whose it is", notes)
    listener.close()
    rig.in_raw("ip", "link", "set", "lo", "up")
    local = rig.socket_in_raw()
    local.bind(("127.0.0.1", R.PORT))
    local.listen(4)
    server = rig.server()
    client = Redis()
    guarded(tap, on + "one that listens on another address is in nobody's way", server, still_serves, client)
    local.close()
    guarded(tap, on + "the kernel gives our port to nobody else", server, check_busy_for_kernel, rig, server, client)
    if rig.device.libos == "packet":
        pid = r"demikv-server \(pid %d\)" % server.process.pid
        guarded(tap, on + "a second process on the port is refused, and says who has it", server, check_refused_beside, rig, server, client, taken + pid)
        guarded(tap, on + "one on another port lives beside it", server, check_beside, rig, server, client)
    else:
        guarded(tap, on + "a second process is refused", server, check_refused_beside, rig, server, client, "another XDP program is on r0")
    server.stop()
    with rig.socket_in_raw() as sock:
        try:
            sock.bind((RAW4, R.PORT))
            notes = []
        except OSError as error:
            notes = [str(error)]
    tap.ok(not notes, on + "with the server its claim on the port has gone", notes)


def checks_tap(tap, rig):
    """With several queues the kernel itself would let anybody in."""
    on = rig.device.name + ": "
    config = rig.config() + ["queues: 2"]
    server = R.Process(rig, [SERVER, "--port", str(R.PORT), "--save", "", "--protected-mode", "no"], "packet", config,
                       lambda p: "eady to accept" in p.text())
    rig.address_linux("dkq")
    client = Redis()
    notes = refused(second(rig, config=config), r"in use by demikv-server \(pid %d\)" % server.process.pid)
    guarded(tap, on + "a second process is refused, and says who has it", server, lambda: notes + still_serves(client))
    server.stop()


def checks_socket(tap, rig):
    """memif, vhost: a socket file joins the two ends."""
    on = rig.device.name + ": "
    server = rig.server()
    local = [line.replace("DIR", rig.dir) for line in rig.device.peer] + ["address: 10.9.0.1/24"]

    def serves():
        status, said = rig.client([os.path.join(BUILD, "tools/bench/load"), "-h", RAW4, "-p", str(R.PORT), "-n", "2000", "-c", "4"])
        return [] if status == 0 and "requests/s" in said else ["status %s" % status] + said.splitlines()[-4:]

    guarded(tap, on + "it serves", server, serves)
    notes = refused(second(rig, config=[line.replace("DIR", rig.dir) for line in rig.device.config] + ["address: 10.9.0.2/24"]),
                    r"in use by demikv-server \(pid %d\)" % server.process.pid)
    guarded(tap, on + "a second process at our end is refused, and says who is there", server, lambda: notes)
    notes = refused(second(rig, config=[line.replace("DIR", rig.dir) for line in rig.device.config] + ["address: 10.9.0.2/24"], apart=True),
                    "another process serves at " + os.path.join(rig.dir, rig.device.socket_name))
    guarded(tap, on + "one in another network namespace is refused, too", server, lambda: notes)
    tap.ok(os.path.exists(os.path.join(rig.dir, rig.device.socket_name)), on + "the socket file is still there")
    guarded(tap, on + "the first one serves on", server, serves)
    peer = R.Process(rig, [SERVER, "--port", "6402", "--save", "", "--protected-mode", "no"], "dpdk", local, lambda p: "eady to accept" in p.text(), in_linux=True)
    notes = refused(second(rig, "--port", "6403", config=local), r"in use by demikv-server \(pid %d\)" % peer.process.pid)
    guarded(tap, on + "a second process at the other end is refused, too", server, lambda: notes)
    peer.stop()
    guarded(tap, on + "and the first one serves on", server, serves)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def has(plugin):
    return os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % plugin))


def run(name, checks):
    device = DEVICES[name]
    if device.plugin and not has(device.plugin) or (sys.argv[1:] and name not in sys.argv[1:]):
        return
    with Rig(device) as rig:
        try:
            checks(tap, rig)
        except RuntimeError as error:
            tap.ok(False, name + ": our program starts", [error])


need_all(DEVICES["packet"])
tap = Tap()
run("packet", checks_own_address)
run("packet, shared", checks_shared)
run("xdp, shared", checks_shared)
run("tap, two queues", checks_tap)
run("dpdk net_memif", checks_socket)
run("dpdk vhost", checks_socket)
tap.done()
