#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the operator asks of the process: on which CPUs its threads run, from where it connects, how its packets are marked, and how it
tells upstart that it is ready.
"""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from here import OURS, Server, Tap, free_port, info, log_has, need_server, run, text_of, wait_until

from resp import Closed, Silent, encode

SO_MARK = 36


def threads(server):
    """Name and CPUs of each; those that ended meanwhile are left out. The loop's thread is ""."""
    found = {}
    for path in glob.glob("/proc/%d/task/*" % server.pid):
        try:
            name = open(path + "/comm").read().strip()
            cpus = re.search(r"Cpus_allowed_list:\s*(\S+)", open(path + "/status").read()).group(1)
        except OSError:
            continue
        found["" if path.endswith("/%d" % server.pid) else name] = cpus
    return found


def packer_cpus(server, client, *words):
    """Where the thread ran that packs what the command saves; slowed down so that it can be seen."""
    seen = []
    client.call("CONFIG", "SET", "rdb-key-save-delay", "20000")
    client.call(*words)
    wait_until(lambda: seen.append(threads(server).get("packer")) or seen[-1], 5)
    client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
    wait_until(lambda: "packer" not in threads(server), 20)
    return seen[-1]


def check_cpus(tap):
    own = sorted(os.sched_getaffinity(0))
    first, last = str(own[0]), str(own[-1])
    everywhere = threads_list(own)
    with Server(OURS, ["--server_cpulist", first, "--bio_cpulist", last, "--bgsave_cpulist", first, "--aof_rewrite_cpulist", last]) as s:
        c = s.client(20)
        for i in range(50):
            c.call("SET", "k%d" % i, "v")
        c.call("CONFIG", "SET", "appendonly", "yes") # files: threads of the library
        wait_until(lambda: text_of(c, "PING") == b"PONG")
        found = threads(s)
        tap.ok(found.get("") == first, "the loop runs where server_cpulist says", [found])
        tap.ok(found.get("lazyfree") == last and found.get("disk", last) == last, "helpers run where bio_cpulist says", [found])
        wait_until(lambda: b"aof_rewrite_in_progress:0" in text_of(c, "INFO", "persistence"))
        tap.ok(packer_cpus(s, c, "BGSAVE") == first, "a snapshot is packed where bgsave_cpulist says")
        tap.ok(packer_cpus(s, c, "BGREWRITEAOF") == last, "a new log where aof_rewrite_cpulist says")
    with Server(OURS, ["--server_cpulist", first]) as s:
        found = threads(s)
        rest = threads_list(own[1:] or own)
        tap.ok(found.get("") == first and found.get("lazyfree") == rest, "helpers make room when only the loop is placed", [found])
        c = s.client(20)
        c.call("SET", "k", "v")
        c.call("SAVE")
        found = threads(s)
        wrong = [name for name, cpus in found.items() if name and cpus != rest]
        tap.ok(len(found) > 1 and not wrong, "all of them, the kernel's for files, too", [found])
    with Server(OURS, ["--server_cpulist", "1000,1001-1003:2"]) as s:
        tap.ok(threads(s).get("") == everywhere and log_has(s, "server_cpulist names CPUs that are not there for this process: 1000-1001,1003"),
               "CPUs that are not there are told, and the server runs", s.log_tail())
    for option in ("server_cpulist", "bio_cpulist", "bgsave_cpulist", "aof_rewrite_cpulist"):
        status, text = run([OURS, "--port", "0", "--" + option, "0-3:0"], 10)
        tap.ok(status == 1 and option in text and "must be a list of CPUs" in text, "%s that is no list stops the start" % option, [text])


def threads_list(cpus):
    """As the kernel writes it."""
    parts, i = [], 0
    while i < len(cpus):
        end = i
        while end + 1 < len(cpus) and cpus[end + 1] == cpus[end] + 1:
            end += 1
        parts.append("%d-%d" % (cpus[i], cpus[end]) if end > i else "%d" % cpus[i])
        i = end + 1
    return ",".join(parts)


def peers_of(families, count, addresses):
    """Listens, and notes who connects; its port."""
    s = socket.socket(families, socket.SOCK_STREAM)
    s.bind(("127.0.0.1" if families == socket.AF_INET else "::1", 0))
    s.listen(count)

    def accept():
        for _ in range(count):
            connection, address = s.accept()
            addresses.append(address[0])
            connection.recv(4096)
            connection.close()
        s.close()

    threading.Thread(target=accept, daemon=True).start()
    return s.getsockname()[1]


def migrate(client, host, port):
    client.call("SET", "k", "v")
    return client.call("MIGRATE", host, str(port), "k", "0", "2000").text()


def check_source(tap):
    came = []
    with Server(OURS, ["--bind-source-addr", "127.0.0.2"]) as s:
        c = s.client(20)
        migrate(c, "127.0.0.1", peers_of(socket.AF_INET, 2, came)) # a link that breaks is tried twice
        tap.ok(came == ["127.0.0.2"] * 2, "MIGRATE connects from bind-source-addr", came)
        came.clear()
        migrate(c, "::1", peers_of(socket.AF_INET6, 2, came))
        tap.ok(came == ["::1"] * 2, "to the other family from where the system likes", came)
        came.clear()
        c.call("CONFIG", "SET", "bind-source-addr", "127.0.0.3")
        migrate(c, "127.0.0.1", peers_of(socket.AF_INET, 2, came))
        tap.ok(came == ["127.0.0.3"] * 2, "CONFIG SET takes another", came)
        for word, told in (("192.0.2.77", "Connections are made from any address."), ("no address", "'no address' is no address")):
            came.clear()
            c.call("CONFIG", "SET", "bind-source-addr", word)
            for _ in range(2):
                migrate(c, "127.0.0.1", peers_of(socket.AF_INET, 2, came))
            lines = [line for line in s.log_tail(100) if told in line]
            tap.ok(came == ["127.0.0.1"] * 4 and len(lines) == 1, "one that cannot be is told once, and connections are made (%s)" % word, came + lines)
        tap.ok(text_of(c, "GET", "k") == b"v", "no key is lost to peers that hang up")


