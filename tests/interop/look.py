#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""What others think of our frames: tshark of a capture our own writer made (`libos-pcap`), nmap of our stack.

tshark is told to compute every checksum. Without loss on the wire nothing may be malformed, no checksum bad, and of ours no segment
missing, out of order or acknowledged twice, none sent again but a probe or two of a peer that a busy machine kept silent. What it calls a
window update, a full or a closed window is flow control at work, and a reset is what a client of check_short does on purpose. A D-SACK
(RFC 2883) is no fault of ours, though tshark warns of it, where the peer has sent something twice: so many and no more.
"""
import os
import re

from rig import (PORT, RAW4, RAW6, ROOT, Redis, check_bulk, check_cli, check_echo, check_many, check_short, check_udp, guarded, need, run, run_program)

BROKEN = ("_ws.malformed or _ws.short or ip.checksum.status == 0 or tcp.checksum.status == 0 or udp.checksum.status == 0"
          " or icmp.checksum.status == 0 or icmpv6.checksum.status == 0"
          " or (_ws.expert.severity >= 0x00600000 and not tcp.connection.rst and not tcp.analysis.flags"
          " and not tcp.options.sack.dsack)")
SUSPICIOUS = BROKEN + " or tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment or tcp.analysis.out_of_order or tcp.analysis.duplicate_ack"
AGAIN = "tcp.analysis.retransmission"
TWICE = "tcp.options.sack.dsack"
PROBES = 5 # sent again after a silence of some ms (RFC 8985's tail loss probe): what a busy machine makes of a busy peer
# What is inside of the segments is not asked about: where a command is cut is the peer's business, and whatever random bytes resemble (RESP
# from its middle, Thrift …) would be called malformed.
BYTES_ONLY = ["-d", "tcp.port==%d-%d,data" % (PORT, PORT + 2), "-d", "udp.port==%d-%d,data" % (PORT, PORT + 2)]
OPTIONS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-n"] + BYTES_ONLY
# Linux writes a checksum of 0 as 0xffff, TCP's too (skb_checksum_help()), one segment of 65,536; tshark warns of it (RFC 1624). Ours never.
LINUX_ZERO = " and not (tcp.checksum == 0xffff and not %s)"
OURS = "(ip.src == %s or ipv6.src == %s)" % (RAW4, RAW6)


def tshark(path, wanted):
    status, output = run_program([need("tshark"), "-r", path, "-Y", wanted] + OPTIONS, timeout=60)
    return status, [line for line in output.splitlines() if line.strip() and "Running as user" not in line]


def check_capture(rig, path, wanted, most):
    status, lines = tshark(path, wanted)
    if status == 0 and len(lines) <= most:
        return []
    return ["status %s, %d frames" % (status, len(lines))] + lines[:10]


def check_twice(rig, path):
    """What we say came twice did: the peer sent as much again, at least."""
    told, ours = tshark(path, OURS + " and " + TWICE)
    seen, theirs = tshark(path, "not %s and (%s or tcp.analysis.spurious_retransmission)" % (OURS, AGAIN))
    return [] if told == 0 and seen == 0 and len(ours) <= len(theirs) else ["%d D-SACK, %d sent again" % (len(ours), len(theirs))] + ours[:10]


def check_something(rig, path, wanted, least):
    status, lines = tshark(path, wanted)
    return [] if status == 0 and len(lines) >= least else ["status %s, %d frames where %d were due" % (status, len(lines), least)] + lines[:3]


def check_spoiled(rig, path):
    """The same question about a capture with one changed byte in a segment of ours: it must be answered otherwise."""
    with open(path, "rb") as capture:
        data = bytearray(capture.read())
    at = data.rfind(b"$-1\r\n")
    if at < 0:
        return ["no reply to a GET of nothing is in the capture"]
    data[at + 1] ^= 4
    with open(path + ".spoiled", "wb") as out:
        out.write(data)
    status, lines = tshark(path + ".spoiled", SUSPICIOUS)
    return [] if status == 0 and lines else ["status %s: tshark sees nothing in a spoiled capture" % status]


def checks_tshark(tap, rig, load):
    on = rig.device.name + ": "
    path = os.path.join(rig.dir, "server.pcap")
    rig.more = ["offload: no", "pcap: " + path]
    server = rig.server()
    guarded(tap, on + "captured: redis-cli", server, check_cli, rig)
    guarded(tap, on + "captured: redis-cli over IPv6", server, check_cli, rig, RAW6)
    guarded(tap, on + "captured: 70 short connections", server, check_short, rig, 70)
    guarded(tap, on + "captured: 50 connections at once", server, check_many, rig, 50)
    guarded(tap, on + "captured: bulk", server, check_bulk, rig, RAW4, 4)
    client = Redis()
    client.call("GET", "nothing")
    client.close()
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())
    guarded(tap, on + "the capture has what went on", None, check_something, rig, path, OURS + " and tcp.flags.syn == 1", 120)
    guarded(tap, on + "nothing of ours is suspicious", None, check_capture, rig, path, OURS + " and (" + SUSPICIOUS + ")", 0)
    guarded(tap, on + "nothing of ours is sent again", None, check_capture, rig, path, OURS + " and " + AGAIN, PROBES)
    guarded(tap, on + "what we say came twice did", None, check_twice, rig, path)
    guarded(tap, on + "nothing at all is malformed", None, check_capture, rig, path, "(" + BROKEN + ")" + LINUX_ZERO % OURS, 0)
    guarded(tap, on + "a changed byte would be seen", None, check_spoiled, rig, path)

    path = rig.more[1].split()[1].replace("server", "echo")
    rig.more[1] = "pcap: " + path
    echo = rig.example("tcp-echo", PORT + 1)
    guarded(tap, on + "captured: a stream echoed both ways at once", echo, check_echo, rig, PORT + 1, 2)
    echo.stop()
    guarded(tap, on + "nothing of the stream is suspicious", None, check_capture, rig, path, OURS + " and (" + SUSPICIOUS + ")", 0)
    path = path.replace("echo", "udp")
    rig.more[1] = "pcap: " + path
    echo = rig.example("udp-echo", PORT + 2)
    guarded(tap, on + "captured: datagrams, in fragments, too", echo, check_udp, rig, PORT + 2)
    echo.stop()
    guarded(tap, on + "no datagram and no fragment is suspicious", None, check_capture, rig, path, SUSPICIOUS, 0)


def check_nmap(rig, options, wanted, unwanted="$^"):
    status, output = run_program([need("nmap"), "-n", "-Pn", "-T4", "--max-retries", "3"] + options + [RAW4], timeout=90)
    missing = [line for line in wanted if not re.search(line, output)]
    if status == 0 and not missing and not re.search(unwanted, output):
        return []
    return ["status %s; not found: %s" % (status, missing)] + output.splitlines()[-25:]


def check_serves(rig):
    client = Redis()
    reply = client.call("PING")
    client.close()
    return [] if reply == b"PONG" else [repr(reply)]


def checks_nmap(tap, rig, load):
    on = rig.device.name + ", nmap: "
    server = rig.server()
    ports = ["-p", "4,%d" % PORT]
    guarded(tap, on + "-O sees an open and a closed port, and cannot guess sequence numbers", server, check_nmap, rig, ["-O", "-v", "-d"] + ports,
            [r"%d/tcp +open" % PORT, r"4/tcp +closed", r"TCP Sequence Prediction: Difficulty=(2[3-9]\d|[3-9]\d\d)"], r"IP ID Sequence Generation: (Incremental|Broken)")
    guarded(tap, on + "segments without a flag, with a FIN, with all are not answered by an open port", server, check_nmap, rig, ["-sN"] + ports,
            [r"%d/tcp +open\|filtered" % PORT, r"4/tcp +closed"])
    guarded(tap, on + "Xmas", server, check_nmap, rig, ["-sX"] + ports, [r"%d/tcp +open\|filtered" % PORT, r"4/tcp +closed"])
    guarded(tap, on + "an ACK out of the blue is reset", server, check_nmap, rig, ["-sA"] + ports, [r"%d/tcp +unfiltered" % PORT, r"4/tcp +unfiltered"])
    guarded(tap, on + "a closed UDP port is unreachable", server, check_nmap, rig, ["-sU", "-p", "4"], [r"4/udp +closed"])
    guarded(tap, on + "the protocols it speaks", server, check_nmap, rig, ["-sO", "-p", "1,6,17,99"], [r"6 +open"])
    guarded(tap, on + "the server serves on", server, check_serves, rig)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


need("tshark")
need("nmap")
run("packet", checks=(checks_tshark, checks_nmap))
