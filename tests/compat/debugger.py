#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Dialogues with the debugger of scripts (SCRIPT DEBUG SYNC): what it says to each command is what redis-server says, to the byte but for
addresses. TAP on stdout."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Closed, Silent, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

LOOP = """local sum = 0
for i = 1, 3 do
  sum = sum + i
end
return sum"""
NESTED = """local function inner(x)
  local y = x * 2
  return y
end
local function outer(x)
  local z = inner(x + 1)
  return z
end
local r = outer(1)
return r
"""
VALUES = """local s = "a\\n\\"q\\"\\0\\255"
local n, f, big = 1, 1.5, 12345678
local yes, no, none = true, false, nil
local empty, list, nested = {}, {1, "two", false}, {{1, {2}}, {a = {b = "c"}}}
local map = {k = "v"}
local deep = {}
local at = deep
for i = 1, 12 do at[1] = {} at = at[1] end
local long = ("x"):rep(500)
local fn = function() end
local co = coroutine.create(fn)
return redis.status_reply("done")"""
CALLS = """redis.call("set", KEYS[1], ARGV[1])
redis.call("rpush", "l", 1, 2, 3)
local a = redis.call("lrange", "l", 0, -1)
local b = redis.call("get", "nothing")
local c = redis.call("incr", "n")
local d = redis.pcall("incr", "l")
local e = redis.pcall("nosuch")
local f = redis.pcall("get")
local g = redis.pcall("subscribe", "x")
local h = redis.pcall({})
local i = redis.call("mset", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
local j = redis.error_reply("MY error")
local k = redis.call("set", "long", ("y"):rep(400))
local l = redis.call("get", "long")
local m = redis.call("object", "encoding", "n")
local n = redis.pcall()
return {a, b, c}"""
RESP3 = """redis.setresp(3)
local a = redis.call("hset", "h", "f", "v")
local b = redis.call("hgetall", "h")
local c = redis.call("zadd", "z", 1.5, "m")
local d = redis.call("zscore", "z", "m")
local e = redis.call("sadd", "s", "one")
local f = redis.call("smembers", "s")
local g = redis.call("get", "nothing")
local h = redis.call("debug", "protocol", "true")
return redis.call("hgetall", "h")"""
BREAKS = """local a = 1
if redis.breakpoint() then
  a = 2
end
redis.debug("here", a, {1, 2}, nil)
a = a + 1
a = a + 1
a = a + 1
return a"""
ERRORS = """local ok = pcall(function()
  error("caught")
end)
local t = nil
return t.x"""

