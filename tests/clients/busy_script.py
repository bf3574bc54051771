#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Scripts that do not end: others are told BUSY, whatever the script does; SCRIPT KILL ends it, and nothing in it can catch that; one that
has written can only be left by SHUTDOWN NOSAVE; and nothing that clients do meanwhile breaks anything."""
import os
import subprocess
import tempfile
import time

from here import OURS, Server, Tap, need_server, skip_all, wait_until
from resp import Client, Closed, Silent, encode

BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
KILLED = b"-ERR Script killed by user with SCRIPT KILL... script: "
ENDLESS = {
    "a loop": "while true do end",
    "a loop of commands": "repeat redis.call('get', 'x') until false",
    "pcall around it": "while true do pcall(function() while true do end end) end",
    "xpcall, whose handler loops": "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "fresh coroutines": "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "resumed coroutines": "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "one coroutine": "coroutine.wrap(function() while true do end end)()",
    "tail calls": "local function f() return f() end f()",
    "goto": "::a:: goto a",
    "a loop by steps of zero": "for i = 1, 10, 0 do end",
    "a comparison of table.sort": "table.sort({1, 2, 3, 4}, function() while true do end end)",
    "a function of gsub": "('a'):gsub('a', function() while true do end end)",
    "a reader of load": "load(function() while true do end end)",
    "a __tostring": "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "a function of foreach": "table.foreach({1}, function() while true do end end)",
    "a pattern that tries everything": "return (('a'):rep(200)):find(('.-'):rep(20)..'b')",
}


def ok(tap, passed, claim, notes=()):
    tap.ok(passed, claim, () if passed else notes)


def wait_for_busy(server):
    """A client that was told."""
    deadline = time.monotonic() + 20
    client = server.client()
    while time.monotonic() < deadline:
        if client.call("PING").raw() == BUSY:
            return client
    raise Silent("nobody is busy")


def check_endless(tap, server, what, body):
    """In the middle of a pipeline, with another client's in the same turn."""
    running, beside = server.client(), server.client()
    running.timeout = beside.timeout = 20
    running.send(encode(["PING"]) + encode(["EVAL", body, "0"]) + encode(["ECHO", "behind"]))
    beside.send(encode(["PING"]) * 3)
    admin = wait_for_busy(server)
    told = [beside.read().raw() for _ in range(3)]
    killed = admin.call("SCRIPT", "KILL").raw()
    replies = [running.read().raw() for _ in range(3)]
    passed = all(reply in (BUSY, b"+PONG\r\n") for reply in told) and killed == b"+OK\r\n" and replies[0] == b"+PONG\r\n" and \
        replies[1].startswith(KILLED) and replies[2] == b"$6\r\nbehind\r\n"
    ok(tap, passed, "%s: BUSY, then killed; what came behind it runs" % what, [told, killed, replies])
    passed = admin.call("PING").raw() == b"+PONG\r\n" and admin.call("SCRIPT", "KILL").raw() == b"-NOTBUSY No scripts in execution right now.\r\n"
    ok(tap, passed, "%s: afterwards all is as before" % what)


def check_transaction(tap, server):
    running = server.client()
    running.timeout = 20
    running.send(b"".join(encode(words) for words in (["MULTI"], ["SET", "in", "1"], ["EVAL", "while true do end", "0"], ["INCR", "in"], ["EXEC"], ["GET", "in"])))
    admin = wait_for_busy(server)
    admin.call("SCRIPT", "KILL")
    replies = [running.read().raw() for _ in range(6)]
    ok(tap, replies[4].startswith(b"*3\r\n+OK\r\n-ERR Script killed") and replies[4].endswith(b":2\r\n") and replies[5] == b"$1\r\n2\r\n",
       "inside MULTI: the transaction goes on behind the script that was killed", replies)


def check_what_is_served(tap, server):
    running = server.client()
    running.send(encode(["EVAL", "while true do end", "0"]))
    admin = wait_for_busy(server)
    said = [admin.call(*words).raw() for words in (["MULTI"], ["SET", "k", "v"], ["EXEC"], ["WATCH", "k"], ["UNWATCH"], ["SHUTDOWN"], ["HELLO", "2"], ["RESET"])]
    ok(tap, [reply[:5] for reply in said] == [b"+OK\r\n", b"-BUSY", b"-EXEC", b"+OK\r\n", b"+OK\r\n", b"-BUSY", b"*14\r\n", b"+RESE"],
       "what Redis serves meanwhile is served, and nothing else", said)
    going = server.client()
    ok(tap, going.call("QUIT").raw() == b"+OK\r\n", "a client may leave")
    running.send(encode(["PING"]))
    running.close()
    ok(tap, admin.call("PING").raw() == BUSY, "the script's own client is gone, and nothing happens before it ends")
    admin.call("SCRIPT", "KILL")
    ok(tap, admin.call("PING").raw() == b"+PONG\r\n", "then it is freed")


def check_waiting(tap, server):
    """Whom a script's write sets free is served when the script has ended, and not in the middle of it."""
    waiting, running = server.client(), server.client()
    waiting.timeout = running.timeout = 20
    waiting.send(encode(["BLPOP", "l", "0"]))
    server.client().call("PING")
    body = "redis.call('rpush', 'l', 'a') local t = redis.call('time')[1] while redis.sha1hex('x') and os.clock() < %f do end redis.call('rpush', 'l', 'b') return redis.call('llen', 'l')"
    clock = float(server.client().call("EVAL", "return tostring(os.clock())", "0").text())
    running.send(encode(["EVAL", body % (clock + 0.5), "0"]))
    admin = wait_for_busy(server)
    ok(tap, admin.call("SCRIPT", "KILL").raw().startswith(b"-UNKILLABLE "), "a script that has written is not killed")
    ok(tap, running.read().raw() == b":2\r\n", "it ends with what it wrote still there")
    ok(tap, waiting.read().raw() == b"*2\r\n$1\r\nl\r\n$1\r\na\r\n", "who waited is served then")