def may_mark():
    with socket.socket() as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, 1)
            return True
        except OSError:
            return False


def marks(port):
    return re.findall(r"fwmark:(\S+)", run(["ss", "-tneaH", "sport = :%d" % port])[1])


def check_mark(tap):
    words = [OURS, "--socket-mark-id", "2147483655"]
    if may_mark() and shutil.which("ss"):
        with Server(OURS, words[1:], tcp=True) as s, socket.create_connection(("127.0.0.1", s.port)) as client:
            client.sendall(b"PING\r\n")
            client.recv(100)
            found = marks(s.port)
            tap.ok(found == ["0x80000007"] * 2, "the socket that listens and a connection are marked", found)
            port = free_port()
            with socket.create_server(("127.0.0.1", port)) as peer:
                threading.Thread(target=lambda: migrate(s.client(20), "127.0.0.1", port), daemon=True).start()
                connection, _ = peer.accept()
                found = re.findall(r"fwmark:(\S+)", run(["ss", "-tneaH", "dport = :%d" % port])[1])
                tap.ok(found == ["0x80000007"], "so is a connection to a peer", found)
                connection.close()
    elif not may_mark():
        with Server(OURS, words[1:], tcp=True) as s:
            tap.ok(log_has(s, "socket-mark-id 2147483655 is not set: it takes CAP_NET_ADMIN"), "a mark takes CAP_NET_ADMIN")
    setpriv = shutil.which("setpriv")
    if setpriv and may_mark():
        with Server(OURS, words[1:], tcp=True, wrap=[setpriv, "--bounding-set", "-net_admin,-net_raw", "--inh-caps", "-net_admin,-net_raw"]) as s:
            lines = [line for line in s.log_tail(50) if "socket-mark-id 2147483655 is not set: it takes CAP_NET_ADMIN" in line]
            tap.ok(len(lines) == 1 and text_of(s.client(), "PING") == b"PONG", "who may not mark is told once, and serves", s.log_tail())


def state(pid):
    return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0]


def check_upstart(tap):
    for mode in ("upstart", "auto"):
        folder = tempfile.mkdtemp(prefix="demikv-test-")
        path = os.path.join(folder, "s.sock")
        env = dict(os.environ, UPSTART_JOB="demikv")
        env.pop("NOTIFY_SOCKET", None)
        with open(os.path.join(folder, "log"), "w") as log:
            p = subprocess.Popen([OURS, "--port", "0", "--unixsocket", path, "--supervised", mode, "--daemonize", "yes", "--dir", folder],
                                 env=env, stdout=log, stderr=log)
        try:
            stopped = wait_until(lambda: state(p.pid) == "T", 20)
            text = open(os.path.join(folder, "log")).read()
            tap.ok(stopped and "supervised by upstart, will stop to signal readiness." in text and "Ready to accept" in text,
                   "supervised %s: it stops when it is ready, and is no daemon" % mode, [text])
            p.send_signal(signal.SIGCONT)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(path)
                s.sendall(b"PING\r\n")
                tap.ok(s.recv(100) == b"+PONG\r\n", "and serves when it is woken")
            p.terminate()
            tap.ok(p.wait(20) == 0, "and ends in order")
        finally:
            p.kill()
            p.wait()
            shutil.rmtree(folder)
    with Server(OURS, ["--supervised", "upstart"]) as s:
        tap.ok(log_has(s, "upstart supervision requested, but UPSTART_JOB not found!"), "upstart that is not there is told")


def run_id(server):
    """None: it does not answer now."""
    try:
        return info(server.client(5), "run_id", "server")
    except (OSError, EOFError, Closed, Silent):
        return None


def check_restart(tap):
    with Server(OURS, ["--server_cpulist", str(min(os.sched_getaffinity(0)))], tcp=True) as s:
        for word, keeps in (("RESTART", True), ("CRASH-AND-RECOVER", False)):
            c = s.client(20)
            c.call("CONFIG", "SET", "save", "100 1")
            cpus, before = threads(s).get("lazyfree"), run_id(s)
            c.call("SET", "k", word)
            c.send(encode(["DEBUG", word, "200"]))
            renewed = wait_until(lambda: run_id(s) not in (None, before), 20)
            value = text_of(s.client(20), "GET", "k")
            tap.ok(renewed and (value == word.encode()) == keeps, "DEBUG %s: what was not saved %s" % (word, "is saved" if keeps else "is lost"), [value])
            tap.ok(s.alive() and threads(s).get("lazyfree") == cpus, "DEBUG %s: another server in the same process, on the same CPUs" % word, [threads(s)])
        c = s.client(20)
        for words in (("RESTART", "x"), ("CRASH-AND-RECOVER", "1.5"), ("RESTART", "1", "2")):
            answer = text_of(c, "DEBUG", *words)
            tap.ok(b"not an integer" in answer or b"unknown subcommand" in answer, "DEBUG %s is refused" % " ".join(words), [answer])


def main():
    need_server()
    os.environ.pop("UPSTART_JOB", None)
    tap = Tap()
    check_cpus(tap)
    check_source(tap)
    check_mark(tap)
    check_upstart(tap)
    check_restart(tap)
    tap.done()


main()
