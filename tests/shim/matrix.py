# SPDX-License-Identifier: MIT
"""Programs that know nothing of us, each at both ends of a wire, and what is checked of each.

A side is an end of the wire: its address, and how programs are started there, under the shim or not. A row takes the two
sides, starts a server on one and clients on the other, and raises what it does not like. Nothing here fails for being
slow, but for what has not come after PATIENCE.
"""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
from servers import die_with_parent  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
SHIM = os.path.join(BUILD, "libdemi-shim.so")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
PATIENCE = 30.0
BIG = 3000000


class Wrong(Exception):
    """What a row saw and should not have."""


class Side:
    """under: LIBOS and other variables, or None for the kernel alone. enter: called in the child before it becomes the program."""

    def __init__(self, address, under=None, enter=None, pass_fds=()):
        self.address, self.under, self.enter, self.pass_fds = address, under, enter, pass_fds
        self.folder = tempfile.mkdtemp(prefix="shim%d-" % os.getpid())
        os.chmod(self.folder, 0o777)
        for name in ("shim.log", "stats"):  # a program may become another user before it has its first socket
            os.chmod(self.file(name, ""), 0o666)
        self.running, self.started = [], 0

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH", "LD_PRELOAD")}
        env["LC_ALL"] = "C.UTF-8"
        if self.under is not None:
            env.update(self.under, LD_PRELOAD=SHIM, DEMI_SHIM_LOG=os.path.join(self.folder, "shim.log"),
                       DEMI_SHIM_STATS=os.path.join(self.folder, "stats"))
            env.setdefault("DEMI_PLUGIN_PATH", BUILD)
        return env

    def begin(self):
        if self.enter:
            self.enter()
        die_with_parent()

    def start(self, *words, **more):
        """A server: its output goes to a file."""
        self.started += 1
        log = os.path.join(self.folder, "log.%d" % self.started)
        with open(log, "wb") as out:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment(), cwd=self.folder,
                                       preexec_fn=self.begin, pass_fds=self.pass_fds, start_new_session=True, **more)
        process.log = log
        self.running.append(process)
        return process

    def run(self, *words, feed=b"", timeout=PATIENCE):
        """A client: its output, or Wrong."""
        try:
            done = subprocess.run(words, input=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), cwd=self.folder,
                                  preexec_fn=self.begin, pass_fds=self.pass_fds, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise Wrong("%s hangs; so far: %r %r" % (words[0], late.stdout, late.stderr)) from None
        if done.returncode:
            raise Wrong("%s: status %d: %s" % (words[0], done.returncode, (done.stdout[-300:] + done.stderr[-600:]).decode("utf-8", "replace")))
        return done.stdout

    def stop(self, process):
        """With what it has forked."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.running.remove(process)
        return process.returncode

    def stop_all(self):
        for process in list(self.running):
            self.stop(process)

    def words_of(self, process):
        with open(process.log, errors="replace") as log:
            return log.read()[-1500:]

    def close(self):
        self.stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb" if isinstance(content, bytes) else "w") as out:
            out.write(content)
        return path


def until(what, process, side, patience=PATIENCE):
    """Tries until it does not raise and is true."""
    deadline = time.monotonic() + patience
    last = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Wrong("the server has ended (%s): %s" % (process.returncode, side.words_of(process)))
        try:
            if what():
                return
        except (Wrong, OSError) as error:
            last = error
        time.sleep(0.1)
    raise Wrong("nothing answers: %s; the server says: %s" % (last, side.words_of(process)))


PORTS = iter(range(25000 + os.getpid() % 140 * 50, 65000))  # those of ../compat/servers.py lie below


def port():
    return str(next(PORTS))


def same(got, wanted, what):
    if got != wanted:
        raise Wrong("%s: %r instead of %r" % (what, got[:200], wanted[:200]))


def big():
    return hashlib.sha256(b"shim").digest() * (BIG // 32)


# --- rows ---------------------------------------------------------------------------------------------------------------------------


def redis(server, client):
    p = port()
    it = server.start(need("redis-server"), "--port", p, "--bind", server.address, "--save", "", "--protected-mode", "no")
    cli = [need("redis-cli"), "-h", server.address, "-p", p]
    until(lambda: client.run(*cli, "ping") == b"PONG\n", it, server)
    same(client.run(*cli, "set", "key", "value"), b"OK\n", "SET")
    same(client.run(*cli, "get", "key"), b"value\n", "GET")
    client.run(*cli, "-x", "set", "big", feed=big())
    same(client.run(*cli, "strlen", "big"), b"%d\n" % len(big()), "STRLEN")
    said = client.run(need("redis-benchmark"), "-h", server.address, "-p", p, "-c", "50", "-n", "20000", "-t", "set,get", "-q")
    if said.count(b"requests per second") != 2:
        raise Wrong("redis-benchmark: %r" % said)
    if client.run(*cli, "bgsave") != b"Background saving started\n":
        raise Wrong("BGSAVE is not started")
    until(lambda: b"rdb_bgsave_in_progress:0" in client.run(*cli, "info", "persistence"), it, server)
    if b"rdb_last_bgsave_status:ok" not in client.run(*cli, "info", "persistence"):
        raise Wrong("BGSAVE has failed")
    return it


def redis_thousand(server, client):
    p = port()
    it = server.start(need("redis-server"), "--port", p, "--bind", server.address, "--save", "", "--protected-mode", "no", "--tcp-backlog", "1024")
    cli = [need("redis-cli"), "-h", server.address, "-p", p]
    until(lambda: client.run(*cli, "ping") == b"PONG\n", it, server)
    said = client.run("/bin/sh", "-c", "ulimit -n 4096; exec redis-benchmark -h %s -p %s -c 1000 -n 30000 -t set,get -q" % (server.address, p))
    if said.count(b"requests per second") != 2:
        raise Wrong("redis-benchmark: %r" % said)
    return it


REDIS_PY = """
import redis, sys, threading
def one(n):
    r = redis.Redis(sys.argv[1], int(sys.argv[2]))
    for i in range(100):
        r.set("k%d" % n, "v%d" % i)
        assert r.get("k%d" % n) == b"v%d" % i
    p = r.pipeline()
    for i in range(500): p.incr("counter")
    p.execute()
threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
s = redis.Redis(sys.argv[1], int(sys.argv[2]), socket_timeout=5).pubsub()
s.subscribe("channel")
assert s.get_message(timeout=5)["type"] == "subscribe"
redis.Redis(sys.argv[1], int(sys.argv[2])).publish("channel", "news")
assert s.get_message(timeout=5)["data"] == b"news"
print(redis.Redis(sys.argv[1], int(sys.argv[2])).get("counter").decode())
"""


def redis_py(server, client):
    p = port()
    it = server.start(need("redis-server"), "--port", p, "--bind", server.address, "--save", "", "--protected-mode", "no")
    until(lambda: client.run("redis-cli", "-h", server.address, "-p", p, "ping") == b"PONG\n", it, server)
    same(client.run(PYTHON, client.file("client.py", REDIS_PY), server.address, p), b"4000\n", "redis-py")
    return it


MEMCACHED = """
import socket, sys, threading
def one(n):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    f = s.makefile("rb")
    for i in range(200):
        value = b"%d-%d" % (n, i) * (1 + i)
        s.sendall(b"set k%d 0 0 %d\\r\\n%s\\r\\n" % (n, len(value), value))
        assert f.readline() == b"STORED\\r\\n"
        s.sendall(b"get k%d\\r\\n" % n)
        f.readline()
        assert f.readline() == value + b"\\r\\n" and f.readline() == b"END\\r\\n"
threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
for t in threads: t.start()
for t in threads: t.join()
print("done")
"""


def memcached(server, client):
    p = port()
    it = server.start(need("memcached"), "-u", "root", "-l", server.address, "-p", p, "-t", "4")
    path = client.file("client.py", MEMCACHED)
    until(lambda: client.run(PYTHON, path, server.address, p) == b"done\n", it, server)
    return it


def fetch(client, url, wanted):
    same(client.run(need("curl"), "-sS", "--max-time", "20", url), wanted, "curl")
    same(client.run(need("wget"), "-q", "-T", "20", "-t", "1", "-O", "-", url), wanted, "wget")


def python_http(server, client):
    p = port()
    server.file("small", b"small file\n")
    server.file("big", big())
    it = server.start(PYTHON, "-m", "http.server", p, "--bind", server.address)
    url = "http://%s:%s/" % (server.address, p)
    until(lambda: client.run("curl", "-sS", "--max-time", "5", url + "small"), it, server)
    fetch(client, url + "small", b"small file\n")
    fetch(client, url + "big", big())
    return it


ASYNCIO = """
import asyncio, sys
async def echo(r, w):
    while data := await r.read(65536):
        w.write(data)
        await w.drain()
    w.close()
