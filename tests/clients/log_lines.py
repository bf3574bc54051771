#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Lines of the log and fields of INFO that tools written for redis-server look for."""
import os
import re
import shutil
import socket
import tempfile
import time

from here import OURS, Server, Tap, free_port, need_server, run


def ask(server, *words):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(server.path)
        words = [w.encode() for w in words]
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return s.recv(1 << 16).decode()


def log(server):
    with open(server.log) as f:
        return f.read()


def field(text, name):
    found = re.search(r"^%s:(.*?)\r?$" % re.escape(name), text, re.M)
    return found.group(1) if found else None


def appears(server, pattern, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if re.search(pattern, log(server)):
            return True
        time.sleep(0.1)
    return False


def check_log(tap):
    with Server(OURS, ["--loglevel", "verbose"], tcp=True) as server:
        text = log(server)
        for wanted in (r"\* demikv version=\S+, redis_version=7\.2\.4, bits=64, pid=%d, just started" % server.pid,
                       r"\* Configuration loaded", r"\* Running mode=standalone, port=%d\." % server.port,
                       r"\* Server initialized", r"\* Ready to accept connections tcp", r"\* Ready to accept connections unix"):
            tap.ok(re.search(wanted, text), "the start says " + wanted)
        tap.ok("WARNING" not in text, "nothing is to be warned of")
        ask(server, "BGSAVE")
        for wanted in (r"\* Background saving started", r"\* DB saved on disk", r"\* Background saving terminated with success"):
            tap.ok(appears(server, wanted, 10), "a save in the background says " + wanted)
        ask(server, "SET", "k", "v")
        tap.ok(appears(server, r"- Client closed connection id=\d+ addr=\S+ .* cmd=set ", 5), "verbose: who closed")
        tap.ok(appears(server, r"- DB 0: 1 keys \(0 volatile\) in \d+ slots HT\.", 10), "verbose: keys every five seconds")
        tap.ok(not re.search("clients connected", log(server)), "the count of clients is for debug")
    with Server(OURS, ["--loglevel", "debug", "--always-show-logo", "yes", "--save", "900 1"]) as server:
        tap.ok(re.search(r"^ PID: %d$" % server.pid, log(server), re.M), "always-show-logo: launchers find the pid")
        tap.ok(appears(server, r"\. \d+ clients connected \(0 replicas\), \d+ bytes in use", 10), "debug: clients")


def check_missing(tap):
    """Who asks for what is not here is refused each time; who runs the server is told once a kind."""
    with Server(OURS, ["--enable-module-command", "yes"]) as server:
        def lines():
            return re.findall(r"# A client was refused '(\S+)', which needs what demikv has not", log(server))

        for words in (("NOSUCH", "x"), ("CLIENT", "NOSUCH"), ("GET",), ("GET", "k")):
            ask(server, *words)
        tap.ok(lines() == [], "what Redis does not know either is no line", [lines()])
        for words in (("MODULE", "LOAD", "/x"), ("module", "loadex", "/x"), ("FAILOVER",)):
            got = ask(server, *words)
            tap.ok(got.startswith("-ERR "), "refused: " + " ".join(words), [got])
        tap.ok(lines() == ["module|load"], "the first refusal of each kind is a line", [lines()])
        size = os.path.getsize(server.log)
        for i in range(500):
            ask(server, "MODULE", "x%d" % i)
        tap.ok(os.path.getsize(server.log) == size and len(lines()) == 1, "and nobody makes the log grow by asking on", [lines()])


def check_refusals(tap):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen(1)
        status, text = run([OURS, "--port", str(port), "--bind", "127.0.0.1", "--save", ""])
        tap.ok(status == 1 and text.count("Address already in use") == 1 and
               "# Warning: Could not create server TCP listening socket 127.0.0.1:%d: bind:" % port in text and
               text.rstrip().endswith("# Failed listening on port %d (tcp), aborting." % port),
               "a port that is taken: one reason", [text])
        status, text = run([OURS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--always-show-logo", "yes"])
        tap.ok(status == 1 and " PID:" not in text, "and launchers find no pid of a server that has no port", [text])
    status, text = run([OURS, "--port", "0", "--unixsocket", "/nonexistent/s", "--save", ""])
    tap.ok(status == 1 and text.count("No such file or directory") == 1 and
           text.rstrip().endswith("# Failed listening on port 0 (unix), aborting."), "a path that is none: one reason", [text])
    status, text = run([OURS, "--nonsense", "1"])
    tap.ok(status == 1 and "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***" in text, "the version of a fatal error", [text])


def check_info(tap):
    with Server(OURS) as server:
        for populate in (None, "200000"):
            if populate:
                ask(server, "DEBUG", "POPULATE", populate)
                ask(server, "FLUSHALL", "SYNC")
            text = ask(server, "INFO", "memory")
            figures = {name: field(text, name) for name in
                       ("allocator_rss_bytes", "allocator_frag_bytes", "allocator_rss_ratio", "allocator_frag_ratio")}
            sizes = [int(field(text, "allocator_" + name)) for name in ("allocated", "active", "resident")]
            tap.ok(all(float(v) >= 0 for v in figures.values()) and sizes == sorted(sizes),
                   "allocated <= active <= resident%s" % (" after a flush" if populate else ""), [figures, sizes])
        with socket.socket(socket.AF_UNIX) as replica:
            replica.settimeout(10)
            replica.connect(server.path)
            replica.sendall(b"REPLCONF listening-port 6666 ip-address 10.1.2.3 capa eof capa psync2\r\n")
            tap.ok(replica.recv(100) == b"+OK\r\n", "REPLCONF is answered")
            replica.sendall(b"SYNC\r\n")
            replica.recv(1)
            got = field(ask(server, "INFO", "replication"), "slave0")
            tap.ok(got and got.startswith("ip=10.1.2.3,port=6666,state=wait_bgsave,"), "slave0 is where it said", [got])
        for words, want in ((("REPLCONF", "listening-port"), "-ERR syntax error"),
                            (("REPLCONF", "listening-port", "x"), "-ERR value is not an integer or out of range"),
                            (("REPLCONF", "ip-address", "x" * 300), "-ERR REPLCONF ip-address provided by replica instance is too long"),
                            (("REPLCONF", "nonsense", "x"), "-ERR Unrecognized REPLCONF option: nonsense")):
            got = ask(server, *words)
            tap.ok(got.startswith(want), " ".join(words)[:60], [got])


def check_long_paths(tap):
    """The program and its configuration file lie deep down."""
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, *["d" * 200] * 6)
        os.makedirs(folder)
        program, config = os.path.join(folder, "server"), os.path.join(folder, "c.conf")
        shutil.copy(OURS, program)
        with open(config, "w") as f:
            f.write("hz 20\n")
        with Server(program, wrap=["/bin/sh", "-c", 'program=$0; exec "$program" "%s" "$@"' % config]) as server:
            text = ask(server, "INFO", "server")
            tap.ok((field(text, "executable"), field(text, "config_file")) == (program, config), "paths of %d bytes are whole" % len(config),
                   [field(text, "executable"), field(text, "config_file")])
            got = ask(server, "CONFIG", "SET", "hz", "30") + ask(server, "CONFIG", "REWRITE")
            with open(config) as f:
                tap.ok(got == "+OK\r\n+OK\r\n" and "hz 30\n" in f.read(), "CONFIG REWRITE finds the file", [got])


def check_title(tap):
    """What ps shows; the environment, which makes room for it, is still there."""
    def title(server):
        with open("/proc/%d/cmdline" % server.pid, "rb") as f:
            return f.read().rstrip(b"\0").decode()

    os.environ["DEMIKV_TEST_ROOM"] = "x" * 3000
    with Server(OURS, tcp=True) as server:
        tap.ok(title(server) == "%s 127.0.0.1:%d" % (OURS, server.port), "ps shows where the server listens", [title(server)])
        ask(server, "CONFIG", "SET", "proc-title-template", "a {{b} {port} {tls-port} {unixsocket} {config-file} {server-mode} ")
        tap.ok(title(server) == "a {b} %d 0 %s" % (server.port, server.path), "proc-title-template", [title(server)])
        ask(server, "CONFIG", "SET", "proc-title-template", "y" * 2500)
        tap.ok(title(server) == "y" * 2500, "which may be longer than the command line")
        ask(server, "CONFIG", "SET", "proc-title-template", "z" * 100000)
        tap.ok(title(server).strip("z") == "" and 3000 < len(title(server)) < 100000 and ask(server, "PING") == "+PONG\r\n", "and is cut where there is no room", [len(title(server))])
    del os.environ["DEMIKV_TEST_ROOM"]
    with Server(OURS, ["--set-proc-title", "no"]) as server:
        ask(server, "CONFIG", "SET", "proc-title-template", "other")
        tap.ok(title(server).startswith(OURS + "\0--port\0"), "set-proc-title no: the command line")


need_server()
tap = Tap()
check_title(tap)
check_log(tap)
check_missing(tap)
check_refusals(tap)
check_info(tap)
check_long_paths(tap)
tap.done()
