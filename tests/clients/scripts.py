#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Scripts and the rest of the server: what the log gets of them, old logs that have EVAL itself, MONITOR, the slow log, statistics, users,
WATCH, who waits, memory, the cache."""
import hashlib
import os
import re
import time

from here import OURS, Server, Tap, need_server, skip_all
from resp import encode


def ok(tap, passed, claim, notes=()):
    tap.ok(passed, claim, () if passed else notes)


def sha(body):
    return hashlib.sha1(body.encode()).hexdigest()


def info(client, section, name):
    return re.search(r"^%s:(.*)\r$" % re.escape(name), client.call("INFO", section).text().decode(), re.M).group(1)


def log_commands(server):
    """Those of the log's increments, as lists of words."""
    folder = os.path.join(server.dir, "appendonlydir")
    data = b"".join(open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder)) if ".incr." in name)
    words, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1:end]), end + 2
        command = []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size = int(data[at + 1:end])
            command.append(data[end + 2:end + 2 + size].decode())
            at = end + 4 + size
        words.append(command)
    return words


def check_log(tap):
    server = Server(OURS, ["--appendonly", "yes", "--appendfsync", "always"])
    try:
        client = server.client()
        client.call("EVAL", "return redis.call('set', KEYS[1], ARGV[1])", "1", "one", "1")
        client.call("EVAL", "redis.call('set', 'two', '2') redis.call('incr', 'two') return redis.call('get', 'two')", "0")
        client.call("EVAL", "redis.call('set', 'x', '1', 'ex', 100) redis.call('nosuch')", "0")
        client.call("EVAL", "redis.set_repl(redis.REPL_NONE) redis.call('set', 'hidden', '1') redis.set_repl(redis.REPL_ALL) return redis.call('set', 'shown', '1')", "0")
        client.call("EVAL", "redis.set_repl(redis.REPL_REPLICA) return redis.call('set', 'hidden', '2')", "0")
        client.call("EVAL", "redis.call('select', '5') redis.call('set', 'five', '5')", "0")
        client.call("SET", "zero", "0")
        client.send(b"".join(encode(words) for words in (["MULTI"], ["SET", "m", "1"], ["EVAL", "redis.call('incr', 'm') redis.call('incr', 'm')", "0"], ["INCR", "m"], ["EXEC"])))
        for _ in range(5):
            client.read()
        client.call("SCRIPT", "LOAD", "return 1")
        commands = [words if words[0].lower() != "set" or "pxat" not in [word.lower() for word in words] else words[:4] for words in log_commands(server)]
        text = [" ".join(words).lower() for words in commands]
        want = ["select 0", "set one 1", "multi", "set two 2", "incr two", "exec", "set x 1 pxat", "set shown 1", "select 5", "set five 5", "select 0", "set zero 0",
                "multi", "set m 1", "incr m", "incr m", "incr m", "exec"]
        ok(tap, text == want, "the log gets what scripts changed: one change plain, several as one transaction, EXEC as one", [text])
        client.call("DEBUG", "LOADAOF")
        ok(tap, client.call("GET", "m").raw() == b"$1\r\n4\r\n" and client.call("GET", "two").raw() == b"$1\r\n3\r\n", "and comes back from it")
    finally:
        server.stop()


def check_old_log(tap):
    """Redis up to 6 wrote EVAL itself; a script there may recurse as it likes."""
    server = Server(OURS)
    body = "redis.call('set', KEYS[1], ARGV[1]) return redis.call('incrby', KEYS[1], 5)"
    deep = "local function f() return ('x'):gsub('x', f) end pcall(f) redis.call('set', 'deep', 'done')"
    log = b"".join(encode(words) for words in (["SELECT", "0"], ["EVAL", body, "1", "k", "10"], ["MULTI"], ["EVALSHA", sha(body), "1", "l", "20"], ["EXEC"], ["EVAL", deep, "0"],
                                               ["EVAL", "while redis.call('incr', 'n') < 100000 do end", "0"]))
    folder = os.path.join(server.dir, "appendonlydir")
    try:
        os.mkdir(folder)
        with open(os.path.join(folder, "appendonly.aof.1.incr.aof"), "wb") as out:
            out.write(log)
        with open(os.path.join(folder, "appendonly.aof.manifest"), "w") as out:
            out.write("file appendonly.aof.1.incr.aof seq 1 type i\n")
        server.client().send(encode(["SHUTDOWN", "NOSAVE"]))
        server.process.wait(20)
        server.args = ["--appendonly", "yes"]
        server.start()
        client = server.client()
        got = [client.call("GET", key).text() for key in ("k", "l", "deep", "n")]
        ok(tap, got == [b"15", b"25", b"done", b"100000"], "a log of Redis 6, which has EVAL itself, is loaded", [got])
        client.call("CONFIG", "SET", "aof-use-rdb-preamble", "no")
        client.send(encode(["SHUTDOWN", "NOSAVE"]))
        server.process.wait(20)
        server.args = ["--appendonly", "yes", "--replicaof", "127.0.0.1 1", "--min-replicas-to-write", "1"]
        server.start()
        client = server.client()
        got = [client.call("GET", key).text() for key in ("k", "l", "deep", "n")]
        ok(tap, got == [b"15", b"25", b"done", b"100000"], "and by a replica, whose clients' scripts may not write", [got])
        ok(tap, client.call("EVAL", body, "1", "k", "1").raw().startswith(b"-READONLY"), "and still may not afterwards")
    finally:
        server.stop()


