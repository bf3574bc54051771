# SPDX-License-Identifier: MIT
"""The servers that are measured, started alike and pinned alike, and the two load generators.

Server on one core, load on the other. Each figure is taken in short bursts, the servers in turn, several rounds in one run; on a
shared machine only ratios of one run mean anything. CPU per request comes from the scheduler's own account of the server's
threads and holds even where the load is what limits the rate.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
OURS = os.path.join(ROOT, os.environ.get("DEMIKV_SERVER", os.path.join(BUILD, "demikv-server")))
REDIS = os.environ.get("REDIS_SERVER", "/usr/bin/redis-server")
LOAD = os.path.join(BUILD, "tools/bench/load")
SERVER_CPU, LOAD_CPU = "0", "1"
FIRST_PORT = 24100
MAX_CLIENTS = 10100
DIGITS = 12


class Failed(Exception):
    """A measurement could not be taken; the table says so and the run goes on."""


def resp_size(*words):
    return len("*%d\r\n" % len(words)) + sum(len("$%d\r\n" % len(w)) + len(w) + 2 for w in words)


KEY = "key:" + "0" * DIGITS
# test: (request bytes, reply) of the null server
NULLS = {"get": (resp_size("GET", KEY), r"$3\r\nxxx\r\n"), "set": (resp_size("SET", KEY, "xxx"), r"+OK\r\n")}


def pinned(cpu):
    """taskset in front of a command, where the machine has that core. None: on any core."""
    return ["taskset", "-c", cpu] if cpu and os.cpu_count() > 1 and shutil.which("taskset") else []


def end(process):
    """Asks it to go, and makes it go after ten seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Target:
    """A server process. `words` is its command line without taskset; `ready` a text its output must show first. Its folder
    goes when it stops, unless it is kept."""

    used_ports = 0

    def __init__(self, name, words, folder, ready="eady to accept connections", wrap=(), cpu=SERVER_CPU, keep_folder=False):
        self.name = name
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(pinned(cpu) + list(wrap) + words, cwd=folder, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.folder, self.keeps_folder = folder, keep_folder
        self.wait_ready(ready)

    def wait_ready(self, ready):
        deadline = time.monotonic() + 120  # some have much to load
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.log, errors="replace") as log:
                if ready in log.read():
                    return
            time.sleep(0.01)
        text = open(self.log, errors="replace").read()[-500:]
        self.stop()
        raise Failed("%s does not start: %s" % (self.name, text))

    @property
    def pid(self):
        """The server's own: taskset becomes it."""
        return self.process.pid

    def stop(self):
        end(self.process)
        if not self.keeps_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, *words):
        """One command, its reply's text (bulk or line)."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(self.path)
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            got = s.recv(1 << 16)
            while got.startswith(b"$") and len(got) < int(got[1:got.index(b"\r")]) + got.index(b"\n") + 3:
                got += s.recv(1 << 16)
        return got.decode("utf-8", "replace")

    def info(self, field):
        found = re.search(r"^%s:(\S+)" % field, self.call("INFO"), re.M)
        if not found:
            raise Failed("%s: INFO has no %s" % (self.name, field))
        return found.group(1)


def new_port():
    """The next port of ours that is free."""
    while True:
        Target.used_ports += 1
        port = FIRST_PORT + Target.used_ports
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def start_server(name, binary, more=(), wrap=(), folder=None, cpu=SERVER_CPU):
    """folder: one of the caller's, which stays; otherwise the server has one of its own."""
    is_kept = folder is not None
    folder = folder or tempfile.mkdtemp(prefix="demikv-bench-")
    port, path = new_port(), os.path.join(folder, "s.sock")
    words = [binary, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", path, "--save", "", "--appendonly",
             "no", "--dir", folder, "--maxclients", str(MAX_CLIENTS)] + list(more)
    target = Target(name, words, folder, wrap=wrap, cpu=cpu, keep_folder=is_kept)
    target.port, target.path = port, path
    return target


def start_null(test, unix=False):
    folder = tempfile.mkdtemp(prefix="demikv-bench-")
    port, path = new_port(), os.path.join(folder, "s.sock")
    size, reply = NULLS[test]
    where = ["--unix", path] if unix else ["--port", str(port)]
    target = Target("null", [os.path.join(BUILD, "tools/bench/null_server")] + where +
                    ["--request", str(size), "--reply", reply], folder)
    target.port, target.path = port, path
    return target


