#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What once broke redis-server or valkey in scripts, streams and users, each by the number of its CVE: it is answered, and the server is as it
was. More scripts of these kinds are in tests/compat/script_vectors/hostile.tsv."""
import threading

from here import OURS, Server, Tap, need_server, skip_all, wait_until
from resp import Closed, Silent, encode

INT64 = ("9223372036854775807", "-9223372036854775808", "2147483648", "-2147483649", "4294967296", "1152921504606846976", "-0")
EDGES = "{2^31, -2^31, 2^31 - 1, 2^32, -2^32, 2^53, 2^60, 2^63, -2^63, 1/0, -1/0, 0/0, -1, 0}"


def one_line(raw):
    return raw.startswith(b"-") and raw.count(b"\n") == 1


def evaluated(client, script, *args):
    return client.call("EVAL", script, *(args or ("0",))).raw()


class Case:
    """Claims with the CVE in front; a server that dies or hangs fails the claim and is started again."""

    def __init__(self, tap, server):
        self.tap, self.server = tap, server

    def __call__(self, claim, test):
        try:
            said = test(self.server.client(30))
            passed = said is True or (not isinstance(said, tuple) and bool(said))
        except (Closed, Silent, OSError, ValueError) as error:
            said, passed = repr(error), False
        alive = self.server.alive() and self.server.client(30).call("PING").raw() == b"+PONG\r\n"
        self.tap.ok(passed and alive, claim, [] if passed and alive else [said, "alive" if alive else "dead"] + self.server.log_tail())
        if not alive:
            self.server.revive()


# --- Lua ------------------------------------------------------------------------------------------------------------


def check_libraries(case):
    case("CVE-2015-8080, CVE-2018-11219, CVE-2020-14147: struct with widths, counts and offsets at the edges of integers", lambda c: evaluated(
        c, "for _, f in ipairs{'I33', 'i0', 'I2147483648', 'I4294967297', 'I-1', 'c2147483647', 'c4294967295', 'c99999999999999999999', '!2147483648', '!0', '!33', '>!64i64'} do "
        "pcall(struct.pack, f, 1) pcall(struct.unpack, f, 'abcdefgh') pcall(struct.size, f) end "
        "for _, n in ipairs" + EDGES + " do pcall(struct.unpack, 'I4', 'abcdefgh', n) pcall(struct.unpack, 'c0', 'abc', n) pcall(struct.pack, 'Bc0', n, 'a') pcall(struct.unpack, '>I8c0', struct.pack('>I8', n) .. 'x') end "
        "return 1") == b":1\r\n")
    case("CVE-2018-11218: cmsgpack of tables in each other, of itself, and of what announces more than there is", lambda c: evaluated(
        c, "local t = {} t[1] = t local ok, s = pcall(cmsgpack.pack, t) local deep = {} local at = deep for i = 1, 5000 do at[1] = {} at = at[1] end pcall(cmsgpack.pack, deep) "
        "for _, b in ipairs{'\\221\\255\\255\\255\\255', '\\223\\255\\255\\255\\255', '\\219\\255\\255\\255\\255a', '\\198\\255\\255\\255\\255', '\\220\\255\\255', string.rep('\\145', 100000), "
        "string.rep('\\129', 100000)} do pcall(cmsgpack.unpack, b) pcall(cmsgpack.unpack_limit, b, 2^31, 0) pcall(cmsgpack.unpack_one, b, 2^40) end return 1") == b":1\r\n")
    case("CVE-2022-24834: cjson.encode of what would make its buffer's size run over", lambda c: evaluated(
        c, "local s = ('\\1'):rep(1000000) local t = {} for i = 1, 40 do t[i] = s end return #cjson.encode(t)").startswith(b":2400"))
    case("CVE-2022-24834: a long string, six times as long when it is escaped", lambda c: one_line(evaluated(
        c, "local s = ('\\1'):rep(2^28) return #cjson.encode({s, s, s, s, s, s, s, s})")))
    case("CVE-2024-31449: bit.tohex and its kin with the least number", lambda c: evaluated(
        c, "for _, n in ipairs" + EDGES + " do for _, m in ipairs" + EDGES + " do pcall(bit.tohex, n, m) pcall(bit.lshift, n, m) pcall(bit.rol, n, m) pcall(bit.arshift, n, m) end end "
        "return {bit.tohex(65535, -2147483648), bit.tohex(1, 2147483648)}") == b"*2\r\n$8\r\n0000FFFF\r\n$8\r\n00000001\r\n")


def check_language(case):
    case("CVE-2015-4335: bytecode is not loaded, by none of the functions that load", lambda c: evaluated(
        c, "local d = string.dump(function() return 1 end) return {loadstring(d) == nil, load(function() local x = d d = nil return x end) == nil, loadstring('\\27Lua') == nil}") == b"*3\r\n:1\r\n:1\r\n:1\r\n")
    case("CVE-2015-4335: nor as a program", lambda c: one_line(c.call("EVAL", b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00", "0").raw()) and one_line(c.call("EVAL", b"\x1bLJ\x02\x0a", "0").raw())
         and one_line(c.call("FUNCTION", "LOAD", b"#!lua name=x\n\x1bLJ\x02\x0a").raw()))
    case("CVE-2022-0543: package, io, ffi, jit, debug and what loads files are not there", lambda c: evaluated(
        c, "local found = {} for _, n in ipairs{'package', 'io', 'ffi', 'jit', 'debug', 'require', 'module', 'dofile', 'loadfile', 'print', 'getfenv', 'setfenv', 'newproxy', 'loadlib'} do "
        "if pcall(function() return _G[n] end) and rawget(_G, n) ~= nil then found[#found + 1] = n end end return found") == b"*0\r\n"
        and evaluated(c, "return type(os.execute) .. type(os.getenv) .. type(os.exit) .. type(os.clock)") == b"$17\r\nnilnilnilfunction\r\n")
    case("CVE-2021-32626: values beyond Lua's stack", lambda c: one_line(evaluated(c, "return {unpack({}, 1, 1000000)}")) and one_line(evaluated(
        c, "local t = {} for i = 1, 100000 do t[i] = 'x' end return redis.call('mset', unpack(t))")))
    case("CVE-2021-32626: replies in each other", lambda c: one_line(evaluated(c, "local t = {} local at = t for i = 1, 7 do at[1] = {} at = at[1] end error(t)")))
    case("CVE-2025-46817: unpack over a range that no integer holds", lambda c: evaluated(
        c, "for _, a in ipairs" + EDGES + " do for _, b in ipairs" + EDGES + " do if b - a > 8000 or b - a ~= b - a then assert(not pcall(unpack, {}, a, b) or b < a or a ~= a or b ~= b or true) end end end "
        "return {pcall(unpack, {}, -2147483648, 2147483647)}").startswith(b"*2\r\n$-1\r\n"))
    case("CVE-2025-46818: metatables that all scripts share cannot be changed", lambda c: evaluated(
        c, "local taken = {} for _, v in ipairs{'', 1, true, redis.call} do local mt = getmetatable(v) if mt and (pcall(function() mt.__index = 1 end) or pcall(rawset, mt, 'x', 1)) "
        "then taken[#taken + 1] = type(v) end end if getmetatable(nil) and pcall(function() getmetatable(nil).x = 1 end) then taken[#taken + 1] = 'nil' end return taken") == b"*0\r\n")
    case("CVE-2025-46818: nor what one user's script leaves for another's", lambda c: one_line(evaluated(c, "string.sub = function() return 'pwned' end")) and one_line(evaluated(
        c, "getmetatable('').__index.sub = function() return 'pwned' end")) and evaluated(c, "return ('abc'):sub(1, 1)") == b"$1\r\na\r\n")
    case("CVE-2025-46819: long brackets and strings of every length are read to their end", lambda c: all(evaluated(c, "return " + s).count(b"\r\n") >= 1 for s in (
        "[" + "=" * 100000 + "[x]" + "=" * 100000 + "]", "[" + "=" * 100000, "[" + "=" * 65536 + "[", "--[" + "=" * 70000 + "[\n", "'" + "x" * 100000, "[==[" + "]=" * 50000)))
    case("CVE-2025-49844: what the parser has made is not collected under its hands", lambda c: all(evaluated(c, s) for s in (
        "collectgarbage('setpause', 0) collectgarbage('setstepmul', 1000000) for i = 1, 200 do loadstring('return ' .. ('{' .. ('\"x' .. i .. '\",'):rep(200) .. '}')) end return 1",
        "for i = 1, 200 do loadstring(('local a' .. i .. ' = \"' .. ('y'):rep(1000) .. '\" '):rep(50), ('n'):rep(i * 100)) end return 1")))
    case("CVE-2024-46981: the collector, asked for at any time, by any finalizer", lambda c: evaluated(
        c, "for i = 1, 300 do local t = setmetatable({}, {__gc = function() error('gc') end, __mode = 'kv'}) t[{}] = {} collectgarbage('step', 1) end collectgarbage() return 1") == b":1\r\n")
    case("CVE-2025-67733: newlines in what a script answers do not become replies", lambda c: evaluated(c, "return redis.error_reply('a\\r\\n+OK')") == b"-ERR a  +OK\r\n" and evaluated(
        c, "return redis.status_reply('a\\r\\n-ERR b')") == b"+a  -ERR b\r\n" and one_line(evaluated(c, "error({err = 'a\\r\\n$1\\r\\nx'})")) and one_line(evaluated(c, "error('a\\r\\nb')")))


def check_sandbox(case, server):
    def injected(c):
        c.call("ACL", "SETUSER", "low", "on", "nopass", "+@scripting", "~low*", "+get")
        low = server.client(30)
        low.call("AUTH", "low", "x")
        low.call("EVAL", "redis.get = function() return 'x' end", "0")
        low.call("EVAL", "rawset(_G, 'KEYS', {'stolen'}) rawset(redis, 'call', nil)", "0")
        low.call("EVAL", "KEYS[1] = 'mine' ARGV[1] = 'mine' table.insert(KEYS, 'x')", "0")
        low.call("FUNCTION", "LOAD", "#!lua name=evil\nredis.register_function('f', function() redis.call = nil end) redis.register_function = nil")
        low.call("EVAL", "setmetatable(_G, {__index = function() return 'x' end})", "0")
        c.call("SET", "k", "v")
        mine = evaluated(c, "return {redis.call('get', 'k'), KEYS[1], ARGV[1], type(redis.get)}")
        denied = low.call("EVAL", "return redis.call('set', 'low', '1')", "0").raw()
        return mine.startswith(b"*1\r\n$1\r\nv\r\n") and denied.startswith(b"-ERR ACL failure in script") or (mine, denied)

    case("CVE-2022-24735: what a user of few rights leaves behind does not run with another's", injected)
    case("CVE-2022-24736: a program that would crash while it is compiled, or of nothing", lambda c: all(c.call("SCRIPT", "LOAD", body).raw() for body in (
        "", "\0", "return", "#!lua", "#!lua\n", "#", "end", "local", "return " + "(" * 300 + ")" * 300, "local a" + ",a" * 300, "return " + "-" * 5000 + "1", "goto x", "::x::" * 3000)))

    def flushed(c):
        """While a script runs, others ask for what would take its state or data away."""
        runs = server.client(30)
        runs.send(encode(["EVAL", "redis.setresp(3) local n = 0 while true do n = n + #redis.call('keys', '*') end", "0"]))
        if not wait_until(lambda: server.client(30).call("PING").raw().startswith(b"-BUSY"), 20):
            return "nobody is busy"
        said = [c.call(*words).raw() for words in (["FLUSHALL"], ["SCRIPT", "FLUSH"], ["FUNCTION", "FLUSH"], ["CONFIG", "SET", "save", ""], ["ACL", "LOAD"], ["CLIENT", "KILL", "TYPE", "normal"], ["SYNC"])]
        killed = c.call("SCRIPT", "KILL").raw()
        ended = runs.read().raw()
        return all(s.startswith(b"-BUSY") for s in said) and killed == b"+OK\r\n" and ended.startswith(b"-ERR Script killed") or (said, killed, ended)

    case("CVE-2026-23631: FLUSHALL, SCRIPT FLUSH and SYNC while a script runs", flushed)
    case("CVE-2026-23631: a script that asks for them itself", lambda c: evaluated(
        c, "local s = {} for _, w in ipairs{'sync', 'psync', 'slaveof', 'shutdown', 'debug', 'monitor', 'script'} do s[#s + 1] = redis.pcall(w, 'a', 'b').err and 1 or 0 end "
        "redis.call('flushall') return s") == b"*7\r\n" + b":1\r\n" * 7)


def check_debugger(case, server):
    """CVE-2021-32672: a debugger that reads behind what was sent."""
    def broken(sent):
        def test(c):
            c.call("SCRIPT", "DEBUG", "SYNC")
            c.send(encode(["EVAL", "return 1", "0"]))
            c.read()
            c.send(sent)
            said = c.read().raw()
            return b"<endsession>" in said and one_line(c.read().raw())
        return test

    for sent in (b"*1\r\n$-1\r\n", b"*1\r\n$0\r\n", b"*-1\r\n", b"*1\r\n$99999999999\r\nx\r\n", b"*1025\r\n", b"\r\n", b"*1\r\n$1\r\nsXX"):
        case("CVE-2021-32672: to the debugger of scripts: %r" % sent, broken(sent))


# --- users ----------------------------------------------------------------------------------------------------------


def check_users(case, server):
    case("CVE-2024-31227, CVE-2024-51741: selectors and key permissions that are none", lambda c: all(c.call("ACL", "SETUSER", "m", *rule).is_error() for rule in (
        ["%~"], ["%"], ["%R"], ["%RW"], ["%X~a"], ["%RWX~a"], ["%R~a", "("], ["(%~a)"], ["(%)"], ["(%RW)"], ["(%R~a"], ["("], [")"], ["()()"], ["(()"], ["(on)"], ["(+@all", "~a"], ["%" + "R" * 1000 + "~a"])))

    def sorted_by(c):
        c.call("ACL", "SETUSER", "s", "reset", "on", "nopass", "+sort", "+sort_ro", "+@connection", "~mine*")
        c.call("RPUSH", "mine", "1", "2")
        c.call("SET", "secret1", "a")
        c.call("RPUSH", "other", "1")
        s = server.client(30)
        s.call("AUTH", "s", "x")
        said = [s.call(*words).raw() for words in (["SORT_RO", "other"], ["SORT_RO", "mine", "GET", "secret*"], ["SORT_RO", "mine", "BY", "secret*"], ["SORT", "mine", "STORE", "other"],
                                                   ["SORT", "mine", "GET", "#", "STORE", "other"], ["SORT_RO", "mine", "BY", "nosort", "GET", "secret*"])]
        return all(one_line(reply) and (b"NOPERM" in reply or b"denied" in reply) for reply in said) and s.call("SORT_RO", "mine").raw() == b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n" or tuple(said)

    case("CVE-2023-41053: SORT_RO and SORT read and write keys that the user may", sorted_by)

    def by_every_form(c):
        """Keys wherever a command names them: what DRYRUN says is what happens."""
        c.call("ACL", "SETUSER", "d", "reset", "on", "nopass", "+@all", "~mine*", "-@connection", "+auth")
        d = server.client(30)
        d.call("AUTH", "d", "x")
        forms = (["GET", "o"], ["MGET", "mine", "o"], ["SET", "mine", "1"], ["RENAME", "mine", "o"], ["COPY", "mine", "o"], ["ZUNION", "2", "mine", "o"], ["ZUNIONSTORE", "mine", "1", "o"], ["SINTERCARD", "2", "mine", "o"],
                 ["LMPOP", "2", "mine", "o", "LEFT"], ["EVAL", "return 1", "2", "mine", "o"], ["EVAL", "return 1", "1", "mine"], ["FCALL", "f", "1", "o"], ["XREAD", "STREAMS", "mine", "o", "0", "0"],
                 ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "o", ">"], ["BITOP", "AND", "mine", "o"], ["SORT", "mine", "STORE", "o"], ["OBJECT", "ENCODING", "o"], ["MEMORY", "USAGE", "o"], ["XINFO", "STREAM", "o"],
                 ["XGROUP", "CREATE", "o", "g", "$"], ["MSET", "mine", "1", "o", "2"], ["BLPOP", "mine", "o", "0.01"], ["SMOVE", "mine", "o", "a"], ["DEBUG", "OBJECT", "o"], ["LCS", "mine", "o"], ["TOUCH", "mine", "o"], ["PFMERGE", "o"], ["PFMERGE", "mine", "o"],
                 ["GEOSEARCHSTORE", "mine", "o", "FROMLONLAT", "1", "1", "BYRADIUS", "1", "m"], ["GEORADIUS", "mine", "1", "1", "1", "m", "STOREDIST", "o"],
                 ["RESTORE", "o", "0", "x"], ["DUMP", "o"], ["PFCOUNT", "mine", "o"], ["GEOSEARCHSTORE", "o", "mine", "FROMMEMBER", "a", "BYRADIUS", "1", "m"], ["WATCH", "o"], ["SUBSTR", "o", "0", "1"])
        wrong = []
        for words in forms:
            said, happens = c.call("ACL", "DRYRUN", "d", *words).raw(), d.call(*words).raw()
            if said.startswith(b"-ERR Command '"):
                continue  # there is none of this name
            if (said == b"+OK\r\n") == (b"NOPERM" in happens):
                wrong.append((words, said, happens))
        return not wrong or tuple(wrong)

    case("key permissions: what ACL DRYRUN says of a command is what happens, by every way to name a key", by_every_form)

    def pattern_takes_long(c):
        pattern = "*a" * 500
        return all(c.call(*words).raw() for words in (["ACL", "SETUSER", "p", "on", "~" + pattern, "&" + pattern, "+get"], ["ACL", "DRYRUN", "p", "GET", "a" * 100000], ["KEYS", pattern], ["SCAN", "0", "MATCH", pattern],
                                                      ["PSUBSCRIBE", pattern], ["PUNSUBSCRIBE"], ["FUNCTION", "LIST", "LIBRARYNAME", pattern], ["CONFIG", "GET", pattern], ["ACL", "DELUSER", "p"]))

    case("CVE-2022-36021, CVE-2024-31228: patterns that try everything, wherever one is taken", pattern_takes_long)

    def user_goes(c):
        """Who runs is removed, by himself and by another, in the middle of what he does."""
        for i in range(20):
            c.call("ACL", "SETUSER", "gone%d" % i, "on", "nopass", "+@all", "~*", "&*")
        clients = [server.client(30) for _ in range(20)]
        for i, client in enumerate(clients):
            client.call("AUTH", "gone%d" % i, "x")
            client.send(encode([["BLPOP", "nothing", "0"], ["SUBSCRIBE", "ch"], ["MULTI"], ["ACL", "DELUSER", "gone%d" % i], ["EVAL", "return redis.pcall('acl', 'deluser', 'gone%d')" % i, "0"]][i % 5]))
        c.call("ACL", "DELUSER", *["gone%d" % i for i in range(20)])
        return len(c.call("ACL", "USERS").kids) < 12

    case("valkey 3181: a user goes while he blocks, subscribes, queues, and removes himself", user_goes)


# --- streams and lives ----------------------------------------------------------------------------------------------


def check_streams(case, server):
    def claims(c):
        c.call("XGROUP", "CREATE", "st", "g", "0", "MKSTREAM")
        for i in range(1, 6):
            c.call("XADD", "st", "%d-1" % i, "f", "v")
        c.call("XREADGROUP", "GROUP", "g", "a", "STREAMS", "st", ">")
        for n in INT64:
            for words in (["XAUTOCLAIM", "st", "g", "b", "0", "0", "COUNT", n], ["XAUTOCLAIM", "st", "g", "b", n, "0"], ["XCLAIM", "st", "g", "b", n, "1-1"], ["XCLAIM", "st", "g", "b", "0", "1-1", "RETRYCOUNT", n],
                          ["XPENDING", "st", "g", "IDLE", n, "-", "+", n], ["XRANGE", "st", "-", "+", "COUNT", n], ["XREAD", "COUNT", n, "STREAMS", "st", "0"], ["XTRIM", "st", "MAXLEN", "~", "5", "LIMIT", n],
                          ["XADD", "st", "MAXLEN", n, "*", "f", "v"], ["XSETID", "st", "9-9", "ENTRIESADDED", n, "MAXDELETEDID", "1-1"], ["XINFO", "STREAM", "st", "FULL", "COUNT", n], ["XREADGROUP", "GROUP", "g", "c", "COUNT", n, "STREAMS", "st", ">"],
                          ["XGROUP", "SETID", "st", "g", "0", "ENTRIESREAD", n]):
                c.call(*words)
        return c.call("XAUTOCLAIM", "st", "g", "b", "0", "0", "COUNT", "9223372036854775807").is_error()

    case("CVE-2022-31144, CVE-2022-35951: XAUTOCLAIM and its kin with counts at the edges of integers", claims)
    case("CVE-2018-12453: XGROUP and its kin on what is no stream", lambda c: c.call("SET", "str", "x").raw() and all(b"WRONGTYPE" in c.call(*words).raw() for words in (
        ["XGROUP", "CREATE", "str", "g", "$"], ["XGROUP", "SETID", "str", "g", "0"], ["XGROUP", "DESTROY", "str", "g"], ["XGROUP", "DELCONSUMER", "str", "g", "c"], ["XGROUP", "CREATECONSUMER", "str", "g", "c"],
        ["XACK", "str", "g", "1-1"], ["XPENDING", "str", "g"], ["XCLAIM", "str", "g", "c", "0", "1-1"], ["XAUTOCLAIM", "str", "g", "c", "0", "0"], ["XINFO", "STREAM", "str"], ["XSETID", "str", "1-1"])))

    def served_and_gone(c):
        """CVE-2026-23479: who waits goes away, is killed or times out while a script serves him."""
        for turn in range(15):
            waiting = [server.client(30) for _ in range(8)]
            for i, client in enumerate(waiting):
                client.send(encode((["BLPOP", "q", "0.05"], ["BLMOVE", "q", "q2", "LEFT", "RIGHT", "0"], ["XREADGROUP", "GROUP", "g", "c%d" % i, "BLOCK", "20", "STREAMS", "st", ">"], ["BZPOPMIN", "zq", "0"])[i % 4]))
            threads = [threading.Thread(target=w.close) for w in waiting[::3]]
            c.send(encode(["MULTI"]) + encode(["EVAL", "for i = 1, 3 do redis.call('rpush', 'q', i) redis.call('zadd', 'zq', i, i) redis.call('xadd', 'st', '*', 'f', 'v') end redis.call('del', 'zq')", "0"]) +
                   encode(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", "ID", str(turn)]) + encode(["XGROUP", "DESTROY", "st", "g"]) + encode(["XGROUP", "CREATE", "st", "g", "$"]) + encode(["EXEC"]))
            for t in threads:
                t.start()
            for _ in range(6):
                c.read()
            for t in threads:
                t.join()
            for w in waiting:
                w.close()
        return c.call("PING").raw() == b"+PONG\r\n"

    case("CVE-2026-23479: who waits goes while a script serves him", served_and_gone)


def main():
    need_server()
    tap = Tap()
    server = Server(OURS, ["--busy-reply-threshold", "300"])
    if b"built without LuaJIT" in server.client().call("EVAL", "return 1", "0").raw():
        server.stop()
        skip_all("built without LuaJIT")
    case = Case(tap, server)
    try:
        check_libraries(case)
        check_language(case)
        check_sandbox(case, server)
        check_debugger(case, server)
        check_users(case, server)
        check_streams(case, server)
    finally:
        server.stop()
    tap.done()


main()