# Name, script, keys and arguments, commands of the debugger.
DIALOGUES = [
    ("to the end at once", LOOP, (), ["c"]),
    ("step by step", LOOP, (), ["s"] * 12),
    ("next is step", LOOP, (), ["n", "next", "STEP", "Continue"]),
    ("one line", "return 1", (), ["l", "w", "p", "t", "s"]),
    ("no line", "", (), ["s"]),
    ("newlines at its end", "return 1\n\r\n\n", (), ["w", "list", "c"]),
    ("a first line with flags", "#!lua flags=no-writes\nlocal a = 1\nreturn a", (), ["w", "s", "p", "c"]),
    ("into functions", NESTED, (), ["s", "s", "p", "t", "s", "p", "t", "s", "p x", "p y", "p z", "t", "s", "s", "c"]),
    ("lists", NESTED, (), ["l", "l 3", "l 0", "l 9 1", "l 100", "l x", "l 5 0", "l 5 -1", "w", "whole", "l 2 3 4", "s", "l", "l 0 1", "c"]),
    ("values", VALUES, (), ["b 7", "b 9", "b 11", "c", "p s", "p n", "p f", "p big", "p yes", "p no", "p none", "p empty", "p list", "p nested", "c", "p map",
                            "p deep", "c", "p long", "p fn", "p co", "p nothere", "p KEYS", "p ARGV", "p redis", "c"]),
    ("all values", LOOP, (), ["p", "s", "p", "s", "p", "s", "p", "c"]),
    ("KEYS and ARGV", "local a = KEYS[1]\nreturn a", ("2", "k1", "k2", "a1", "a\n2"), ["p KEYS", "p ARGV", "e KEYS[2]", "e #ARGV", "c"]),
    ("texts that are cut", VALUES, (), ["b 11", "c", "p long", "p long", "m", "m 10", "p long", "m 100", "p long", "m 0", "p long", "maxlen", "m x", "m 1 2", "c"]),
    ("texts that are cut, told before", VALUES, (), ["m 70", "b 11", "c", "p long", "c"]),
    ("calls", CALLS, ("1", "k", "v"), ["s"] * 16 + ["c"]),
    ("calls that are not stepped over", CALLS, ("1", "k", "v"), ["b 17", "c", "s"]),
    ("calls of RESP3", RESP3, (), ["s"] * 11),
    ("commands by hand", "return 1", (), ["r set x 1", "r incr x", "redis get x", "r get none", "r lpush x 1", "r nosuch", "r get", "r", "r lrange none 0 -1",
                                        "R mget x none", "r ping", "c"]),
    ("code by hand", "local a = 1\nreturn a", (), ["e 1 + 1", "e return 2", "e 'a' .. 'b'", "e nosuch()", "e )", "e local x = 5", "e local x = 5 return x",
                                                  "e {1, 2, 3}", "e redis.call('ping')", "e error('no')", "e", "e redis.sha1hex('')", "eval  1", "c"]),
    ("breakpoints", LOOP, (), ["b", "b 3", "b", "b 3", "b 5", "b", "l 1 9", "c", "p sum", "c", "c", "b -3", "b", "b -3", "b 0", "b", "b 99", "b x", "b -", "c"]),
    ("several breakpoints in one command", LOOP, (), ["b 1 2 5", "b -5 0 x", "b", "c"]),
    ("too many breakpoints", "\n" * 70 + "return 1", (), ["b " + " ".join(str(n) for n in range(1, 66)), "b 66", "b 1", "c"]),
    ("redis.breakpoint() and redis.debug()", BREAKS, (), ["c", "p a", "c"]),
    ("redis.breakpoint() while stepping", BREAKS, (), ["s"] * 12),
    ("redis.debug() of every kind", "redis.debug()\nredis.debug(1, 'two', {3, {4}}, nil, true, 1.5, -0.25)\nreturn 1", (), ["c"]),
    ("errors", ERRORS, (), ["s"] * 6),
    ("an error at the top", "local a = 1\nerror('top')", (), ["c"]),
    ("an error of a command", "local a = 1\nredis.call('incr', 'notnumber', 'x')", (), ["s", "s"]),
    ("it does not compile", "return (", (), []),
    ("numkeys is no number", "return 1", ("x",), []),
    ("aborted", NESTED, (), ["s", "abort"]),
    ("aborted after it has written", "redis.call('set', 'w', 1)\nredis.call('set', 'w', 2)\nreturn 1", (), ["s", "a"]),
    ("no such command", "return 1", (), ["x", "xyz 1", "listen", "help me", "c"]),
    ("help", "return 1", (), ["h", "HELP", "c"]),
    ("the reply", "return {1, 'a', {ok = 'fine'}, false, 1.5}", (), ["c"]),
    ("goto, while and repeat", "local i = 0\nwhile i < 2 do\n  i = i + 1\nend\nrepeat\n  i = i - 1\nuntil i == 0\nreturn i", (), ["s"] * 14),
    ("pairs and ipairs", "local t = {5, 6}\nfor k, v in ipairs(t) do\n  t[k] = v + 1\nend\nfor k, v in pairs(t) do\n  t[k] = v\nend\nreturn t", (), ["s"] * 6 + ["p", "c"]),
    ("coroutines", "local co = coroutine.wrap(function(a)\n  local b = coroutine.yield(a)\n  return b\nend)\nlocal x = co(1)\nlocal y = co(2)\nreturn {x, y}", (),
     ["s", "s", "p", "t", "s", "s", "p", "c"]),
    ("sort with a function", "local t = {3, 1, 2}\ntable.sort(t, function(a, b)\n  return a < b\nend)\nreturn t", (), ["b 3", "c", "p", "t", "b 0", "c"]),
    ("statements of several lines", "local t = {a = 3}\nlocal s = string.format(\n  '%s %s',\n  'a',\n  'b'\n)\nif t.a == 1\n  or t.a == 2\nthen\n  s = 'x'\n"
     "elseif t.a == 3 then\n  s = 'y'\nelse\n  s = 'z'\nend\nwhile true do\n  if s then break end\nend\nreturn s", (), ["s"] * 30),
    ("functions in tables", "local t = {\n  f = function(self, x)\n    return x\n  end\n}\nfunction t.g(x)\n  return x + 1\nend\nlocal a = t:f(1)\nlocal b = t.g(a)\nreturn b", (),
     ["s"] * 4 + ["t"] + ["s"] * 10),
    ("a loop that begins again in the middle", "local n = 0\nfor i = 1, 2 do\n  for j = 1, 2 do\n    n = n + 1\n  end\nend\nreturn n", (), ["s"] * 20),
    ("strings of several lines", "local s = [[a\nb]]\nlocal t = s\nreturn t", (), ["s", "p", "w", "c"]),
]
# Bytes that are no command: what is replied, and then the end.
BROKEN = [b"hello\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"*1\r\n$0\r\n\r\n", b"*1\r\n$1025\r\n", b"*1025\r\n", b"*1\r\n$1\r\nsX\r\n"]
ADDRESS = re.compile(rb"@0x[0-9a-f]+")


def start(server, script, args):
    client = server.client()
    said = client.call("SCRIPT", "DEBUG", "SYNC").raw()
    client.send(encode(["EVAL", script] + (list(args) or ["0"])))
    return client, [said]


def read_all(client, to):
    """What there is: an array of lines, and the reply behind <endsession>; False: that was the end."""
    lines = client.read()
    to.append(lines.raw())
    if not lines.kids or lines.kids[-1].raw() != b"+<endsession>\r\n":
        return True
    to.append(client.read().raw())
    try:
        to.append(client.read().raw())
    except Closed:
        to.append(b"closed")
    return False


def talk(server, script, args, commands):
    """All that is said, and what the data are in the end."""
    server.client().call("FLUSHALL")
    client, said = start(server, script, args)
    try:
        goes_on = read_all(client, said)
        for command in commands:
            if not goes_on:
                break
            client.send(encode(command.split(" ")) if isinstance(command, str) else command)
            goes_on = read_all(client, said)
    except (Closed, Silent) as why:
        said.append(repr(why).encode())
    client.close()
    said.append(server.client().call("DEBUG", "DIGEST").raw())
    return [ADDRESS.sub(b"@", s) for s in said]


def differences(one, other):
    for i in range(max(len(one), len(other))):
        a, b = (one[i] if i < len(one) else b"nothing"), (other[i] if i < len(other) else b"nothing")
        if a != b:
            return ["at %d:" % i, "redis-server: %r" % a, "demikv:       %r" % b]
    return []


def main():
    for binary in (OURS, REDIS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(OURS) as ours, Server(REDIS) as redis:
        if b"built without LuaJIT" in ours.client().call("EVAL", "return 1", "0").raw():
            skip_all("built without LuaJIT")
        for name, script, args, commands in DIALOGUES:
            notes = differences(talk(redis, script, args, commands), talk(ours, script, args, commands))
            tap.ok(not notes, name, notes)
        for bytes_ in BROKEN:
            notes = differences(talk(redis, LOOP, (), [bytes_]), talk(ours, LOOP, (), [bytes_]))
            tap.ok(not notes, "no command: %r" % bytes_, notes)
    tap.done()


if __name__ == "__main__":
    main()
