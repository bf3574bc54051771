#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Our server as a replica of a redis-server: the same data and the same offset, whatever way the snapshot takes, through cuts, with users
and over TLS; below it a redis-server that follows ours; promotion, restarts, a log.
"""
import os
import random
import signal
import subprocess
import time

from here import OURS, REDIS, Server, Tap, digest, info, log_has, need, need_server, text_of, wait_until

need(REDIS)
need_server()
QUICK = ["--repl-diskless-sync-delay", "0"]
LOADS = ("disabled", "on-empty-db", "swapdb")


def offset(client):
    return int(info(client, "master_repl_offset", "replication"))


def stats(client, field):
    return int(info(client, field, "stats"))


def is_up(client):
    return info(client, "master_link_status", "replication") == "up"


def same(first, second, seconds=30):
    """The second one has come as far as the first, and has the same data."""
    if not wait_until(lambda: is_up(second) and offset(first) == offset(second), seconds):
        return False
    return digest(first) == digest(second)


def follow(client, server):
    return text_of(client, "REPLICAOF", "127.0.0.1", str(server.port))


def write(client, rng, count):
    """A bit of everything that is not passed on as it came."""
    for _ in range(count):
        key = "k%d" % rng.randrange(60)
        client.call(*rng.choice((
            ("SET", key, str(rng.random())), ("SET", key, "x", "EX", "1000"), ("INCRBYFLOAT", "f" + key, "1.5"), ("LPUSH", "l" + key, "a", "b"),
            ("SPOP", "s" + key), ("SADD", "s" + key, "1", "2", str(rng.randrange(99))), ("ZADD", "z" + key, "1.5", str(rng.randrange(20))),
            ("ZPOPMIN", "z" + key), ("HINCRBY", "h" + key, "a", "7"), ("XADD", "x" + key, "MAXLEN", "~", "50", "*", "a", "b"), ("DEL", "l" + key),
            ("PEXPIRE", "h" + key, "900000"), ("GETDEL", key), ("SELECT", str(rng.randrange(3))), ("RENAME", "l" + key, "l2" + key),
            ("EVAL", "redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], redis.call('TIME')[1])", "2", "n" + key, "e" + key))))
        if rng.random() < 0.1:
            client.call("MULTI")
            client.call("INCR", "m" + key)
            client.call("RPUSH", "m2" + key, "x")
            client.call("EXEC")


def check_loads(tap, rng):
    with Server(REDIS, QUICK, tcp=True) as primary, Server(OURS, tcp=True) as replica:
        p, r = primary.client(30), replica.client(30)
        write(p, rng, 600)
        for how in LOADS:
            for diskless in ("yes", "no"):
                p.call("CONFIG", "SET", "repl-diskless-sync", diskless)
                r.call("REPLICAOF", "NO", "ONE")
                r.call("FLUSHALL")
                r.call("CONFIG", "SET", "repl-diskless-load", how)
                follow(r, primary)
                write(p, rng, 200)
                tap.ok(same(p, r), "diskless %s, loaded %s: the same data at the same offset" % (diskless, how), [offset(p), offset(r)])
        had = stats(p, "sync_full"), stats(p, "sync_partial_ok")
        for i in range(5):
            p.call("CLIENT", "KILL", "TYPE", "replica")
            write(p, rng, 50)
            wait_until(lambda: stats(p, "sync_partial_ok") > had[1] + i, 10)
        tap.ok(same(p, r) and (stats(p, "sync_full"), stats(p, "sync_partial_ok")) == (had[0], had[1] + 5), "links that break go on where they were",
               [had, stats(p, "sync_full"), stats(p, "sync_partial_ok")])
        tap.ok(stats(r, "unexpected_error_replies") == 0, "no command of it failed")


def check_chain(tap, rng):
    """redis-server -> ours -> redis-server; then the middle is promoted, and the first follows the last."""
    with Server(REDIS, QUICK, tcp=True) as first, Server(OURS, QUICK + ["--appendonly", "yes"], tcp=True) as middle, Server(REDIS, QUICK, tcp=True) as last:
        a, b, c = first.client(30), middle.client(30), last.client(30)
        write(a, rng, 200)
        follow(b, first)
        tap.ok(same(a, b), "the middle follows")
        follow(c, middle)
        write(a, rng, 300)
        tap.ok(same(a, b) and same(a, c), "the last has the same data and offset", [offset(a), offset(b), offset(c)])
        full = stats(b, "sync_full")
        b.call("REPLICAOF", "NO", "ONE")
        write(b, rng, 100)
        follow(a, middle)
        tap.ok(same(b, a) and same(b, c) and stats(b, "sync_full") == full, "the middle is promoted: the others go on where they were",
               [stats(b, "sync_full"), full])
        follow(b, last)
        a.call("REPLICAOF", "NO", "ONE")
        c.call("REPLICAOF", "NO", "ONE")
        write(c, rng, 100)
        tap.ok(same(c, b), "and follows the last")


def check_restarts(tap, rng):
    """What a file says of its history is asked for after a restart."""
    with Server(REDIS, QUICK + ["--repl-backlog-size", "10mb"], tcp=True) as primary:
        replica = Server(OURS, ["--replicaof", "127.0.0.1 %d" % primary.port], tcp=True)
        with replica:
            p = primary.client(30)
            write(p, rng, 200)
            tap.ok(same(p, replica.client(30)), "replicaof of the configuration")
            full = stats(p, "sync_full")
            replica.client(30).call("SAVE")
            replica.process.send_signal(signal.SIGTERM)
            replica.process.wait(20)
            write(p, rng, 100)
            replica.start()
            tap.ok(same(p, replica.client(30)) and stats(p, "sync_full") == full, "restarted with the file of its SAVE: it goes on where that stands",
                   [stats(p, "sync_full"), full])


def check_hidden(tap, rng):
    """An empty replica loads what comes while it comes, and nobody sees it: clients are served nothing, and a primary that dies in the middle leaves nothing behind."""
    with Server(OURS, QUICK + ["--enable-debug-command", "yes"], tcp=True) as primary, Server(OURS, tcp=True) as replica:
        p, r = primary.client(30), replica.client(30)
        p.call("DEBUG", "POPULATE", "20000", "key", "100")
        write(p, rng, 100)
        p.call("CONFIG", "SET", "rdb-key-save-delay", "300")
        follow(r, primary)
        came = wait_until(lambda: int(info(r, "master_sync_read_bytes", "replication") or 0) > 200000, 30)
        seen = [info(r, "loading", "persistence"), info(r, "async_loading", "persistence"), r.call("DBSIZE").raw(), r.call("GET", "key:1").raw()]
        tap.ok(came and seen == ["0", "0", b":0\r\n", b"$-1\r\n"], "while the snapshot comes an empty replica is empty", seen)
        primary.process.kill()
        primary.process.wait(20)
        gone = wait_until(lambda: log_has(replica, "I/O error trying to sync with MASTER"), 10)
        wait_until(lambda: not any(f.endswith(".rdb") for f in os.listdir(replica.dir)), 10)  # a helper removes it
        seen = [r.call("DBSIZE").raw(), [f for f in os.listdir(replica.dir) if f.endswith(".rdb")]]
        tap.ok(gone and seen == [b":0\r\n", []] and not log_has(replica, "Failed trying to load"), "its primary dies in the middle: it is as it was, without a file", seen)
        primary.start()
        p = primary.client(30)
        p.call("DEBUG", "POPULATE", "20000", "key", "100")
        tap.ok(wait_until(lambda: same(p, r), 30) and "dump.rdb" in os.listdir(replica.dir), "the next attempt: the same data, and a file of them")


def check_void(tap, rng):
    """A primary that comes back without its data does not replace those of its replicas, if it is told so."""
    with Server(OURS, QUICK + ["--repl-refuse-void", "yes"], tcp=True) as primary, Server(OURS, tcp=True) as ours, Server(REDIS, tcp=True) as theirs:
        p, replicas = primary.client(30), [ours.client(30), theirs.client(30)]
        for r in replicas:
            follow(r, primary)
        write(p, rng, 100)
        tap.ok(all(same(p, r) for r in replicas), "who has followed nobody follows a primary that began empty")
        had = [digest(r) for r in replicas]
        primary.process.kill()
        primary.process.wait(20)
        primary.start()
        p = primary.client(30)
        p.call("SET", "written", "since")
        refused = wait_until(lambda: log_has(primary, "this server began without data: it is refused"), 10)
        time.sleep(2.5)
        seen = [digest(r) for r in replicas]
        tap.ok(refused and seen == had and not any(is_up(r) for r in replicas) and stats(p, "sync_full") == 0, "killed, back and empty: its replicas keep what they have", seen)
        p.call("FLUSHALL")
        tap.ok(all(wait_until(lambda r=r: same(p, r), 30) for r in replicas), "FLUSHALL says that it is meant to be empty")
        p.call("SET", "a", "b")
        primary.process.kill()
        primary.process.wait(20)
        primary.start()
        p = primary.client(30)
        wait_until(lambda: log_has(primary, "it is refused"), 10)
        p.call("CONFIG", "SET", "repl-refuse-void", "no")
        tap.ok(all(wait_until(lambda r=r: same(p, r), 30) for r in replicas), "and so does the option")


def check_primary_restarts(tap, rng):
    """Ours as primary: started with the file of its SHUTDOWN it goes on with its history, and buries what has died meanwhile."""
    with Server(OURS, QUICK, tcp=True) as primary, Server(REDIS, QUICK, tcp=True) as replica:
        p, r = primary.client(30), replica.client(30)
        write(p, rng, 200)
        follow(r, primary)
        tap.ok(same(p, r), "a redis-server follows ours")
        p.call("SET", "short", "x", "PX", "300")
        same(p, r)
        p.send(b"SHUTDOWN SAVE\r\n")
        primary.process.wait(20)
        time.sleep(0.5)
        primary.start()
        p = primary.client(30)
        write(p, rng, 20)
        tap.ok(same(p, r) and stats(p, "sync_full") == 0 and stats(p, "sync_partial_ok") == 1,
               "ours is restarted with the file of its SHUTDOWN: a redis-server goes on", [stats(p, "sync_full"), stats(p, "sync_partial_ok")])
        p.call("SELECT", "0")
        tap.ok(wait_until(lambda: p.call("EXISTS", "short").text() == b"0" and text_of(r, "DBSIZE") == text_of(p, "DBSIZE"), 5),
               "what died meanwhile is deleted there, too", [text_of(r, "DBSIZE"), text_of(p, "DBSIZE")])


def check_users(tap, rng):
    with Server(REDIS, QUICK + ["--requirepass", "pass word"], tcp=True) as primary, Server(OURS, tcp=True) as replica:
        p, r = primary.client(30), replica.client(30)
        p.call("AUTH", "pass word")
        write(p, rng, 50)
        follow(r, primary)
        time.sleep(0.3)
        tap.ok(not is_up(r), "without the password there is no link")
        r.call("CONFIG", "SET", "masterauth", "pass word")
        tap.ok(same(p, r), "with it there is one")
        p.call("ACL", "SETUSER", "copy", "on", ">secret", "+psync", "+replconf", "+ping")
        r.call("CONFIG", "SET", "masteruser", "copy", "masterauth", "secret")
        p.call("CLIENT", "KILL", "TYPE", "replica")
        write(p, rng, 20)
        tap.ok(same(p, r), "as a user that may do no more than it needs")


def make_certificates(folder):
    def openssl(*words):
        subprocess.run(("openssl",) + words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", "s.key", "-out", "s.csr")
    openssl("x509", "-req", "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", "s.crt")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other", "-keyout", "o.key", "-out", "other.crt")


def check_tls(tap, rng):
    with Server(OURS) as scratch:
        make_certificates(scratch.dir)
        path = lambda name: os.path.join(scratch.dir, name)  # noqa: E731
        tls = ["--tls-cert-file", path("s.crt"), "--tls-key-file", path("s.key"), "--tls-ca-cert-file", path("ca.crt"), "--tls-replication", "yes"]
        with Server(REDIS, QUICK, tcp=True) as probe:
            port = probe.port
        with Server(REDIS, QUICK + tls + ["--tls-port", str(port)]) as primary, Server(OURS, tls) as replica:
            p, r = primary.client(30), replica.client(30)
            write(p, rng, 200)
            r.call("REPLICAOF", "127.0.0.1", str(port))
            tap.ok(same(p, r), "over TLS")
            p.call("CLIENT", "KILL", "TYPE", "replica")
            write(p, rng, 50)
            tap.ok(same(p, r), "and again")
            r.call("CONFIG", "SET", "tls-ca-cert-file", path("other.crt"))
            p.call("CLIENT", "KILL", "TYPE", "replica")
            time.sleep(1.5)
            tap.ok(not is_up(r), "a primary that cannot show who it is is none")


tap = Tap()
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print("# SEED=%d" % seed)
dice = random.Random(seed)
check_loads(tap, dice)
check_chain(tap, dice)
check_restarts(tap, dice)
check_primary_restarts(tap, dice)
check_hidden(tap, dice)
check_void(tap, dice)
check_users(tap, dice)
check_tls(tap, dice)
tap.done()
