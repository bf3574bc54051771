#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""The life of a device: a cable pulled, an interface switched off, removed and made again, another MTU, another MAC; what is said at the start;
a second process that must not harm the first. By AF_PACKET and, where the plug-in is there, by AF_XDP."""
import os
import re
import socket
import subprocess
import sys
import time

import rig as R
from rig import BUILD, DEVICES, LINUX4, PATIENCE, RAW4, RAW6, Device, Process, Redis, Rig, guarded, need_all, sh
from tap import Tap

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def wait_for(process, text, count=1):
    """Notes: none once the log has the words so often."""
    deadline = time.monotonic() + PATIENCE
    while len(re.findall(text, process.text())) < count:
        if time.monotonic() > deadline or not process.alive():
            return ["the log does not say: " + text] + process.tail()
        time.sleep(0.02)
    return []


def counter(client, name):
    found = re.search(name + r":(\d+)", client.call("INFO", "demikernel").decode())
    return int(found.group(1)) if found else None


def ping(client=None):
    """A PING on a connection that stands, or on one of its own."""
    mine = client or Redis()
    try:
        reply = mine.call("PING")
    finally:
        if not client:
            mine.close()
    return [] if reply in (b"PONG", "PONG") else ["PING: %r" % (reply,)]


def counted(name, least):
    client = Redis()
    got = counter(client, name)
    client.close()
    return [] if got is not None and got >= least else ["%s is %s, wanted %d" % (name, got, least)]


def check_start(server, words):
    return [note for word in words for note in wait_for(server, word)]


def check_carrier(rig, server, client):
    sh("ip", "link", "set", "k0", "down")
    notes = wait_for(server, "has no carrier")
    sh("ip", "link", "set", "k0", "up")
    sh("ip", "addr", "replace", R.LINUX6 + "/64", "dev", "k0", "nodad")
    return notes + wait_for(server, "has a carrier") + ping(client) + ping() + counted("dev.carrier_lost", 1)


def check_switch(rig, server, client):
    rig.in_raw("ip", "link", "set", "r0", "down")
    notes = wait_for(server, "is switched off: ip link set r0 up")
    rig.in_raw("ip", "link", "set", "r0", "up")
    return notes + wait_for(server, "is switched on|has a carrier", 2) + ping(client) + ping() + counted("dev.went_down", 1)


def check_mtu(rig, server, client):
    notes = []
    value = b"v" * 100000
    for mtu in (1300, 1500, 3000 if rig.device.libos == "packet" else 1700): # AF_XDP's chunks do not grow
        sh("ip", "link", "set", "k0", "mtu", str(mtu))
        rig.in_raw("ip", "link", "set", "r0", "mtu", str(mtu))
        notes += wait_for(server, "the MTU of r0 .* is %d now" % mtu)
        client.call("SET", "mtu", value)
        if client.call("GET", "mtu") != value:
            notes.append("a value changed at an MTU of %d" % mtu)
    return notes + counted("dev.mtu_changed", 3)


def check_mac(rig, server, client):
    rig.in_raw("ip", "link", "set", "r0", "address", "02:00:00:00:aa:01")
    return wait_for(server, "the MAC of r0 .* is 02:00:00:00:aa:01") + ping(client) + ping() + counted("dev.mac_changed", 1)


def check_removed(rig, server, times):
    rig.in_raw("ip", "link", "del", "r0")
    notes = wait_for(server, "has gone", times)
    time.sleep(0.3)
    rig.make_veth()
    return notes + wait_for(server, "is there again", times) + ping() + counted("dev.gone", times) + counted("dev.returned", times)


def check_asleep(server):
    """A device that has gone costs nothing."""
    def ticks():
        with open("/proc/%d/stat" % server.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(1)
    used = ticks() - before
    return [] if used <= 30 else ["%d ms of CPU in a second" % (used * 10)]


def check_gone_and_asleep(rig, server):
    rig.in_raw("ip", "link", "del", "r0")
    notes = wait_for(server, "has gone", 3) + check_asleep(server)
    rig.make_veth()
    return notes + wait_for(server, "is there again", 3) + ping()


def checks(tap, rig):
    on = rig.device.name + ": "
    server = rig.server("--libos-spin-us", "0")
    client = Redis()
    words = ["r0 .*MAC [0-9a-f:]{17}", "MTU 1500", "offloads: ", {"packet": "r0 by AF_PACKET", "xdp native": "r0 by AF_XDP in native mode, copy", "xdp skb": "r0 by AF_XDP in skb mode, copy"}[rig.device.name], "queue 1 of 1", "addresses: " + RAW4 + "/24 " + RAW6 + "/64"]
    guarded(tap, on + "the start line names device, MAC, MTU, offloads, queues, addresses", server, check_start, server, words)
    guarded(tap, on + "a carrier lost and found", server, check_carrier, rig, server, client)
    guarded(tap, on + "switched off and on", server, check_switch, rig, server, client)
    guarded(tap, on + "another MTU, smaller and larger", server, check_mtu, rig, server, client)
    guarded(tap, on + "another MAC", server, check_mac, rig, server, client)
    client.close()
    for times in (1, 2):
        guarded(tap, on + "removed and made again, time %d" % times, server, check_removed, rig, server, times)
    guarded(tap, on + "one that has gone costs no CPU", server, check_gone_and_asleep, rig, server)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def check_tap_switch(rig, server):
    sh("ip", "link", "set", "dktap", "down")
    notes = wait_for(server, "dktap.* is switched off")
    sh("ip", "link", "set", "dktap", "up")
    return notes + wait_for(server, "dktap.* is switched on") + ping()


def check_tap_removed(rig, server):
    sh("ip", "link", "del", "dktap")
    notes = wait_for(server, "dktap.* has gone")
    sh("ip", "tuntap", "add", "dev", "dktap", "mode", "tap")
    notes += wait_for(server, "dktap.* is there again")
    rig.address_linux("dktap")
    return notes + ping() + counted("dev.returned", 1)


def checks_tap(tap, rig):
    on = rig.device.name + ": "
    server = rig.server()
    guarded(tap, on + "the start line names it", server, check_start, server, ["dktap, a TAP device, MAC [0-9a-f:]{17}"])
    guarded(tap, on + "switched off and on", server, check_tap_switch, rig, server)
    guarded(tap, on + "removed and made again", server, check_tap_removed, rig, server)
    server.stop()


def checks_no_address(tap, rig):
    """Nobody has said which address, and nobody answers."""
    on = rig.device.name + ": "
    server = Process(rig, [R.SERVER, "--port", str(R.PORT), "--save", ""], rig.device.libos, rig.device.config + ["dhcp_wait_ms: 300"],
                     lambda p: "eady to accept" in p.text())
    guarded(tap, on + "DHCP says that it asks", server, wait_for, server, "asking for an address by DHCP on r0 .* 300 ms")
    guarded(tap, on + "no address is a warning, with the command that sets one", server, wait_for, server,
            "no address yet.*--libos-address.*ip addr add 10.0.0.2/24 dev r0")
    server.stop()
    path = os.path.join(rig.dir, "server.log")

    def lines(_=None):
        with open(path, "a+", encoding="utf-8") as log:
            log.seek(0)
            return log.read()

    server = Process(rig, [R.SERVER, "--port", str(R.PORT), "--save", "", "--logfile", path], rig.device.libos, rig.config(),
                     lambda p: "eady to accept" in lines())
    found = re.search(r"\d+:M .* \* packet: r0 by AF_PACKET", lines())
    tap.ok(found, on + "the library's lines stand in the server's log file, as its own", lines().splitlines()[-5:])
    tap.ok("packet:" not in server.text(), on + "... and nowhere else", server.tail())
    server.stop()


def check_sums(rig, server):
    sh("ethtool", "-K", "k0", "tx", "on")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(400):
            sock.sendto(b"text", (RAW4, 9))
            time.sleep(0.001)
    notes = wait_for(server, "wrong checksums came in by r0 .*ethtool -K")
    sh("ethtool", "-K", "k0", "tx", "off")
    notes += ping()
    count = server.text().count("wrong checksums")
    return notes + ([] if count == 1 else ["it was said %d times" % count])


def checks_sums(tap, rig):
    server = rig.server()
    guarded(tap, rig.device.name + ": a flood of wrong checksums is told once, with the remedy", server, check_sums, rig, server)
    server.stop()


MEMIF = "dpdk net_memif, our end the client"
DEVICES[MEMIF] = Device(MEMIF, "dpdk", DEVICES["dpdk net_memif"].peer, veth=False, plugin="dpdk", peer=DEVICES["dpdk net_memif"].config)


def check_talks(rig):
    """Our load generator at the other end, a process of its own each time."""
    status, said = rig.client([os.path.join(BUILD, "tools/bench/load"), "-h", RAW4, "-p", str(R.PORT), "-n", "2000", "-c", "4"])
    return [] if status == 0 and "requests/s" in said else ["status %s" % status] + said.splitlines()[-4:]


def checks_memif(tap, rig):
    """A client of memif, whose server is another process again and again."""
    on = rig.device.name + ": "
    config = [line.replace("DIR", rig.dir) for line in rig.device.peer] + ["address: %s/24" % LINUX4]
    path = os.path.join(rig.dir, "m")
    first = Process(rig, [R.SERVER, "--port", "6402", "--save", ""], "dpdk", config, lambda p: os.path.exists(path), in_linux=True)
    server = rig.server()
    guarded(tap, on + "the start line names the device", server, check_start, server, ["net_memif0 by DPDK's net_memif, MAC", "polled"])
    time.sleep(0.5) # the link is up, and was seen to be
    first.process.kill()
    first.process.wait()
    guarded(tap, on + "the server at the other end is killed", server, wait_for, server, "net_memif0 by DPDK's net_memif has no carrier")
    for times in (1, 2, 3):
        guarded(tap, on + "another one is connected to, time %d" % times, server, check_talks, rig)
        guarded(tap, on + "... and told", server, wait_for, server, "is there again|has a carrier|at the other end yet", times)
        guarded(tap, on + "... and its end", server, wait_for, server, "has no carrier", times + 1)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def checks_vhost(tap, rig):
    on = rig.device.name + ": "
    server = rig.server()
    guarded(tap, on + "nobody at the other end yet", server, wait_for, server, "net_vhost0 by DPDK's net_vhost has no carrier")
    for times in (1, 2, 3):
        guarded(tap, on + "somebody comes, time %d" % times, server, check_talks, rig)
        guarded(tap, on + "... and is told", server, wait_for, server, "has a carrier", times)
        guarded(tap, on + "... and has gone", server, wait_for, server, "has no carrier", times + 1)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def checks_dpdk_interface(tap, rig):
    """An interface of the kernel's under a driver of DPDK's."""
    on = rig.device.name + ": "
    server = rig.server()
    client = Redis()
    guarded(tap, on + "the start line names the interface", server, check_start, server, ["r0 by DPDK's net_af_packet, MAC", "addresses: " + RAW4])
    guarded(tap, on + "a carrier lost and found", server, check_carrier, rig, server, client)
    rig.in_raw("ip", "link", "del", "r0")
    guarded(tap, on + "removed", server, wait_for, server, "r0 by DPDK's net_af_packet has gone")
    tap.ok(server.alive(), on + "the server lives on")
    server.stop()


def run(name, checks=checks):
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    device = DEVICES[name]
    if device.plugin and not os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % device.plugin)):
        return
    with Rig(device) as rig:
        try:
            checks(tap, rig)
        except RuntimeError as error:
            tap.ok(False, name + ": our program starts", [error])


need_all(DEVICES["packet"])
tap = Tap()
for name in ("packet", "xdp native", "xdp skb"):
    run(name)
run("tap", checks_tap)
run("packet", checks_no_address)
run("xdp skb", checks_sums)
run(MEMIF, checks_memif)
run("dpdk vhost", checks_vhost)
run("dpdk net_af_packet", checks_dpdk_interface)
tap.done()