async def serve():
    s = await asyncio.start_server(echo, sys.argv[2], int(sys.argv[3]))
    await s.serve_forever()
async def one(n):
    r, w = await asyncio.open_connection(sys.argv[2], int(sys.argv[3]))
    for i in range(20):
        data = b"%d" % n * (i * 500 + 1)
        w.write(data)
        assert await r.readexactly(len(data)) == data
    w.write_eof()
    assert await r.read() == b""
    w.close()
async def ask():
    await asyncio.gather(*(one(n) for n in range(100)))
    print("done")
asyncio.run(serve() if sys.argv[1] == "serve" else ask())
"""


def asyncio(server, client):
    p = port()
    it = server.start(PYTHON, server.file("echo.py", ASYNCIO), "serve", server.address, p)
    path = client.file("echo.py", ASYNCIO)
    until(lambda: client.run(PYTHON, path, "ask", server.address, p) == b"done\n", it, server)
    return it


NGINX = """
daemon off; master_process %s; worker_processes 2; pid nginx.pid; error_log stderr;
events { worker_connections 512; %s }
http { access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
       sendfile %s; server { listen %s:%s; root www; } }
"""


def nginx(server, client, master="off", sendfile="on", load=True):
    p = port()
    os.makedirs(os.path.join(server.folder, "www"), exist_ok=True)
    server.file("www/small", b"small file\n")
    server.file("www/big", big())
    conf = server.file("nginx.conf", NGINX % (master, "", sendfile, server.address, p))
    it = server.start(need("nginx"), "-p", server.folder, "-c", conf)
    url = "http://%s:%s/" % (server.address, p)
    until(lambda: client.run("curl", "-sS", "--max-time", "5", url + "small"), it, server)
    fetch(client, url + "small", b"small file\n")
    fetch(client, url + "big", big())
    if not load:
        return it
    said = client.run(need("wrk"), "-t", "2", "-c", "20", "-d", "1", url + "small").decode()
    if "requests in" not in said or "Socket errors" in said or "Non-2xx" in said:
        raise Wrong("wrk: " + said)
    said = client.run(need("ab"), "-q", "-n", "1000", "-c", "10", url + "small").decode()
    if "Complete requests:      1000" not in said or "Failed requests:        0" not in said:
        raise Wrong("ab: " + said)
    said = client.run(need("ab"), "-q", "-k", "-n", "1000", "-c", "10", url + "small").decode()
    if "Complete requests:      1000" not in said or "Failed requests:        0" not in said:
        raise Wrong("ab -k: " + said)
    return it


def nginx_workers(server, client):
    return nginx(server, client, master="on")


def nginx_copying(server, client):
    return nginx(server, client, sendfile="off", load=False)


NODE_SERVER = """
const http = require('http');
http.createServer((q, s) => { let n = 0; q.on('data', d => n += d.length); q.on('end', () => s.end('got ' + n)); }).listen(+process.argv[3], process.argv[2]);
"""
NODE_CLIENT = """
const [address, port] = process.argv.slice(2);
async function one(n) {
  const body = 'x'.repeat(n * 1000 + 1);
  const r = await fetch(`http://${address}:${port}/`, {method: 'POST', body});
  if (await r.text() !== 'got ' + body.length) throw new Error('wrong');
}
(async () => { for (let i = 0; i < 5; i++) await Promise.all([...Array(20).keys()].map(one)); console.log('done'); process.exit(0); })();
"""


def node(server, client):
    p = port()
    it = server.start(need("node"), server.file("server.js", NODE_SERVER), server.address, p)
    path = client.file("client.js", NODE_CLIENT)
    until(lambda: client.run("node", path, server.address, p) == b"done\n", it, server)
    return it


def nc(server, client):
    p = port()
    it = server.start("/bin/sh", "-c", "nc -l %s %s >got" % (server.address, p))
    until(lambda: client.run(need("nc"), "-N", server.address, p, feed=big()) == b"", it, server)
    it.wait(10)
    with open(os.path.join(server.folder, "got"), "rb") as got:
        same(got.read(), big(), "nc -l")
    p = port()
    it = server.start("/bin/sh", "-c", "echo answer | nc -N -l %s %s" % (server.address, p))
    until(lambda: client.run("nc", "-d", server.address, p) == b"answer\n", it, server)
    try:
        client.run("nc", "-z", "-w", "2", server.address, port())
    except Wrong:
        return it
    raise Wrong("nc -z finds a port that nobody has")


def iperf3(server, client):
    p = port()
    it = server.start(need("iperf3"), "-s", "-B", server.address, "-p", p)
    words = ["iperf3", "-c", server.address, "-p", p, "-t", "1", "-J"]
    until(lambda: client.run(*words[:5], "-n", "1M"), it, server)
    for more in ([], ["-R"], ["-P", "4"]):
        said = json.loads(client.run(*words, *more))
        if said.get("error") or said["end"]["sum_received"]["bytes"] < 1000000:
            raise Wrong("iperf3 %s: %s" % (more, said.get("error") or said["end"]))
    return it


def sockperf(server, client):
    p = port()
    it = server.start(need("sockperf"), "server", "--tcp", "-i", server.address, "-p", p)
    words = ["sockperf", "ping-pong", "--tcp", "-i", server.address, "-p", p, "-t", "1"]
    until(lambda: b"Summary: Latency" in client.run(*words), it, server)
    return it


def sockperf_udp(server, client):
    p = port()
    it = server.start(need("sockperf"), "server", "-i", server.address, "-p", p)
    words = ["sockperf", "ping-pong", "-i", server.address, "-p", p, "-t", "1"]
    until(lambda: b"Summary: Latency" in client.run(*words), it, server)
    return it


HAPROXY = """
global
    nbthread 2
    stats socket %s mode 600
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend in
    bind %s:%s
    default_backend out
