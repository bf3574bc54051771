# SPDX-License-Identifier: MIT
"""Random commands over a small key space: valid, nearly valid and wrong.

A template is a line of tokens: {k} draws from the pool of that name, (a|b) one of several, [a|b] one of several or nothing;
~ is a space inside them, a + after a token repeats it one to three times; {!} is a whole command. What a command's reply may differ
in stands before the template, as in the case files. Only commands whose effect is the same on every server are here: no SPOP
of a few members, no expiry that could fall due, no SORT of a sorted set (Redis turns its listpack into a skiplist for
that, which OBJECT ENCODING shows: keys that are sorted, {q}, are lists and sets).
"""
import hashlib
import re

import versions
from lua_grammar import LuaGrammar

POOLS = {
    "k": [b"k%d" % i for i in range(8)],
    "q": [b"q0", b"q1"],
    "j": [b"j0", b"j1", b"j2"],
    "m": [b"a", b"b", b"c", b"d", b"e", b"1", b"2", b"3", b"-7", b"100000", b"5000000000", b"", b"x" * 20, b"\x00\xff",
          b"12345678901234567890"] + [b"m%d" % i for i in range(12)],
    "v": [b"0", b"1", b"10", b"-5", b"3.5", b"hello", b"", b"a b", b"9223372036854775807", b"-9223372036854775808",
          b"y" * 44, b"y" * 45, b"z" * 300, b"1e3", b" 1", b"nan", b"\r\n"],
    "i": [b"%d" % i for i in range(-6, 9)] + [b"100", b"-100"],
    "n": [b"0", b"1", b"-1", b"5", b"-3", b"1000", b"9223372036854775807", b"-9223372036854775808",
          b"9223372036854775806"],
    "f": [b"0", b"0.1", b"1.5", b"-2.25", b"3", b"1e10", b"-1e-5", b"1e300", b"inf", b"5.0"],
    "s": [b"0", b"1", b"2", b"3", b"-1", b"1.5", b"0.1", b"1e20", b"inf", b"-inf", b"7", b"-0", b"3.14159"],
    "b": [b"-inf", b"+inf", b"0", b"(1", b"2", b"(2", b"3", b"(-1", b"1.5", b"(inf"],
    "l": [b"-", b"+", b"[a", b"(b", b"[c", b"[m3", b"(m5", b"[", b"(", b"[1"],
    "p": [b"*", b"k*", b"?1", b"[a-c]", b"m*", b"[^a]*", b"*1*", b"x", b"\\a", b"k[0-3]"],
    "c": [b"0", b"1", b"2", b"5", b"10", b"100"],
    "t": [b"1000", b"5000", b"100000"], # no GT with these: the same time again is later, or not, by a millisecond
    "x": [b"1", b"2", b"1-1", b"1-2", b"2-1", b"2-5", b"3-0", b"5", b"5-5", b"7-1", b"9", b"0", b"0-1", b"18446744073709551615-1"],
    "a": [b"%d-%d" % (i // 3, i % 3) for i in range(1, 200)] + [b"5-*", b"40-*", b"70-*", b"0-*", b"1-1", b"0-0"],
    "r": [b"-", b"+", b"-", b"+", b"1", b"5-1", b"(1-1", b"(20", b"30-2", b"(60-0", b"0", b"18446744073709551615", b"("],
    "z": [b"z0", b"z1", b"z2"],
    "e": [b"~", b"~", b"="],
    "g": [b"g0", b"g1", b"g1", b"a longer name of a group"],
    "h": [b"h0", b"h1", b"h2", b""],
    "d": [b"0", b"1", b"1", b"0", b"16"],
    "o": [b"0", b"1", b"7", b"8", b"13", b"63", b"64", b"100", b"#0", b"#1", b"#3", b"-1", b"4294967295", b"3000", b"350"],
    "y": [b"u1", b"u8", b"i8", b"u4", b"i5", b"i64", b"u63", b"i1", b"u31", b"i33", b"u64", b"i0"],
    "w": [b"abc", b"1.5", b"", b"-1", b"0", b"99999999999999999999", b"NX", b"WITHSCORES", b"COUNT", b"LIMIT", b"k1",
          b"-9223372036854775808"],
    # Places, and where they are.
    "G": [b"geo0", b"geo1"],
    "O": [b"13.361389", b"15.087269", b"0", b"180", b"-180", b"-122.27652", b"179.99", b"2.3522", b"14", b"15", b"-90.5", b"13.4", b"14.9", b"15.2", b"180.1", b"x"],
    "T": [b"38.115556", b"37.502669", b"0", b"85.05112878", b"-85.05112878", b"37.805186", b"-0.5", b"48.8566", b"84.9", b"37.9", b"37", b"38", b"36.5", b"-66.1", b"90"],
    "W": [b"0", b"1", b"100", b"200", b"400.5", b"1000", b"5000", b"20000", b"40000", b"1e9", b"100", b"300", b"-1", b"x"],
    "K": [b"km", b"km", b"km", b"KM", b"mi", b"ft", b"m", b"yd"],
    # Users, and rules (and what is none): who may do what is asked by ACL DRYRUN. Nobody becomes one of them, since a failed AUTH
    # has no reply in a pipeline of 7.2.4. A pattern without a permission ends redis-server.
    "A": [b"ann", b"bob"],
    "U": [b"ann", b"bob", b"eve", b"default", b"nobody"],
    "R": [b"on", b"on", b"off", b"nopass", b">p", b">p", b">q", b"<q", b"resetpass", b"reset", b"clearselectors", b"~*", b"allkeys", b"resetkeys", b"~k*", b"~k1", b"~q?",
          b"%R~k*", b"%W~k[0-4]", b"%RW~q0", b"%R~*", b"&*", b"allchannels", b"resetchannels", b"&news*", b"+@all", b"-@all", b"+@read", b"-@read", b"+@write",
          b"+@string", b"-@string", b"+@hash", b"-@dangerous", b"+@fast", b"-@slow", b"+@keyspace", b"+@connection", b"-@connection", b"+@transaction", b"+get", b"-get",
          b"+set", b"-set", b"+object", b"-object", b"+object|encoding", b"-object|freq", b"+config|get", b"-config", b"+select|0", b"-select", b"+ping|x", b"+del", b"-del", b"+@all",
          b"~*", b"skip-sanitize-payload", b"sanitize-payload", b"(+get ~k2)", b"(+@read %R~q*)", b"(~k3 +@all -set)", b"()", b"(+nosuch)", b"(on)", b"+nosuch", b"-@nosuch", b"nonsense",
          b"+get|x|y", b"+config|nosuch", b"", b"%X~a", b"~a b", b"#abc", b"(", b")", b"+sort", b"+copy", b"+zunionstore", b"+multi", b"+exec", b"+discard"],
    "X": [b"news1", b"news*", b"*", b"other", b"k1"],
}

TEMPLATES = """
    SET {k} {v} [EX~{t}|PX~{t}000|KEEPTTL|NX|XX|GET|XX~GET|NX~GET|EX~{t}~NX|EXAT~33177117420]
    GET {k} ; GETSET {k} {v} ; GETDEL {k} ; STRLEN {k} ; APPEND {k} {v} ; SETNX {k} {v} ; SETEX {k} {t} {v}
    GETEX {k} [EX~{t}|PERSIST|PX~{t}000] ; PSETEX {k} {t}000 {v}
    MGET {k}+ ; MSET ({k}~{v})+ ; MSETNX ({k}~{v})+
    INCR {k} ; DECR {k} ; INCRBY {k} {n} ; DECRBY {k} {n} ; INCRBYFLOAT {k} {f}
    SETRANGE {k} {c} {v} ; GETRANGE {k} {i} {i} ; SUBSTR {k} {i} {i}
    SETBIT {k} {c} (0|1) ; GETBIT {k} {o} ; SETBIT {k} 350 (0|1) ; GETBIT {k} {c} ; BITOP (AND|OR|XOR|NOT) {k} {k} [{k}|{k}~{k}]
    BITCOUNT {k} [{i}~{i}|{i}~{i}~(BIT|BYTE)|{n}~{n}~BIT] ; BITPOS {k} (0|1) [{i}|{i}~{i}|{i}~{i}~(BIT|BYTE)|{n}~{n}~BIT]
    BITFIELD {k} [OVERFLOW~(SAT|FAIL|WRAP)] (SET~{y}~{c}~{n}|GET~{y}~{o}|INCRBY~{y}~{c}~{n})+ ; BITFIELD_RO {k} (GET~{y}~{o})+
    PFADD {j} {m}+ ; PFADD {j} {v} ; PFADD {k} {m}+ ; PFADD {j} [{m}] ; PFCOUNT {j} ; PFCOUNT {j} ; PFCOUNT {j}+ ; PFCOUNT {k} ; PFMERGE {j} {j}+ ; PFMERGE {j} ({k}|{j})
    PFDEBUG (ENCODING|DECODE|TODENSE) {j} ; GET {j} ; SETRANGE {j} {c} {v} ; APPEND {j} {v} ; COPY {j} {j} [REPLACE] ; DEL {j} ; OBJECT ENCODING {j} ; SETBIT {j} 130 (0|1)
    LCS {k} {k} [LEN|IDX|IDX~WITHMATCHLEN|IDX~MINMATCHLEN~2]
    LPUSH {k} {v}+ ; RPUSH {k} {m}+ ; LPUSH {k} {m}+ ; RPUSH {k} {v}+ ; LPUSHX {k} {m} ; RPUSHX {k} {m}+
    LPOP {k} [{c}] ; RPOP {k} [{c}] ; LLEN {k} ; LRANGE {k} {i} {i} ; LRANGE {k} 0 -1 ; LINDEX {k} {i}
    LSET {k} {i} {v} ; LINSERT {k} (BEFORE|AFTER) {m} {v} ; LREM {k} {i} {m} ; LTRIM {k} {i} {i}
    LPOS {k} {m} [RANK~{i}|COUNT~{c}|RANK~{i}~COUNT~{c}|MAXLEN~{c}|COUNT~0~MAXLEN~{c}~RANK~{i}]
    LMOVE {k} {k} (LEFT|RIGHT) (LEFT|RIGHT) ; RPOPLPUSH {k} {k} ; LMPOP 2 {k} {k} (LEFT|RIGHT) [COUNT~{c}]
    HSET {k} ({m}~{v})+ ; HSET {k} ({m}~{m})+ ; HMSET {k} {m} {v} ; HGET {k} {m} ; HMGET {k} {m}+ ; HDEL {k} {m}+
    HEXISTS {k} {m} ; HLEN {k} ; HSTRLEN {k} {m} ; HSETNX {k} {m} {v} ; HINCRBY {k} {m} {n} ; HINCRBYFLOAT {k} {m} {f}
    @pairs HGETALL {k} ; @unordered HKEYS {k} ; @unordered HVALS {k} ; @count HRANDFIELD {k} [{c}|-{c}]
    SADD {k} {m}+ ; SADD {k} {n}+ ; SREM {k} {m}+ ; SCARD {k} ; SISMEMBER {k} {m} ; SMISMEMBER {k} {m}+ ; SMOVE {k} {k} {m}
    @unordered SMEMBERS {k} ; @unordered SINTER {k}+ ; @unordered SUNION {k}+ ; @unordered SDIFF {k}+
    SINTERSTORE {k} {k}+ ; SUNIONSTORE {k} {k}+ ; SDIFFSTORE {k} {k}+ ; SINTERCARD 2 {k} {k} [LIMIT~{c}]
    @count SRANDMEMBER {k} [{c}|-{c}] ; @unordered SPOP {k} 1000
    ZADD {k} [NX|XX|GT|LT|CH|XX~CH|GT~CH|INCR] ({s}~{m})+ ; ZADD {k} ({s}~{m})+ ; ZINCRBY {k} {s} {m} ; ZREM {k} {m}+
    ZSCORE {k} {m} ; ZMSCORE {k} {m}+ ; ZCARD {k} ; ZRANK {k} {m} ; ZREVRANK {k} {m} ; ZCOUNT {k} {b} {b}
    ZLEXCOUNT {k} {l} {l} ; ZRANGE {k} {i} {i} [REV|WITHSCORES|REV~WITHSCORES] ; ZREVRANGE {k} {i} {i} [WITHSCORES]
    GEOADD {G} [NX|XX|CH|NX~CH|XX~CH|NX~XX] ({O}~{T}~{m})+ ; GEOADD {G} ({O}~{T}~{m})+ ; GEOADD {G} {O} {T} {m} ; GEOADD {k} {O} {T} {m} ; ZADD {G} {s} {m} ; ZREM {G} {m}
    GEOPOS {G} {m}+ ; GEOHASH {G} {m}+ ; GEODIST {G} {m} {m} [km|MI|ft|m|yd] ; GEOPOS {k} {m} ; DEL {G} ; ZRANGE {G} 0 -1 WITHSCORES
    GEORADIUS {G} {O} {T} {W} {K} [WITHDIST|WITHCOORD|WITHHASH|WITHDIST~WITHHASH~WITHCOORD|COUNT~{c}~ANY] ; GEORADIUS {G} {O} {T} {W} {K} STORE {k} ; GEORADIUS {G} {O} {T} {W} {K} STOREDIST {k} COUNT {c}
    GEORADIUSBYMEMBER {G} {m} {W} {K} [WITHDIST|DESC~COUNT~1|COUNT~1~ANY] ; GEORADIUSBYMEMBER {G} {m} {W} {K} STOREDIST {G} ; GEORADIUS_RO {G} {O} {T} {W} {K} ; GEORADIUSBYMEMBER_RO {G} {m} {W} {K}
    GEOSEARCH {G} (FROMMEMBER~{m}|FROMLONLAT~{O}~{T}) (BYRADIUS~{W}~{K}|BYBOX~{W}~{W}~{K}) [COUNT~{c}~ANY|COUNT~1|WITHDIST|WITHHASH~WITHCOORD] ; GEOSEARCH {k} FROMMEMBER {m} BYRADIUS {W} {K}
    GEOSEARCHSTORE {k} {G} (FROMMEMBER~{m}|FROMLONLAT~{O}~{T}) (BYRADIUS~{W}~{K}|BYBOX~{W}~{W}~{K}) [STOREDIST|COUNT~{c}|COUNT~{c}~ANY] ; GEOSEARCHSTORE {G} {G} FROMLONLAT {O} {T} BYBOX {W} {W} {K} STOREDIST
    ZRANGE {k} {b} {b} BYSCORE [REV|WITHSCORES|LIMIT~{i}~{i}|REV~LIMIT~{c}~{i}~WITHSCORES]
    ZRANGE {k} {l} {l} BYLEX [REV|LIMIT~{i}~{i}]
    ZRANGEBYSCORE {k} {b} {b} [WITHSCORES|LIMIT~{i}~{i}] ; ZREVRANGEBYSCORE {k} {b} {b} [WITHSCORES|LIMIT~{i}~{i}]
    ZRANGEBYLEX {k} {l} {l} [LIMIT~{i}~{i}] ; ZREVRANGEBYLEX {k} {l} {l} ; ZRANGESTORE {k} {k} {i} {i} [REV]
    ZRANGESTORE {k} {k} {b} {b} BYSCORE [LIMIT~{c}~{c}] ; ZREMRANGEBYRANK {k} {i} {i} ; ZREMRANGEBYSCORE {k} {b} {b}
    ZREMRANGEBYLEX {k} {l} {l} ; ZPOPMIN {k} [{c}] ; ZPOPMAX {k} [{c}] ; ZMPOP 2 {k} {k} (MIN|MAX) [COUNT~{c}]
    ZUNIONSTORE {k} 2 {k} {k} [WEIGHTS~{s}~{s}|AGGREGATE~MIN|AGGREGATE~MAX|WEIGHTS~2~0.5~AGGREGATE~MAX]
    ZINTERSTORE {k} 2 {k} {k} [WEIGHTS~{s}~{s}|AGGREGATE~MIN|AGGREGATE~MAX] ; ZDIFFSTORE {k} 2 {k} {k}
    ZUNION 2 {k} {k} [WITHSCORES|AGGREGATE~MAX~WITHSCORES] ; ZINTER 2 {k} {k} [WITHSCORES] ; ZDIFF 2 {k} {k} [WITHSCORES]
    ZINTERCARD 2 {k} {k} [LIMIT~{c}] ; @count ZRANDMEMBER {k} [{c}|-{c}]
    DEL {k}+ ; UNLINK {k} ; EXISTS {k}+ ; TOUCH {k}+ ; TYPE {k} ; TYPE {k} ; OBJECT ENCODING {k} ; PERSIST {k} ; DBSIZE
    EXPIRE {k} {t} [NX|XX|LT] ; EXPIRE {k} 500 GT ; EXPIREAT {k} 33177117420 [NX|GT] ; PEXPIRE {k} {t}000 ; EXPIRE {k} -1
    @near:1 TTL {k} ; @near:900 PTTL {k} ; RENAME {k} {k} ; RENAMENX {k} {k} ; COPY {k} {k} [REPLACE|DB~{d}|REPLACE~DB~{d}]
    MOVE {k} {d} ; SELECT {d} ; @unordered KEYS {p} ; @count RANDOMKEY ; SORT {q} [ALPHA|DESC|ALPHA~LIMIT~{c}~{c}|LIMIT~{i}~{i}]
    SORT {q} (ALPHA|DESC|LIMIT~0~3) STORE {k} ; @unordered SORT {q} BY {k}* GET # ALPHA ; @scan SCAN 0 COUNT 1000 [MATCH~{p}|TYPE~list]
    @scan HSCAN {k} 0 COUNT 1000 [MATCH~{p}] ; @scan SSCAN {k} 0 COUNT 1000 ; @scan ZSCAN {k} 0 COUNT 1000 [MATCH~{p}]
    RPUSH {q} {n}+ ; RPUSH {q} {m}+ ; SADD {q} {m}+ ; SADD {q} {n} ; DEL {q}
    XADD {z} {a} ({m}~{v})+ ; XADD {z} {a} f {v} ; XADD {z} {a} f 1 g 2 ; XADD {z} [NOMKSTREAM] {a} f {v} g {m}
    XADD {z} [MAXLEN~{c}|MAXLEN~=~{c}|MAXLEN~{e}~{c}|MINID~{x}|MINID~{e}~{a}~LIMIT~{c}|MAXLEN~{e}~{c}~LIMIT~{c}] {a} f {v} ; XLEN {z}
    XADD {k} {a} f v ; XLEN {k} ; XRANGE {z} {r} {r} [COUNT~{i}] ; XREVRANGE {z} {r} {r} [COUNT~{c}] ; XRANGE {z} {a} {a} ; XDEL {z} {a}+
    XTRIM {z} [MAXLEN~{c}|MAXLEN~{e}~{c}|MINID~{a}|MINID~{e}~{x}|MAXLEN~{e}~{c}~LIMIT~{c}|MAXLEN~3~LIMIT~3] ; XSETID {z} {x}
    XSETID {z} {a} [ENTRIESADDED~{c}|MAXDELETEDID~{x}|ENTRIESADDED~{c}~MAXDELETEDID~{a}] ; XREAD [COUNT~{c}] STREAMS {z} {a}
    XREAD COUNT {c} STREAMS {z} {z} {a} {a} ; XREAD BLOCK 1 STREAMS {z} $ ; XREAD STREAMS {z} {x} ; XREAD STREAMS {k} 0
    XGROUP CREATE {z} {g} ({x}|$|0|0) [MKSTREAM|ENTRIESREAD~{i}|MKSTREAM~ENTRIESREAD~{c}] ; XGROUP SETID {z} {g} ({a}|$|0|-|+) [ENTRIESREAD~{c}]
    XGROUP CREATE {z} {g} 0 MKSTREAM ; XGROUP CREATECONSUMER {z} {g} {h} ; XGROUP DELCONSUMER {z} {g} {h} ; XGROUP SETID {z} {g} 0
    XREADGROUP GROUP {g} {h} [COUNT~{c}|NOACK|COUNT~3~NOACK] STREAMS {z} > ; XREADGROUP GROUP {g} {h} COUNT {c} STREAMS {z} {a}
    XREADGROUP GROUP {g} {h} COUNT 2 STREAMS {z} {z} > (0|>) ; XREADGROUP GROUP {g} {h} BLOCK 1 STREAMS {z} > ; XREADGROUP GROUP {g} {h} COUNT 1 STREAMS {z} >
    XACK {z} {g} {a}+ ; XACK {z} {g} {a} {a} {a} {a} {a} {a} ; XCLAIM {z} {g} {h} 0 {a} {a} {a} [FORCE|JUSTID|FORCE~JUSTID|LASTID~{x}|RETRYCOUNT~{i}]
    XCLAIM {z} {g} {h} 0 {a} FORCE TIME 5 RETRYCOUNT {c} [LASTID~{a}|JUSTID] ; XCLAIM {z} {g} {h} {n} {a} [IDLE~{c}|FORCE|TIME~{n}]
    XAUTOCLAIM {z} {g} {h} 0 {r} [COUNT~{c}|JUSTID|COUNT~2~JUSTID] ; XAUTOCLAIM {z} {g} {h} 1000000 {a} ; XPENDING {z} {g} ; XPENDING {z} {g}
    XPENDING {z} {g} IDLE 1000000 {r} {r} {c} [{h}] ; XINFO STREAM {z} ; XINFO GROUPS {z} ; COPY {z} {z} [REPLACE] ; OBJECT ENCODING {z} ; TYPE {z}
    RENAME {z} {z} ; DEL {z} ; XGROUP DESTROY {z} {g} ; XGROUP HELP ; XINFO HELP ; XGROUP NOSUCH {z} {g} ; XINFO STREAM {z} (FULL~{c}|FULL~COUNT|NONE)
    MIGRATE 127.0.0.1 1 {k} 0 10 [COPY|REPLACE|AUTH~{m}|AUTH2~{m}~KEYS|COPY~REPLACE|KEYS~{k}] ; MIGRATE 127.0.0.1 1 {h} 0 10 KEYS {k}+
    RESTORE-ASKING {k} 0 {v} [REPLACE] ; CLUSTER (INFO|MYID|NOSUCH|KEYSLOT~{k}) ; (READONLY|READWRITE|ASKING|ROLE) ; FAILOVER [ABORT|TO~h~1|TIMEOUT~{i}]
    REPLICAOF NO ONE ; MODULE (LIST|UNLOAD~{m})
    MULTI ; EXEC ; EXEC ; DISCARD ; WATCH {k} ; UNWATCH ; ECHO {v} ; PING ; NOSUCH {k} {v}
    ACL SETUSER {A} {R}+ ; ACL SETUSER {A} {R}+ ; ACL SETUSER {A} on nopass +@all ~* ; ACL SETUSER eve {R}+ ; ACL DELUSER eve [eve|nobody] ; ACL USERS ; ACL LIST
    ACL GETUSER {U} ; ACL GETUSER {A} ; ACL DRYRUN {U} {!} ; ACL DRYRUN {A} {!} ; ACL DRYRUN {A} {!} ; ACL DRYRUN {A} (PUBLISH|SPUBLISH) {X} m
    ACL DRYRUN {A} (SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE) {X} [{X}] ; ACL DRYRUN {A} EVAL x 2 {k} {q} ; ACL WHOAMI
    BLPOP {k} {k} {k} 0.001 ; BRPOP {k} {k} {k} 0.001 ; BZPOPMIN {k} {k} 0.001 ; BLMOVE {k} {k} LEFT RIGHT 0.001
"""
PROGRAMS = 0.07 # the share of commands that are scripts and functions
LIBRARIES, FUNCTIONS = (b"lib0", b"lib1", b"lib2"), (b"fn0", b"fn1", b"fn2")
# What a script may not be given: it differs by chance, or in the order of what is replied.
NOT_IN_SCRIPTS = (b"ACL", b"SCAN", b"RANDOMKEY", b"XINFO", b"TTL", b"PTTL", b"SORT", b"KEYS", b"SPOP", b"OBJECT", b"XPENDING")
# Wrong arguments would make these wait for ever or differ by chance.
UNSPOILT = (b"SPOP", b"BLPOP", b"BRPOP", b"BZPOPMIN", b"BLMOVE", b"MIGRATE", b"REPLICAOF")
RARE = (b"FLUSHDB", b"SWAPDB 0 1", b"FLUSHALL")


def parse_templates(text):
    found = []
    for part in re.split(r"[;\n]", text):
        tokens = part.split()
        if tokens:
            rule = tokens.pop(0)[1:] if tokens[0].startswith("@") else ""
            found.append((rule, tokens))
    return found


ALL = parse_templates(TEMPLATES)


def check_names():
    """A pool that is written twice would take the place of the one before it, and nothing would say so."""
    with open(__file__, encoding="utf-8") as source:
        names = re.findall(r'^    "(\w)": ', source.read(), re.M)
    assert len(names) == len(set(names)) == len(POOLS), names


check_names()


class Grammar:
    """Draws commands from a random.Random: the same seed gives the same commands. Other templates, and pools, than those above: parsed ones."""

    def __init__(self, rng, templates=None, pools=None):
        self.rng, self.templates, self.pools = rng, templates or ALL, pools or POOLS
        self.lua = LuaGrammar(rng, self.command_in_script)
        self.bodies = [b"return 1"]

    def fill(self, text):
        return re.sub(r"\{(\w)\}", lambda m: self.rng.choice(self.pools[m.group(1)]).decode("latin-1"), text)

    def words(self, text):
        return [self.fill(w).encode("latin-1") for w in text.split("~")]

    def token(self, token):
        repeat = token.endswith("+")
        token = token.rstrip("+")
        out = []
        for _ in range(self.rng.randint(1, 3) if repeat else 1):
            if token == "{!}":
                out += self.one_of_all()[1]
            elif token[0] == "[":
                if self.rng.random() < 0.5:
                    out += self.words(self.rng.choice(token[1:-1].split("|")))
            elif token[0] == "(":
                out += self.words(self.rng.choice(token[1:-1].split("|")))
            else:
                out += self.words(token)
        return out

    def spoil(self, args):
        """Makes a command wrong in one place, perhaps."""
        at = self.rng.randrange(1, len(args) + 1)
        how = self.rng.randrange(3)
        if how == 0 and at < len(args):
            return args[:at] + args[at + 1:]
        if how == 1 and at < len(args):
            return args[:at] + [self.rng.choice(self.pools["w"])] + args[at + 1:]
        return args[:at] + [self.rng.choice(self.pools["w"])] + args[at:]

    def one_of_all(self):
        rule, tokens = self.rng.choice(self.templates)
        return rule, [a for t in tokens for a in self.token(t)]

    def command_in_script(self):
        while True:
            rule, args = self.one_of_all()
            by_name = args[0].startswith(b"Z") and b"LEX" in args[0] + b"".join(args)
            if versions.OLDER and (versions.reason(args) or args[0] in UNSPOILT or args[0][:1] == b"Z" or b"FLOAT" in args[0]):
                continue
            if not rule and args[0] not in NOT_IN_SCRIPTS and b"BLOCK" not in args and not by_name and not (args[0] == b"ZRANGESTORE" and b"BYSCORE" in args):
                return args

    def keys_and_arguments(self):
        keys = [self.fill("{k}").encode() for _ in range(self.rng.randint(0, 2))]
        return [b"%d" % (len(keys) if self.rng.random() < 0.97 else self.rng.randint(-1, 5))] + keys + [self.fill("{v}").encode("latin-1") for _ in range(self.rng.randint(0, 2))]

    def program(self):
        """EVAL and its kin, FUNCTION and FCALL."""
        what = self.rng.random()
        if what < 0.6:
            self.bodies = (self.bodies + [self.lua.script().encode("latin-1")])[-20:]
            return [self.rng.choice((b"EVAL", b"EVAL", b"EVAL", b"EVAL_RO")), self.bodies[-1]] + self.keys_and_arguments()
        if what < 0.7:
            sha = hashlib.sha1(self.rng.choice(self.bodies)).hexdigest().encode()
            return self.rng.choice(([b"EVALSHA", sha] + self.keys_and_arguments(), [b"EVALSHA_RO", sha] + self.keys_and_arguments(), [b"SCRIPT", b"EXISTS", sha]))
        library, function = self.rng.choice(LIBRARIES), self.rng.choice(FUNCTIONS)
        if what < 0.8:
            source = self.lua.library_source(library.decode(), function.decode()).encode("latin-1")
            return [b"FUNCTION", b"LOAD"] + [b"REPLACE"] * (self.rng.random() < 0.7) + [source]
        if what < 0.95:
            return [self.rng.choice((b"FCALL", b"FCALL", b"FCALL_RO")), function] + self.keys_and_arguments()
        return self.rng.choice(([b"FUNCTION", b"DELETE", library], [b"FUNCTION", b"LIST", b"LIBRARYNAME", library, b"WITHCODE"], [b"FUNCTION", b"STATS"], [b"SCRIPT", b"LOAD", self.bodies[-1]]))

    def command(self):
        """(rule, args)"""
        if self.rng.random() < PROGRAMS:
            return "lua", self.program()
        if self.rng.random() < 0.004:
            return "", self.rng.choice(RARE).split()
        rule, args = self.one_of_all()
        if self.rng.random() < 0.04 and rule != "scan" and args[0] not in UNSPOILT and b"BLOCK" not in args:
            args = self.spoil(args)
        return rule, args