def check_monitor(tap, server):
    watching, client = server.client(), server.client()
    watching.call("MONITOR")
    client.call("EVAL", "redis.call('set', 'a', '1') return redis.pcall('get', 'a')", "0")
    lines = [watching.read().text().decode() for _ in range(3)]
    shown = [re.sub(r"^[0-9.]+ ", "", line) for line in lines]
    ok(tap, shown[0].startswith("[0 ") and '"EVAL"' in shown[0] and shown[1:] == ['[0 lua] "set" "a" "1"', '[0 lua] "get" "a"'],
       "MONITOR shows the script, then its commands", shown)
    watching.close()


def check_statistics(tap, server):
    client = server.client()
    client.call("CONFIG", "RESETSTAT")
    client.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
    client.call("SLOWLOG", "RESET")
    client.call("EVAL", "redis.call('set', 'a', 'x') redis.pcall('incr', 'a') redis.pcall('get') return redis.call('get', 'a')", "0")
    slow = [[word.text() for word in entry.kids[3].kids][0] for entry in client.call("SLOWLOG", "GET").kids]
    client.call("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    ok(tap, sorted(slow[:4], key=str) == sorted([b"EVAL", b"get", b"incr", b"set"], key=str), "the slow log has the script and its commands", [slow])
    stats = {name: info(client, "commandstats", "cmdstat_" + name) for name in ("eval", "set", "incr", "get")}
    ok(tap, "calls=1," in stats["eval"] and "calls=1," in stats["set"] and "failed_calls=1" in stats["incr"] and "rejected_calls=1" in stats["get"]
       and "failed_calls=0" in stats["eval"], "statistics count each where it belongs", [stats])
    client.call("CONFIG", "RESETSTAT")
    client.call("EVAL", "return redis.call('incr', 'a')", "0")
    ok(tap, info(client, "stats", "total_error_replies") == "1" and info(client, "errorstats", "errorstat_ERR") == "count=1",
       "an error that the script passes on is counted once", [client.call("INFO", "errorstats").text()])


def check_cache(tap, server):
    client = server.client()
    client.call("SCRIPT", "FLUSH", "SYNC")
    client.call("SCRIPT", "LOAD", "return 'kept'")
    for i in range(600):
        client.call("EVAL", "return %d" % i, "0")
    count, evicted = int(info(client, "memory", "number_of_cached_scripts")), int(info(client, "stats", "evicted_scripts"))
    ok(tap, count == 501 and evicted == 100, "what came by EVAL is kept while it is among 500", [count, evicted])
    there = [client.call("SCRIPT", "EXISTS", sha(body)).raw() for body in ("return 'kept'", "return 99", "return 100", "return 599")]
    ok(tap, there == [b"*1\r\n:1\r\n", b"*1\r\n:0\r\n", b"*1\r\n:1\r\n", b"*1\r\n:1\r\n"], "what SCRIPT LOAD brought stays, the least recently used of the others goes", there)
    ok(tap, client.call("EVALSHA", sha("return 'kept'").upper(), "0").raw() == b"$4\r\nkept\r\n", "a SHA in capital letters")
    for how in (["ASYNC"], ["SYNC"], []):
        client.call("EVAL", "return 1", "0")
        ok(tap, client.call("SCRIPT", "FLUSH", *how).raw() == b"+OK\r\n" and client.call("EVALSHA", sha("return 1"), "0").raw().startswith(b"-NOSCRIPT "),
           "SCRIPT FLUSH %s" % " ".join(how))
    ok(tap, int(info(client, "memory", "used_memory_lua")) == 0, "and no memory is left", [info(client, "memory", "used_memory_lua")])
    client.call("EVAL", "return 1", "0")
    ok(tap, int(info(client, "memory", "used_memory_lua")) > 10000, "the state's memory is counted")


def check_users(tap, server):
    admin, bob = server.client(), server.client()
    admin.call("ACL", "SETUSER", "bob", "on", ">p", "+eval", "+set", "~k*")
    bob.call("AUTH", "bob", "p")
    said = [bob.call("EVAL", body, *rest).raw() for body, rest in (
        ("return redis.call('set', KEYS[1], 1)", ("1", "k1")), ("return 1", ("1", "other")), ("return redis.call('set', 'other', 1)", ("0",)),
        ("return redis.call('get', 'k1')", ("0",)), ("return {redis.acl_check_cmd('set', 'k', 1), redis.acl_check_cmd('set', 'x', 1), redis.acl_check_cmd('get', 'k')}", ("0",)))]
    ok(tap, said[0] == b"+OK\r\n" and said[1].startswith(b"-NOPERM ") and said[2].startswith(b"-ERR ACL failure in script: ") and
       said[3].startswith(b"-ERR ACL failure in script: User bob has no permissions to run the 'get' command") and said[4] == b"*3\r\n:1\r\n$-1\r\n$-1\r\n",
       "a script may what its caller may", said)
    entry = admin.call("ACL", "LOG", "1").kids[0]
    words = [word.text() for word in entry.kids]
    ok(tap, b"lua" in words and b"get" in words, "ACL LOG says that it was in a script", words)
    admin.call("ACL", "DELUSER", "bob")


def check_watch(tap, server):
    one, two = server.client(), server.client()
    one.call("SET", "w", "1")
    one.call("WATCH", "w")
    two.call("EVAL", "redis.call('incr', 'w')", "0")
    one.call("MULTI")
    one.call("GET", "w")
    ok(tap, one.call("EXEC").raw() == b"*-1\r\n", "a script's change spoils what is watched")
    two.send(encode(["BLPOP", "waited", "0"]))
    deadline = time.monotonic() + 10
    while info(one, "clients", "blocked_clients") != "1" and time.monotonic() < deadline:
        time.sleep(0.01)
    ok(tap, one.call("EVAL", "redis.call('rpush', 'waited', 'a') return redis.call('llen', 'waited')", "0").raw() == b":1\r\n", "who waits is served behind the script")
    ok(tap, two.read().raw() == b"*2\r\n$6\r\nwaited\r\n$1\r\na\r\n", "and gets it")
    ok(tap, one.call("EVAL", "redis.call('select', '3') return redis.call('set', 'only3', '1')", "0").raw() == b"+OK\r\n" and
       one.call("EXISTS", "only3").raw() == b":0\r\n", "SELECT in a script is the script's")
    body = "redis.call('set', 't', '1', 'px', '1') local from = os.clock() while os.clock() < from + 0.02 do end return redis.call('exists', 't')"
    ok(tap, one.call("EVAL", body, "0").raw() == b":1\r\n", "time stands while a script runs")
    body = "local a = redis.call('time') local from = os.clock() while os.clock() < from + 0.02 do end local b = redis.call('time') return a[1] == b[1] and a[2] == b[2]"
    ok(tap, one.call("EVAL", body, "0").raw() == b":1\r\n", "TIME, too")


def check_messages(tap, server):
    """What a script sends to its own client follows the whole reply, that of EXEC too."""
    client = server.client()
    client.call("HELLO", "3")
    client.call("SUBSCRIBE", "c")
    message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    client.send(encode(["EVAL", "return {redis.call('publish', 'c', 'm'), 2}", "0"]))
    got = [client.read().raw() for _ in range(2)]
    ok(tap, got == [b"*2\r\n:1\r\n:2\r\n", message], "a message to the script's own client follows the reply", got)
    client.send(b"".join(encode(words) for words in (["MULTI"], ["EVAL", "return redis.call('publish', 'c', 'm')", "0"], ["PING"], ["EXEC"])))
    got = [client.read().raw() for _ in range(5)]
    ok(tap, got[3:] == [b"*2\r\n:1\r\n+PONG\r\n", message], "and that of EXEC", got)


def main():
    need_server()
    tap = Tap()
    server = Server(OURS)
    try:
        if b"built without LuaJIT" in server.client().call("EVAL", "return 1", "0").raw():
            skip_all("built without LuaJIT")
        for check in (check_monitor, check_statistics, check_cache, check_users, check_watch, check_messages):
            check(tap, server)
    finally:
        server.stop()
    check_log(tap)
    check_old_log(tap)
    tap.done()


main()
