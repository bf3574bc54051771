#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""On controllers that QEMU emulates, in a guest, by vfio-pci behind an IOMMU: the driver and logs on it (device_test.c), blocks of 512 and
of 4096 bytes, demi-log, demikv-server's append-only file, what a second user is told; and the power: QEMU is killed while records
are appended, and what was acknowledged is there at the next boot. NVME_MB: what is written and read back, 8 where nothing is said."""
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "guest"))
from guest import ROOT, Guest  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
TEST = os.path.join(BUILD, "tests", "tests", "nvme", "device_test")
DEMI_LOG = os.path.join(BUILD, "tools", "log", "demi-log")
MB = int(os.environ.get("NVME_MB", "8"))
BIND = """d=/sys/bus/pci/devices/$1
[ -e $d/driver ] && echo $1 > $d/driver/unbind
echo $2 > $d/driver_override && echo $1 > /sys/bus/pci/drivers_probe"""

if not os.path.exists(TEST):
    skip_all("%s is not built" % TEST)
tap = Tap()


def ok(passed, claim, notes):
    tap.ok(passed, claim, [] if passed else notes)


def machine(folder):
    """Two controllers: one namespace in blocks of 512, one of 4096 and requests of 32 KiB at most."""
    words = ["-device", "intel-iommu,intremap=on"]
    for name, size in (("small", MB + 64), ("large", MB + 64)):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.truncate(size << 20)
        words += ["-drive", "file=%s,if=none,id=%s,format=raw" % (path, name)]
    words += ["-device", "nvme,drive=small,serial=SMALL,addr=6",
              "-device", "nvme,serial=LARGE,id=nvme1,mdts=3,addr=7",
              "-device", "nvme-ns,drive=large,bus=nvme1,logical_block_size=4096,physical_block_size=4096"]
    return Guest(memory=1024, devices=words, boot="intel_iommu=on iommu=nopt")


SMALL, LARGE = "0000:00:06.0", "0000:00:07.0"


def bind(guest, address):
    guest.must("set -- %s vfio-pci\n%s" % (address, BIND))


def cases(guest, address, what):
    status, output = guest.run("CMOCKA_MESSAGE_OUTPUT=TAP NVME_MB=%d NVME_ADDRESS=%s %s" % (MB, address, TEST), 200 + 2 * MB)
    found = re.findall(r"^(not )?ok \d+ - (\w+)$", output, re.M)
    for bad, case in found:
        ok(not bad, "%s: %s" % (what, case[len("test_"):].replace("_", " ")), [output[-2000:]])
    ok(status == 0 and found, "%s: to its end" % what, [status, output[-3000:]])


def tools(guest):
    """demi-log, and who is told what."""
    status, output = guest.run("%s create nvme:%s" % (DEMI_LOG, SMALL))
    ok(status != 0 and "--force" in output, "demi-log does not overwrite what it does not know, nor logs", [status, output])
    output = guest.must("%s create --force nvme:%s" % (DEMI_LOG, SMALL))
    ok("segments" in output, "demi-log create makes a device of logs", [output])
    example = os.path.join(BUILD, "examples", "log-write-read")
    output = guest.must("%s nvme:%s 100 && %s check nvme:%s" % (example, SMALL, DEMI_LOG, SMALL))
    ok("example: 100 records" in output, "an example's records are checked by demi-log", [output[-1000:]])
    status, output = guest.run("%s list nvme:0000:00:00.0" % DEMI_LOG)
    ok(status == 1 and "no NVMe controller" in output, "another device is refused", [status, output])
    guest.must("set -- %s none\n%s || true" % (LARGE, BIND.replace(" && echo $1 > /sys/bus/pci/drivers_probe", "")))
    status, output = guest.run("%s list nvme:%s" % (DEMI_LOG, LARGE))
    ok(status == 1 and "vfio-pci" in output, "a device that is not bound to vfio-pci is refused, with the way to bind it", [status, output])


def dpdk(guest):
    """It is not given away."""
    if not os.path.exists(os.path.join(BUILD, "libdemikernel-dpdk.so")):
        return
    words = "DEMI_PLUGIN_PATH=%s timeout 60 %s --libos dpdk --libos-address 10.0.0.2/24 --libos-eal '%%s --no-huge -m 128' --port 7000 --save ''"
    run = words % (BUILD, os.path.join(BUILD, "demikv-server"))
    status, output = guest.run(run % ("-a " + SMALL))
    ok(status not in (0, None) and "is an NVMe controller" in output, "DPDK refuses it by name", [status, output[-1000:]])


def server(guest):
    """Its append-only file without a kernel under it: what it said OK to is there after SIGKILL."""
    run = """%s --port 7001 --save '' --appendonly yes --appendfsync always --aof-device log:nvme:%s#aof >server.log 2>&1 &
pid=$!
for i in $(seq 300); do redis-cli -p 7001 ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
""" % (os.path.join(BUILD, "demikv-server"), LARGE)
    guest.must("%s create --force nvme:%s" % (DEMI_LOG, LARGE))
    status, output = guest.run(run + "for i in $(seq 20); do redis-cli -p 7001 set key:$i value:$i; done; kill -9 $pid; wait $pid; true")
    ok(output.count("OK") == 20, "demikv-server logs to a controller", [status, output[-1500:], guest.run("tail -n 20 server.log")[1]])
    status, output = guest.run(run + "redis-cli -p 7001 dbsize; redis-cli -p 7001 get key:20; redis-cli -p 7001 shutdown nosave; wait $pid")
    ok("20\nvalue:20" in output, "and has all of it after SIGKILL", [status, output[-1500:], guest.run("tail -n 20 server.log")[1]])


def told(job):
    """How many records are acknowledged, as whole lines say."""
    lines = [line for line in job.output().split("\n")[:-1] if line.isdigit()]
    return int(lines[-1]) if lines else 0


def lose_power(guest):
    """In the middle of appending, when some hundred records are acknowledged."""
    job = guest.start("NVME_ADDRESS=%s %s append" % (SMALL, TEST))
    end = time.monotonic() + 60
    while told(job) < 400 and time.monotonic() < end and not job.ended.is_set():
        time.sleep(0.05)
    guest.cut_power()
    ok(told(job) >= 400, "records are appended until the power goes", job.output()[-1000:].splitlines())
    return told(job)


with tempfile.TemporaryDirectory() as folder:
    with machine(folder) as guest:
        bind(guest, SMALL)
        bind(guest, LARGE)
        cases(guest, SMALL, "blocks of 512")
        cases(guest, LARGE, "blocks of 4096")
        server(guest)
        tools(guest)
        dpdk(guest)
        acknowledged = lose_power(guest)
    with machine(folder) as guest:
        bind(guest, SMALL)
        status, output = guest.run("NVME_ADDRESS=%s %s count %d" % (SMALL, TEST, acknowledged))
        ok(status == 0, "what was acknowledged is there after the power has gone", [status, output[-2000:]])
        status, output = guest.run("%s check nvme:%s" % (DEMI_LOG, SMALL))
        ok(status == 0, "and demi-log finds no damage", [status, output[-2000:]])
tap.done()