backend out
    server one %s:%s check
"""


def haproxy(server, client):
    """In front of a web server on the other side."""
    behind, p = port(), port()
    client.file("small", b"small file\n")
    client.file("big", big())
    web = client.start(PYTHON, "-m", "http.server", behind, "--bind", client.address)
    conf = server.file("haproxy.cfg", HAPROXY % (os.path.join(server.folder, "stats.sock"), server.address, p, client.address, behind))
    it = server.start(need("haproxy"), "-db", "-f", conf)
    url = "http://%s:%s/" % (server.address, p)
    until(lambda: client.run("curl", "-sSf", "--max-time", "5", url + "small"), it, server)
    fetch(client, url + "small", b"small file\n")
    fetch(client, url + "big", big())
    client.stop(web)
    return it


def socat(server, client):
    p = port()
    it = server.start(need("socat"), "TCP-LISTEN:%s,bind=%s,reuseaddr" % (p, server.address), "PIPE")
    until(lambda: client.run("socat", "-t", "5", "-", "TCP:%s:%s" % (server.address, p), feed=b"through a pipe\n") == b"through a pipe\n", it, server)
    it.wait(10)
    p = port()
    it = server.start("socat", "TCP-LISTEN:%s,bind=%s,reuseaddr,fork" % (p, server.address), "EXEC:cat")
    for _ in range(3):
        until(lambda: client.run("socat", "-t", "5", "-", "TCP:%s:%s" % (server.address, p), feed=b"by a child\n") == b"by a child\n", it, server)
    return it


UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == "serve":
    s.bind((sys.argv[2], int(sys.argv[3])))
    while True:
        data, who = s.recvfrom(65536)
        s.sendto(data[::-1], who)
s.settimeout(2)
for i in range(200):
    data = b"%d" % i * 5
    s.sendto(data, (sys.argv[2], int(sys.argv[3])))
    got, who = s.recvfrom(65536)
    assert got == data[::-1] and who == (sys.argv[2], int(sys.argv[3])), (got, who)
print("done")
"""


def udp(server, client):
    p = port()
    it = server.start(PYTHON, server.file("udp.py", UDP), "serve", server.address, p)
    path = client.file("udp.py", UDP)
    until(lambda: client.run(PYTHON, path, "ask", server.address, p) == b"done\n", it, server)
    return it


