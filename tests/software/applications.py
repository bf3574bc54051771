#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 400
"""Other people's programs, unchanged, on our server: job queues made of Lua, stream consumers, locks, caches, sessions; what watches a server.

Each has a server of its own and says in TAP what it saw. Packages of npm are fetched as package.json names them (exact
versions); the others are Debian's. SOFTWARE_SERVER=path runs all of it on another server: with redis-server 7.2.4 all
passes. Words on the command line choose programs by a part of their name.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import threading

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "clients"))
from here import OURS, Server, Tap, need, need_server, skip_all  # noqa: E402

SERVER = os.environ.get("SOFTWARE_SERVER", OURS)
MODULES = os.path.join(os.environ.get("BUILD", os.path.join(FOLDER, "..", "..", "build")), "software")
PYTHON = "/usr/bin/python3"  # Debian's, whose modules are Debian's packages
PATIENCE = 120
AT_ONCE = 4
STARTING = threading.Lock()
NODE_MIN = 18

tap = Tap()

NODE = [("BullMQ 6", "bullmq.js", "bullmq"), ("BullMQ 5", "bullmq.js", "bullmq5"), ("Bull", "bull.js"), ("Bee-Queue", "bee_queue.js"),
        ("redlock, redis-semaphore, rate-limiter-flexible", "locks.js"), ("node-resque", "resque.js"), ("RSMQ", "rsmq.js"),
        ("node-redis, its client-side cache", "client_cache.js"), ("valkey-glide", "glide.js"), ("redis-commander", "commander.js")] + [
            ("socket.io by " + kind, "socket_io.js", kind)
            for kind in ("channels, ioredis", "sharded channels, ioredis", "sharded channels, node-redis", "streams, ioredis", "streams, node-redis")]
OTHERS = [("Celery", [PYTHON, "celery_scenario.py"]), ("RQ", [PYTHON, "rq_scenario.py"]),
          ("redis-py, django-redis", [PYTHON, "locks.py"]), ("prometheus-redis-exporter", [PYTHON, "exporter.py"]),
          ("Prometheus", [PYTHON, "prometheus.py"]), ("zabbix-agent2", [PYTHON, "zabbix.py"]), ("collectd", [PYTHON, "collectd.py"]), ("Sidekiq", ["ruby", "sidekiq.rb"]),
          ("PHP sessions", ["php", "session.php"]), ("Symfony's cache", ["php", "symfony.php"])]


def node_version():
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", said)
    return int(found.group(1)) if found else 0


def fetch_modules():
    """What package.json names, into build/software; a reason when that cannot be had."""
    if node_version() < NODE_MIN:
        return "node is older than %d" % NODE_MIN
    wanted = os.path.join(FOLDER, "package.json")
    have = os.path.join(MODULES, "package.json")
    same = os.path.exists(have) and open(have, "rb").read() == open(wanted, "rb").read()
    if same and os.path.isdir(os.path.join(MODULES, "node_modules")):
        return None
    shutil.rmtree(MODULES, ignore_errors=True)
    os.makedirs(MODULES)
    shutil.copy(wanted, os.path.join(MODULES, "fetching.json"))
    os.rename(os.path.join(MODULES, "fetching.json"), have)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", MODULES], capture_output=True,
                          text=True, timeout=300, check=False)
    if done.returncode == 0:
        return None
    shutil.rmtree(MODULES, ignore_errors=True)
    return "npm install: " + " ".join(done.stderr.split())[-200:]


def relay(name, output, status):
    """The program's cases become ours."""
    seen = 0
    notes = []
    lines = output.splitlines()
    for i, line in enumerate(lines):
        found = re.match(r"(not )?ok \d+ - (.*)", line)
        if not found:
            continue
        seen += 1
        notes = []
        for more in lines[i + 1:]:
            if not more.startswith("#"):
                break
            notes.append(more[1:].strip())
        tap.ok(not found.group(1), "%s: %s" % (name, found.group(2)), notes)
    plan = re.search(r"^1\.\.(\d+)$", output, re.M)
    if status not in (0, 1) or not plan or int(plan.group(1)) != seen:
        tap.ok(False, "%s: the program ends" % name, ["status %s" % status] + lines[-20:])


def play(name, words, more_env):
    """Runs one; what it said, its exit status (None: it hangs), and whether the server is well afterwards."""
    with STARTING:  # a free port is free until somebody has it
        server = Server(SERVER, tcp=True)
    with server:
        env = dict(os.environ, REDIS_PORT=str(server.port), PYTHONDONTWRITEBYTECODE="1", **more_env)
        try:
            done = subprocess.run(words, cwd=FOLDER, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=PATIENCE, check=False)
            output, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            text = late.output or b""
            output, status = text.decode("utf-8", "replace") if isinstance(text, bytes) else text, None
        return output, status, server.client().call("PING").text() == b"PONG"


def programs():
    """Name, words, more of the environment; or, instead of the words, why it cannot be run."""
    found = [(name, words, {}) for name, words in OTHERS]
    why = fetch_modules()
    env = {"NODE_PATH": os.path.join(MODULES, "node_modules")}
    for name, script, *arguments in NODE:
        found.append((name, why or ["node", script] + arguments, env))
    chosen = [word.lower() for word in sys.argv[1:]]
    return [p for p in found if not chosen or any(word in p[0].lower() for word in chosen)]


def main():
    if SERVER == OURS:
        need_server()
    for program in ("celery", "collectd", "node", "npm", "php", "prometheus", "prometheus-redis-exporter", "ruby", "rqworker", "sidekiq", "zabbix_agent2"):
        need(program)
    wanted = programs()
    if not wanted:
        skip_all("no program of such a name")
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:  # most of their time they wait
        runs = [None if isinstance(words, str) else pool.submit(play, name, words, env) for name, words, env in wanted]
        for (name, words, _), result in zip(wanted, runs):
            if not result:
                tap.skip(name, words)
                continue
            output, status, is_well = result.result()
            relay(name, output, status)
            tap.ok(is_well, "%s: the server is well" % name)
    tap.done()


main()