class FirstInLine:
    """While a burst runs, its two processes go before everything else on the machine (SCHED_FIFO), where that was asked
    for: with two busy neighbours the spread between rounds fell from 40 % to 5 % (2026-11-21). Bursts stay below a second, so
    that the neighbours live and the kernel does not throttle."""

    asked = False

    def __init__(self, target, wanted):
        self.pid, self.on = target.pid, wanted and FirstInLine.asked

    def schedule(self, policy, priority):
        """The main thread only: helpers of the server stay behind it, as they would be on a quiet machine."""
        try:
            os.sched_setscheduler(self.pid, policy, os.sched_param(priority))
        except OSError:
            self.on = False

    def __enter__(self):
        if self.on:
            self.schedule(os.SCHED_FIFO, 1)
        return ["chrt", "-f", "1"] if self.on else []

    def __exit__(self, *_):
        if self.on:
            self.schedule(os.SCHED_OTHER, 0)


class Ahead:
    """While a client watches for gaps, the server's main thread goes before its neighbours (nice -20), and what it starts does
    not: of a thread that did nothing but look at the clock, alone on its processor, 16 pauses in 15 s were longer than 1 ms,
    and 2 this way (2026-11-28). Not SCHED_FIFO: a thread that is busy for seconds is held back by the kernel, 50 ms in each."""

    def __init__(self, target):
        self.pid = target.pid

    def schedule(self, nice):
        try:
            os.sched_setscheduler(self.pid, os.SCHED_OTHER | (os.SCHED_RESET_ON_FORK if nice < 0 else 0), os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, self.pid, nice)
        except OSError:
            pass  # not root, or the server is gone

    def __enter__(self):
        if FirstInLine.asked:
            self.schedule(-20)

    def __exit__(self, *_):
        if FirstInLine.asked:
            self.schedule(0)


def figures_of(line):
    """What load says with --machine."""
    return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line) if k != "test"}


def load(target, test, *options, unix=False, seconds=0.5, measure_cpu=True, is_short=False, helpers=False):
    """One burst of our load generator: {'rps': …, 'p50_us': …, 'cpu_us': …}. is_short: with -n, it ends within a second.
    helpers: the server's other threads are part of what is measured, so that nobody goes first."""
    where = ["-s", target.path] if unix else ["-p", str(target.port)]
    words = pinned(LOAD_CPU) + [LOAD, "--machine", "-t", test] + where + [str(o) for o in options]
    is_burst = "-n" not in options
    if is_burst:
        words += ["--seconds", str(seconds)]
    if measure_cpu:
        words += ["--pid", str(target.pid)]
    try:
        with FirstInLine(target, not helpers and (is_short or (is_burst and seconds < 1))) as first:
            done = subprocess.run(first + words, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        raise Failed("load -t %s against %s ran out of time" % (test, target.name))
    if done.returncode or "rps=" not in done.stdout:
        raise Failed("load -t %s against %s: %s" % (test, target.name, (done.stderr or done.stdout).strip()))
    return figures_of(done.stdout)


def cpu_ns(pid):
    """CPU time of a process, threads that have ended included: clock_getcpuclockid(3), which Python does not have."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def redis_benchmark(target, *options, unix=False, is_short=False):
    """A run of redis-benchmark: {'SET': {'rps': …, 'p50_ms': …, 'cpu_us': …}}; the CPU figure is the mean over all its
    tests. is_short: it ends within a second."""
    where = ["-s", target.path] if unix else ["-p", str(target.port)]
    words = pinned(LOAD_CPU) + ["redis-benchmark", "--csv"] + where + [str(o) for o in options]
    before = cpu_ns(target.pid)
    try:
        with FirstInLine(target, is_short) as first:
            done = subprocess.run(first + words, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise Failed("redis-benchmark against %s ran out of time" % target.name)
    rows = re.findall(r'^"([^"]+)","([\d.]+)"(?:,"([\d.]+)","([\d.]+)","([\d.]+)")?', done.stdout, re.M)
    if done.returncode or not rows:
        raise Failed("redis-benchmark against %s: %s" % (target.name, (done.stderr + done.stdout)[-300:]))
    count = int(options[options.index("-n") + 1]) * len(rows) if "-n" in options else 0
    cpu = (cpu_ns(target.pid) - before) / 1e3 / count if count else 0
    return {r[0].split(" (")[0]: {"rps": float(r[1]), "p50_ms": float(r[4] or 0), "cpu_us": cpu} for r in rows}


def fill(target, test, keys, value_size, depth=100):
    """Writes keys 0 … keys-1 once each."""
    return load(target, test, "-r", keys, "--sequential", "-n", keys, "-d", value_size, "-P", depth, unix=True)


def on_signal(*_):
    sys.exit(130)


signal.signal(signal.SIGTERM, on_signal)
