#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The debugger of scripts beside what tests/compat/debugger.py compares: redis-cli's two modes; what others are told while a script is
stopped; and that no client of the debugger, whatever it does or does not, holds the server or what runs in it."""
import os
import time

from here import OURS, Server, Tap, log_has, need, need_server, run, skip_all, wait_until
from resp import Closed, Silent, encode

BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
END = b"*1\r\n+<endsession>\r\n"
SCRIPT = "redis.call('set', 'k', 1)\nredis.call('incr', 'k')\nreturn redis.call('get', 'k')"
ENDLESS = "local n = 0\nwhile true do\n  n = n + 1\nend"


def ok(tap, passed, claim, notes=()):
    tap.ok(passed, claim, () if passed else notes)


def debug(server, script, *args):
    """A client whose script is stopped before its first line."""
    client = server.client(20)
    client.call("SCRIPT", "DEBUG", "SYNC")
    client.send(encode(["EVAL", script] + list(args or ["0"])))
    client.read()
    return client


def say(client, *words):
    client.send(encode(words))
    return client.read().raw()


def is_closed(client):
    try:
        client.read()
        return False
    except Closed:
        return True


def check_redis_cli(tap, server, folder):
    cli = need("redis-cli")
    path = os.path.join(folder, "script.lua")
    with open(path, "w") as file:
        file.write(SCRIPT)
    status, output = run([cli, "-s", server.path, "--ldb-sync-mode", "--eval", path], timeout=30, input="s\np\nc\nquit\n")
    wanted = ["Lua debugging session started", "* Stopped at 1, stop reason = step over", "<redis> set k 1", '<reply> "+OK"',
              "-> 2   redis.call('incr', 'k')", '"2"']
    ok(tap, all(w in output for w in wanted), "redis-cli --ldb-sync-mode shows a session", [status] + output.splitlines())
    server.client().call("SET", "k", "before")
    status, output = run([cli, "-s", server.path, "--ldb", "--eval", path], timeout=30, input="s\n")
    kept = server.client().call("GET", "k").raw()
    ok(tap, "Eval debugging session can't start" in output and "--ldb-sync-mode" in output and kept == b"$6\r\nbefore\r\n",
       "redis-cli --ldb, which wants its changes forgotten, is refused and nothing is run", [status, kept] + output.splitlines())


def check_modes(tap, server):
    client = server.client()
    said = [client.call("SCRIPT", "DEBUG", mode).raw() for mode in ("YES", "NO", "x")]
    ok(tap, said[0].startswith(b"-ERR SCRIPT DEBUG YES is not supported") and said[1] == b"+OK\r\n" and said[2] == b"-ERR Use SCRIPT DEBUG YES/SYNC/NO\r\n", "YES is refused", said)
    ok(tap, client.call("EVAL", "return 1", "0").raw() == b":1\r\n", "NO ends what YES or SYNC began")
    client.call("SCRIPT", "DEBUG", "SYNC")
    ok(tap, client.call("EVALSHA", "0" * 40, "0").raw() == b"-ERR Please use EVAL instead of EVALSHA for debugging\r\n", "EVALSHA is refused")
    client.call("RESET")
    ok(tap, client.call("EVAL", "return 1", "0").raw() == b":1\r\n", "RESET ends it, too")
    client.send(encode(["PING"]) + encode(["SCRIPT", "DEBUG", "SYNC"]))
    ok(tap, [client.read().raw(), client.read().raw()][1] == b"-ERR SCRIPT DEBUG must be called outside a pipeline\r\n", "not in a pipeline")
    client.send(b"".join(encode(words) for words in (["MULTI"], ["SCRIPT", "DEBUG", "SYNC"], ["EXEC"])))
    ok(tap, b"outside a pipeline" in [client.read().raw() for _ in range(3)][2], "nor in a transaction")
    client.call("SCRIPT", "DEBUG", "SYNC")
    client.send(encode(["EVAL", SCRIPT, "0"]) + encode(["s"]) + encode(["c"]))
    said = [client.read().raw() for _ in range(4)]
    ok(tap, said[0].startswith(b"*2\r\n+* Stopped at 1,") and b"Stopped at 2," in said[1] and said[2:] == [END, b"$1\r\n2\r\n"],
       "what is sent behind EVAL is for the debugger", said)
    client = server.client()
    client.call("SCRIPT", "DEBUG", "SYNC")
    queued = [client.call(*words).raw() for words in (["MULTI"], ["SET", "m", "1"], ["EVAL", SCRIPT, "0"], ["INCR", "m"])]
    stopped = say(client, "EXEC")
    ended, replies = say(client, "c"), client.read().raw()
    ok(tap, b"Stopped at 1," in stopped and ended == END and replies == b"*3\r\n+OK\r\n$1\r\n2\r\n:2\r\n" and is_closed(client),
       "inside EXEC: the lines come first, then all replies", [queued, stopped, ended, replies])


def check_others(tap, server):
    waiting = server.client(20)
    waiting.send(encode(["BLPOP", "l", "0"]))
    server.client().call("PING")
    client = debug(server, "redis.call('rpush', 'l', 'a')\nredis.call('rpush', 'l', 'b')\nreturn redis.call('llen', 'l')")
    other = server.client()
    ok(tap, other.call("PING").raw() == BUSY, "while a script is stopped others are told so")
    ok(tap, other.call("EVAL", "return 1", "0").raw() == BUSY, "and run no script")
    say(client, "s")
    ok(tap, other.call("SCRIPT", "KILL").raw().startswith(b"-UNKILLABLE"), "one that has written is not killed")
    ended, reply = say(client, "c"), client.read().raw()
    ok(tap, ended == END and reply == b":2\r\n" and is_closed(client), "to its end, and the connection is closed", [ended, reply])
    ok(tap, waiting.read().raw() == b"*2\r\n$1\r\nl\r\n$1\r\na\r\n" and other.call("PING").raw() == b"+PONG\r\n", "who waited is served then")
    client = debug(server, "local a = 1\nreturn a")
    said = [other.call("SCRIPT", "KILL").raw(), client.read().raw(), client.read().raw()]
    ok(tap, said[0] == b"+OK\r\n" and said[1] == END and said[2].startswith(b"-ERR Script killed by user"), "SCRIPT KILL ends one that is stopped", said)
    ok(tap, other.call("PING").raw() == b"+PONG\r\n", "and all is as before")


def check_gone(tap, server):
    """It runs on, as in Redis, and the session has ended."""
    other = server.client()
    other.call("DEL", "k")
    debug(server, SCRIPT).close()
    ok(tap, wait_until(lambda: other.call("GET", "k").raw() == b"$1\r\n2\r\n", 20), "a client that goes away: its script runs to the end")
    client = debug(server, ENDLESS)
    say(client, "b", "3")
    client.close()
    ok(tap, wait_until(lambda: other.call("PING").raw() == b"+PONG\r\n", 20), "or is ended, if that does not come")
    client = debug(server, "while true do\n  pcall(function() while true do end end)\nend")
    client.send(encode(["c"]))
    client.close()
    ok(tap, wait_until(lambda: other.call("PING").raw() == b"+PONG\r\n", 20), "whatever it catches")
    client = debug(server, SCRIPT)
    client.send(b"*1\r\n$1\r\n")
    client.close()
    ok(tap, wait_until(lambda: other.call("PING").raw() == b"+PONG\r\n", 20), "in the middle of a command")


def check_endless(tap, server):
    client, other = debug(server, ENDLESS), server.client(20)
    stopped = say(client, "c")
    ok(tap, b"stop reason = timeout reached, infinite loop?" in stopped, "a script that runs on and on is stopped", [stopped])
    ok(tap, other.call("PING").raw() == BUSY and b"<value> n = " in say(client, "p"), "and can be looked at")
    ended = say(client, "a")
    ok(tap, ended == END and client.read().raw().startswith(b"-ERR script aborted for user request"), "and ended", [ended])
    client = debug(server, "local a = ('a'):rep(200)\nlocal b = a:find(('.-'):rep(20) .. 'b')\nreturn b")
    ok(tap, b"Stopped at 2, stop reason = timeout" in say(client, "c"), "a pattern that tries everything is stopped, too")
    ok(tap, say(client, "a") == END, "and ended")
    client = debug(server, "pcall(function()\n  local a = 1\nend)\nreturn 1")
    say(client, "s")
    ok(tap, say(client, "a") == END and client.read().raw().startswith(b"-ERR script aborted"), "an end that pcall cannot catch")
    for code in ("while true do end", "while true do pcall(function() while true do end end) end", "coroutine.wrap(function() while true do end end)()",
                 "('a'):rep(200):find(('.-'):rep(20) .. 'b')"):
        client = debug(server, "local a = 1\nreturn a")
        said, on = say(client, "eval", code), say(client, "s")
        ok(tap, b"<error>" in said and b"this takes too long" in said and b"Stopped at 2" in on, "code by hand that does not end: %s" % code, [said, on])
        say(client, "c")
    client = debug(server, "local a = 1\nreturn a")
    said = say(client, "eval", "redis.call('nosuch')")
    ok(tap, b"<error> ERR Unknown Redis command" in said, "code by hand whose error is a table", [said])
    client.close()
    ok(tap, wait_until(lambda: other.call("PING").raw() == b"+PONG\r\n", 20), "and all is as before")


def check_bounds(tap, server):
    client = debug(server, "local a = 1\nreturn a")
    client.send(b"*1024\r\n" + (b"$1024\r\n" + b"x" * 1024 + b"\r\n") * 1023)
    try:
        said = [client.read().raw(), client.read().raw()]
    except Silent:
        said = ["silent"]
    ok(tap, said[0] == END and said[1].startswith(b"-ERR max client buffer reached"), "a command of more than 1 MiB ends the script", said)
    client = debug(server, "local t = {}\nfor i = 1, 100000 do t[i] = t end\nlocal a = 1\nreturn a")
    say(client, "b", "3")
    say(client, "c")
    say(client, "m", "0")
    client.timeout = 60
    said = say(client, "p", "t")
    ok(tap, b"<max recursion level reached! Nested table?>" in said and len(said) < 20 << 20, "a value without an end is shown up to 16 MiB", [len(said)])
    say(client, "c")
    client = debug(server, "for i = 1, 30 do redis.debug(('x'):rep(2000000)) end\nreturn 1")
    client.timeout = 60
    said = b""
    while len(said) < 1000:  # it is told that this takes long
        said = say(client, "c")
    ok(tap, b"was left out" in said and len(said) < 40 << 20, "so are a script's own lines", [len(said)])
    listing = "-- " + "x" * 1000 + "\n"
    client = debug(server, listing * 1000 + "return 1")
    client.send(encode(["w"]) * 2000)
    other = server.client(20)
    ok(tap, other.call("PING").raw() == BUSY, "a client that asks and does not read")
    used = int(other.call("SCRIPT", "KILL").raw() == b"+OK\r\n")
    client.close()
    ok(tap, used and wait_until(lambda: other.call("PING").raw() == b"+PONG\r\n", 20) and "used_memory_peak:" in other.call("INFO", "memory").text().decode(), "does not fill the memory")
    peak = int([line for line in other.call("INFO", "memory").text().decode().splitlines() if line.startswith("used_memory_peak:")][0].split(":")[1])
    ok(tap, peak < 200 << 20, "nor has it", [peak])


def check_effects(tap, server):
    """Handed over together when the script has ended, as for any script."""
    reader = server.client(20)
    reader.call("CONFIG", "SET", "appendonly", "yes")
    wait_until(lambda: b"aof_rewrite_in_progress:0" in reader.call("INFO", "persistence").raw(), 20)
    client = debug(server, SCRIPT)
    for word in ("s", "s", "s"):
        said = say(client, word)
    client.read()
    folder = os.path.join(server.dir, "appendonlydir")
    wanted = b"".join(encode(words) for words in (["MULTI"], ["SELECT", "0"], ["set", "k", "1"], ["incr", "k"], ["EXEC"]))

    def log():
        return b"".join(open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder) if name.endswith(".incr.aof"))

    written = wait_until(lambda: log().endswith(wanted), 20)
    ok(tap, said.endswith(b"+<endsession>\r\n") and written, "effects lie in the log as those of a script", [said, log()[-300:]])


def check_shutdown(tap, server):
    client, other = debug(server, SCRIPT), server.client(20)
    say(client, "s")
    try:
        other.call("SHUTDOWN", "NOSAVE")
        closed = False
    except Closed:
        closed = True
    ok(tap, closed and server.process.wait(20) == 0, "SHUTDOWN NOSAVE ends the server, though a script is stopped")


def main():
    need_server()
    tap = Tap()
    server = Server(OURS, ["--busy-reply-threshold", "100"])
    if b"built without LuaJIT" in server.client().call("EVAL", "return 1", "0").raw():
        server.stop()
        skip_all("built without LuaJIT")
    try:
        check_redis_cli(tap, server, server.dir)
        check_modes(tap, server)
        check_others(tap, server)
        check_gone(tap, server)
        check_endless(tap, server)
        check_bounds(tap, server)
        check_effects(tap, server)
        ok(tap, server.alive() and log_has(server, "synchronous debugging eval session ended"), "the server lives, and its log tells of sessions")
        check_shutdown(tap, server)
    finally:
        server.stop()
    tap.done()


main()
