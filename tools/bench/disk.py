# SPDX-License-Identifier: MIT
"""What the sections of files need: a folder on a disk, servers that keep it, load that runs beside something, memory of a
process and its children, syncs of a disk.

The folder is made in TMPDIR, or in /var/tmp, and is gone when the program ends, however that is (but for SIGKILL).
"""
import atexit
import mmap
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import rig
from rig import Failed

PLACE = os.environ.get("TMPDIR") or "/var/tmp"
ROOM = 8 << 30
BLOCK = 4096
PROBE_RATE = 2000
NEVER = 600  # seconds: what runs beside something is stopped earlier


# --- the folder and its disk ----------------------------------------------------------------------------------------------------

def new_folder():
    if shutil.disk_usage(PLACE).free < ROOM:
        raise Failed("%s has less than %d GiB free; TMPDIR names another place" % (PLACE, ROOM >> 30))
    folder = tempfile.mkdtemp(prefix="demikv-bench-", dir=PLACE)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)


def device_of(path):
    number = os.stat(path).st_dev
    return "%d:%d" % (os.major(number), os.minor(number))


def file_system():
    """'ext4 on /dev/vda, write back': what the figures of files hold for."""
    device = device_of(PLACE)
    with open("/proc/self/mountinfo") as file:
        lines = [line.split() for line in file]
    for line in lines:
        if line[2] == device:
            kind, source = line[line.index("-") + 1:][:2]
            return "%s: %s on %s%s" % (PLACE, kind, source, cache_of(device))
    return "%s: an unknown file system" % PLACE


def cache_of(device):
    """Whether a sync has to flush the device's own cache: 'write back' or 'write through'."""
    for path in ("/sys/dev/block/%s/queue/write_cache", "/sys/dev/block/%s/../queue/write_cache"):
        if os.path.exists(path % device):
            with open(path % device) as file:
                return ", " + file.read().strip()
    return ""


def counts():
    """Flushes of the disk and bytes written to it so far, whoever asked for them; None: its driver does not count them."""
    try:
        with open("/sys/dev/block/%s/stat" % device_of(PLACE)) as file:
            fields = file.read().split()
    except OSError:
        return None
    return (int(fields[15]), 512 * int(fields[6])) if len(fields) > 15 else None


def raw_sync_us(folder, seconds):
    """Median time of a block that is written and synced, into a file that was written before: the least a durable write takes."""
    path = os.path.join(folder, "raw")
    block = mmap.mmap(-1, BLOCK)  # aligned
    blocks = 256
    with open(path, "wb") as file:
        file.write(b"x" * BLOCK * blocks)
        os.fsync(file.fileno())
    try:
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    except OSError:  # tmpfs of older kernels
        fd = os.open(path, os.O_WRONLY | os.O_DSYNC)
    times, end = [], time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            began = time.perf_counter_ns()
            os.pwritev(fd, [block], len(times) % blocks * BLOCK)
            times.append((time.perf_counter_ns() - began) / 1e3)
    finally:
        os.close(fd)
        os.unlink(path)
    return statistics.median(times)


# --- servers --------------------------------------------------------------------------------------------------------------------

class Servers:
    """Servers with files, each in a folder of its own: they go together."""

    def __init__(self):
        self.folder, self.all = new_folder(), {}

    def start(self, name, binary, *more, cpu=None):
        """cpu None: all cores are the server's, since what is measured is also what it does besides."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        began = time.monotonic()
        self.all[name] = rig.start_server(name, binary, more, folder=folder, cpu=cpu)
        self.all[name].ready_s = time.monotonic() - began
        return self.all[name]

    def stop(self, name):
        if name in self.all:
            self.all.pop(name).stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.all):
            self.stop(name)
        remove_folder(self.folder)


# --- memory ---------------------------------------------------------------------------------------------------------------------

def family(pid):
    """A process and its children, as redis-server has while it saves."""
    found = [pid]
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, thread)) as file:
            found += [int(word) for word in file.read().split()]
    return found


def read_kib(path, field):
    with open(path) as file:
        return int(re.search(r"^%s:\s+(\d+)" % field, file.read(), re.M).group(1))


def memory_bytes(pid):
    """Of a process and its children: pages that they share count once."""
    total = 0
    for member in family(pid):
        try:
            total += read_kib("/proc/%d/smaps_rollup" % member, "Pss")
        except (OSError, AttributeError):  # a child that has just ended
            pass
    return total << 10


class Peak:
    """The most memory that a process and its children have held since it was made. The process's own peak is the kernel's; what
    children hold is looked at now and then: reading it costs time that grows with the memory."""

    SHARE = 0.03  # of the time, at most, goes into looking

    def __init__(self, pid):
        self.pid = pid
        with open("/proc/%d/clear_refs" % pid, "w") as file:
            file.write("5")  # the kernel's peak begins anew
        self.before_rss = read_kib("/proc/%d/status" % pid, "VmRSS") << 10
        self.before = self.most = memory_bytes(pid)
        self.next, self.has_child = 0, False

    def look(self):
        began = time.monotonic()
        if len(family(self.pid)) < 2:
            return
        self.has_child = True
        if began < self.next:
            return
        self.most = max(self.most, memory_bytes(self.pid))
        took = time.monotonic() - began
        self.next = began + took / self.SHARE

    def bytes(self, copied=0):
        """copied: pages that a child had for itself at its end, as the server tells; they may have come after the last look."""
        if self.has_child:
            self.most = max(self.most, self.before + copied)
        own = (read_kib("/proc/%d/status" % self.pid, "VmHWM") << 10) - self.before_rss
        return max(self.before + own, self.most)


# --- load beside something ------------------------------------------------------------------------------------------------------

class Beside:
    """A load that runs while something else is done: with Beside(…) as b: …; then b.figures."""

    def __init__(self, target, test, *options, first=False):
        words = ["chrt", "-f", "2"] if first and rig.FirstInLine.asked else []
        self.ahead = rig.Ahead(target) if first else None
        words += rig.pinned(rig.LOAD_CPU) + [rig.LOAD, "--machine", "--marks", "-s", target.path, "-t", test, "--seconds",
                                             str(NEVER)] + [str(o) for o in options]
        self.words, self.figures = words, {}

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "measuring\n":
            _, said = self.process.communicate()
            raise Failed("%s: %s" % (" ".join(self.words), said.strip()))
        if self.ahead:
            self.ahead.__enter__()
        return self

    def __exit__(self, kind, *_):
        if self.ahead:
            self.ahead.__exit__()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            said, errors = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, errors = self.process.communicate()
        self.figures = rig.figures_of(said)
        if not kind and (self.process.returncode or "rps" not in self.figures):
            raise Failed("%s: %s" % (" ".join(self.words), (errors or said).strip()))


def probe(target):
    """One client more, which asks PROBE_RATE times a second and goes before everything else: its longest time to a reply is the
    longest gap that a client sees. It counts from when a request was due, so that none is left out while it waits."""
    return Beside(target, "ping", "-c", 1, "--rate", PROBE_RATE, "--spin-us", 0, first=True)