FORKING = """
import os, socket, socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"%d " % os.getpid() + line)
if sys.argv[1] == "fork":
    socketserver.ForkingTCPServer.allow_reuse_address = True
    socketserver.ForkingTCPServer((sys.argv[2], int(sys.argv[3])), Echo).serve_forever()
l = socket.create_server((sys.argv[2], int(sys.argv[3])))
for _ in range(3):
    if os.fork() == 0:
        while True:
            s, _ = l.accept()
            f = s.makefile("rwb", 0)
            for line in f:
                f.write(b"%d " % os.getpid() + line)
            s.close()
while True:
    os.wait()
"""
FORKING_CLIENT = """
import socket, sys
pids, streams = set(), []
for i in range(3):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    s.sendall(b"hello\\n")
    pid, word = s.makefile("rb").readline().split()
    assert word == b"hello"
    pids.add(pid)
    streams.append(s)
print(len(pids))
"""


def forking(server, client, how="fork"):
    p = port()
    it = server.start(PYTHON, server.file("forking.py", FORKING), how, server.address, p)
    path = client.file("forking_client.py", FORKING_CLIENT)
    until(lambda: client.run(PYTHON, path, server.address, p) == b"3\n", it, server)
    return it


def pre_forked(server, client):
    return forking(server, client, how="before")


ASLEEP = """
import os, socket, sys, time
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while not os.path.exists("connected"):
    time.sleep(0.05)
s, _ = l.accept()
s.sendall(s.recv(100).upper())
s.close()
"""
ASLEEP_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(b"hello")
open(sys.argv[3], "w").close()
print(s.recv(100).decode())
"""


def asleep(server, client):
    """A server that sleeps elsewhere: peers connect all the same."""
    p, flag = port(), os.path.join(server.folder, "connected")
    it = server.start(PYTHON, server.file("asleep.py", ASLEEP), server.address, p)
    path = client.file("asleep_client.py", ASLEEP_CLIENT)
    until(lambda: client.run(PYTHON, path, server.address, p, flag) == b"HELLO\n", it, server)
    return it


ROWS = {
    "redis-server, redis-cli, redis-benchmark": redis,
    "redis-server with 1,000 connections": redis_thousand,
    "redis-py": redis_py,
    "memcached with threads": memcached,
    "python's http.server, curl, wget": python_http,
    "python's asyncio": asyncio,
    "nginx, wrk, ab": nginx,
    "nginx without sendfile": nginx_copying,
    "nginx with workers": nginx_workers,
    "node": node,
    "python that sleeps": asleep,
    "python that forks": forking,
    "python, pre-forked": pre_forked,
    "nc": nc,
    "iperf3": iperf3,
    "sockperf": sockperf,
    "haproxy": haproxy,
    "socat": socat,
    "UDP by python": udp,
    "sockperf by UDP": sockperf_udp,
}


def ours_used(side):
    """Sockets that were the library OS's, of all processes of this side that have ended."""
    try:
        with open(os.path.join(side.folder, "stats")) as stats:
            return sum(int(line.split(":")[1]) for line in stats if line.startswith("shim.sockets_ours:"))
    except OSError:
        return 0


def starts(side):
    """How many processes of this side have had a library OS."""
    try:
        with open(os.path.join(side.folder, "shim.log")) as log:
            return log.read().count(": started: ")
    except OSError:
        return 0


def run_rows(tap, server, client, where, rows=None):
    """Each row, with a claim in TAP."""
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    for name, row in ROWS.items():
        if (rows and name not in rows) or (wanted and not any(w in name for w in wanted)):
            continue
        claim = "%s: %s" % (name, where)
        before = [starts(side) for side in (server, client)]
        try:
            row(server, client)
            for side, count in zip((server, client), before):
                if side.under is not None and starts(side) == count:
                    raise Wrong("nobody at %s has used the library OS" % side.address)
            tap.ok(True, claim)
        except (Wrong, OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            tap.ok(False, claim, [error])
        server.stop_all()
        client.stop_all()
    with contextlib.suppress(OSError):
        for side in (server, client):
            if side.under is not None:
                print("# %s: %d sockets were the library OS's" % (side.address, ours_used(side)))


def need_shim():
    if not os.path.exists(SHIM):
        skip_all("no " + SHIM)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    socket.setdefaulttimeout(PATIENCE)