def check_shutdown(tap, server):
    running = server.client()
    server.client().call("CONFIG", "SET", "appendonly", "yes")  # whose first base may have to wait for the script
    running.send(encode(["EVAL", "redis.call('set', 'k', 'v') while true do end", "0"]))
    admin = wait_for_busy(server)
    admin.timeout = 20
    try:
        admin.call("SHUTDOWN", "NOSAVE")
        closed = False
    except Closed:
        closed = True
    try:
        server.client().close()
        refused = False
    except OSError:
        refused = True
    ok(tap, closed and refused, "who asked for SHUTDOWN NOSAVE is let go when nobody can connect any more")
    ok(tap, server.process.wait(20) == 0, "and the server ends, though the script has written")


LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


def start_with_log(folder, *commands):
    """A server whose log has them; it may take long to be ready."""
    os.makedirs(os.path.join(folder, "appendonlydir"))
    with open(os.path.join(folder, "appendonlydir", "appendonly.aof.1.incr.aof"), "wb") as file:
        file.write(b"".join(encode(list(words)) for words in commands))
    with open(os.path.join(folder, "appendonlydir", "appendonly.aof.manifest"), "w") as file:
        file.write("file appendonly.aof.1.incr.aof seq 1 type i\n")
    with open(os.path.join(folder, "log"), "wb") as log:
        return subprocess.Popen([OURS, "--port", "0", "--unixsocket", os.path.join(folder, "s.sock"), "--dir", folder, "--appendonly", "yes",
                                 "--save", "", "--busy-reply-threshold", "40"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def connected(folder):
    found = []
    wait_until(lambda: os.path.exists(os.path.join(folder, "s.sock")), 20)
    wait_until(lambda: found.append(Client(os.path.join(folder, "s.sock"), 20)) or True, 20)
    return found[0]


def check_log(tap):
    """A script of an append-only file: who asks meanwhile is told what redis-server says."""
    endless = ("EVAL", "redis.call('set', KEYS[1], 'y') while true do end", "1", "k")
    long = ("EVAL", "local n = 0 for i = 1, ARGV[1] do n = n + i % 7 end redis.call('set', KEYS[1], n) return n", "1", "sum", "300000000")
    in_exec = (("MULTI",), ("SET", "a", "1"), long, ("SET", "b", "2"), ("EXEC",))
    for name, commands in (("a script", (("SELECT", "0"), ("SET", "a", "1"), long, ("SET", "b", "2"))), ("one in a transaction", in_exec)):
        with tempfile.TemporaryDirectory(prefix="demikv-test-") as folder:
            process = start_with_log(folder, *commands)
            try:
                c = connected(folder)
                told = {}
                busy = wait_until(lambda: c.call("CONFIG", "GET", "port").raw() == BUSY, 20)
                for words in (("PING",), ("GET", "a"), ("SCRIPT", "KILL"), ("FUNCTION", "KILL"), ("EVAL", "return 1", "0")):
                    told[words] = c.call(*words).raw()
                for words in (("INFO",), ("SHUTDOWN",), ("CLIENT", "LIST"), ("SUBSCRIBE", "x")):
                    told[words] = c.call(*words).raw()
                told[("RESET",)] = c.call("RESET").raw()
                right = [LOADING] * 5 + [BUSY] * 4 + [b"+RESET\r\n"]
                ok(tap, busy and list(told.values()) == right, "%s of a log runs long: LOADING, and BUSY for what is answered while data are loaded" % name, [told])
                wait_until(lambda: c.call("PING").raw() == b"+PONG\r\n", 60)
                values = [c.call("GET", k).text() for k in ("a", "sum", "b")]
                ok(tap, values == [b"1", b"900000003", b"2"], "%s: and all of it is there afterwards" % name, [values])
                process.terminate()
                ok(tap, process.wait(20) == 0, "%s: the server ends in order" % name)
            finally:
                process.kill()
                process.wait()
    for how in ("SHUTDOWN NOSAVE", "SIGTERM"):
        with tempfile.TemporaryDirectory(prefix="demikv-test-") as folder:
            process = start_with_log(folder, endless)
            try:
                c = connected(folder)
                busy = wait_until(lambda: c.call("CONFIG", "GET", "port").raw() == BUSY, 20)
                if how == "SIGTERM":
                    process.terminate()
                else:
                    c.send(encode(how.split()))
                ok(tap, busy and process.wait(20) == 0, "%s ends one that does not end" % how)
            finally:
                process.kill()
                process.wait()


def main():
    need_server()
    tap = Tap()
    server = Server(OURS, ["--busy-reply-threshold", "40"])
    if b"built without LuaJIT" in server.client().call("EVAL", "return 1", "0").raw():
        server.stop()
        skip_all("built without LuaJIT")
    try:
        for what, body in ENDLESS.items():
            check_endless(tap, server, what, body)
        check_transaction(tap, server)
        check_what_is_served(tap, server)
        check_waiting(tap, server)
        check_shutdown(tap, server)
    finally:
        server.stop()
    check_log(tap)
    tap.done()


main()
