# SPDX-License-Identifier: MIT
"""TLS: section tls. Both servers with the same certificate (RSA, 2,048 bits, as most have), redis-benchmark with its own. It
encrypts too, so at depth 1 it is what limits; the CPU a request says more there."""
import os
import shutil
import subprocess
import tempfile

import rig
from rig import Failed, redis_benchmark
from speed import ratio, turns
from table import Table, median

# Words of redis-benchmark, what the row is called, requests, depth.
TESTS = (("set", "SET", 30000, 1), ("get", "GET", 30000, 1), ("set", "SET", 200000, 16), ("get", "GET", 200000, 16))
GOAL = 1.0


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed("openssl %s: %s" % (words[0], done.stderr[-300:]))


def make_files(folder):
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench", "-keyout", "key.pem", "-out", "cert.pem")
    return [os.path.join(folder, name) for name in ("cert.pem", "key.pem")]


def start(name, binary, cert, key):
    port = rig.new_port()
    target = rig.start_server(name, binary, ["--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert])
    target.port = port
    return target


def measure(bench, targets, words):
    found = {}
    for r in bench.progress.rounds(bench.rounds):
        for test, name, count, depth in TESTS:
            for target in turns(targets, r):
                row = redis_benchmark(target, "-t", test, "-n", count // (4 if bench.quick else 1), "-P", depth, "-r", 100000, *words, is_short=True)
                found.setdefault((target.name, name, depth), []).append(row[name])
    return found


def section_tls(bench):
    folder = tempfile.mkdtemp(prefix="demikv-bench-")
    targets = []
    try:
        cert, key = make_files(folder)
        targets.append(start("redis", rig.REDIS, cert, key))
        targets.append(start("demikv", rig.OURS, cert, key))
        found = measure(bench, targets, ["--tls", "--cacert", cert, "--cert", cert, "--key", key])
    finally:
        for target in targets:
            target.stop()
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("TLS 1.3, 50 connections, TCP, by redis-benchmark --tls",
                  ["depth", "test", "rps R7", "rps demikv", "us CPU R7", "us CPU demikv", "rps x R7", "target", ""])
    for _, name, _, depth in TESTS:
        rps = [median(f["rps"] for f in found[n, name, depth]) for n in ("redis", "demikv")]
        cpu = [median(f["cpu_us"] for f in found[n, name, depth]) for n in ("redis", "demikv")]
        times = ratio(rps[1], rps[0])
        table.judged("-P %d" % depth, name, *rps, *cpu, times, value=times, at_least=GOAL)
    table.note("medians of %d; 50 handshakes are in each" % bench.rounds)
    yield table
