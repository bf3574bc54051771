#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""redis-py (Debian's python3-redis) against our server: its types, pipelines, transactions, blocking calls, scans and locks."""
import threading

from here import OURS, Server, Tap, need_server, skip_all

try:
    import redis
except ImportError:
    skip_all("no module redis for /usr/bin/python3 (Debian package python3-redis)")
need_server()
tap = Tap()


def strings(r):
    assert r.set("k", "v", ex=100) and r.get("k") == b"v" and 0 < r.ttl("k") <= 100
    assert r.set("k", "w", nx=True) is None and r.getset("k", "x") == b"v"
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "b", "c") == [b"1", b"2", None]
    assert r.incr("n", 5) == 5 and r.decr("n") == 4 and r.incrbyfloat("f", 0.5) == 0.5
    assert r.append("k", "yz") == 3 and r.getrange("k", 0, 1) == b"xy" and r.strlen("k") == 3


def lists(r):
    assert r.rpush("l", "a", "b", "c") == 3 and r.lrange("l", 0, -1) == [b"a", b"b", b"c"]
    assert r.lpos("l", "b") == 1 and r.lpop("l", 2) == [b"a", b"b"] and r.lmove("l", "m", "LEFT", "RIGHT") == b"c"
    assert r.blpop("m", 1) == (b"m", b"c") and r.blpop("m", 0.05) is None


def hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2 and r.hgetall("h") == {b"a": b"1", b"b": b"2"}
    assert r.hincrby("h", "a", 3) == 4 and r.hmget("h", "a", "z") == [b"4", None]
    assert set(r.hscan_iter("h")) == {(b"a", b"4"), (b"b", b"2")}


def sets(r):
    assert r.sadd("s", 1, 2, 3) == 3 and r.smembers("s") == {b"1", b"2", b"3"} and r.sismember("s", 2)
    r.sadd("t", 2, 3, 4)
    assert r.sinter("s", "t") == {b"2", b"3"} and r.sunionstore("u", "s", "t") == 4 and set(r.sscan_iter("u"))


def sorted_sets(r):
    assert r.zadd("z", {"a": 1, "b": 2.5}) == 2
    assert r.zrange("z", 0, -1, withscores=True) == [(b"a", 1.0), (b"b", 2.5)]
    assert r.zincrby("z", 2, "a") == 3.0 and r.zrank("z", "a") == 1 and r.zpopmin("z") == [(b"b", 2.5)]
    assert r.zrangebyscore("z", "-inf", "(3") == [] and r.bzpopmin("z", 1) == (b"z", b"a", 3.0)


def pipelines(r):
    p = r.pipeline(transaction=False)
    for i in range(500):
        p.set("p%d" % i, i)
    assert all(p.execute()) and r.dbsize() == 500
    p = r.pipeline()
    p.set("x", 1).incr("x").get("x")
    assert p.execute() == [True, 2, b"2"]


def watch(r):
    r.set("w", 1)
    with r.pipeline() as p:
        p.watch("w")
        r.set("w", 2)
        p.multi()
        p.set("w", 3)
        try:
            p.execute()
            raise AssertionError("EXEC went through")
        except redis.WatchError:
            pass
    assert r.transaction(lambda p: (p.multi(), p.set("w", 5)), "w") == [True]


def errors(r):
    r.set("k", "v")
    for call in (lambda: r.lpush("k", 1), lambda: r.incr("k"), lambda: r.execute_command("NOSUCH")):
        try:
            call()
            raise AssertionError("no error")
        except redis.ResponseError:
            pass


def scans(r):
    p = r.pipeline(transaction=False)
    for i in range(2000):
        p.set("key:%d" % i, i)
    p.execute()
    assert len(set(r.scan_iter("key:*", count=100))) == 2000 and len(r.keys("key:1*")) == 1111


def server_calls(r):
    assert r.ping() and r.info()["redis_version"].startswith("7.") and "db0" not in r.info("server")
    assert r.config_get("maxmemory") == {"maxmemory": "0"} and r.client_list()[0]["db"] == "0"
    assert r.client_setname("me") and r.client_getname() == "me" and r.time()[0] > 0 and r.echo("x") == b"x"
    assert r.command_count() > 100 and "get" in r.command()
    r.set("k", "v")
    assert r.object("encoding", "k") == b"embstr" and r.type("k") == b"string" and r.memory_usage("k") > 0


def blocked(r):
    pusher = threading.Timer(0.1, lambda: r.rpush("q", "job"))
    pusher.start()
    assert r.blpop("q", 5) == (b"q", b"job")
    pusher.join()


def decoded(r):
    text = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection,
                                                            path=server.path, decode_responses=True))
    text.set("é", "ü")
    assert text.get("é") == "ü" and r.get("é") == "ü".encode()


def databases(r):
    other = redis.Redis(unix_socket_path=server.path, db=2)
    other.set("k", "there")
    assert r.get("k") is None and r.move("k", 2) is False and other.get("k") == b"there"
    other.flushdb()


def many_threads(r):
    def work():
        for _ in range(200):
            r.incr("shared")
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert r.get("shared") == b"1600"


CASES = [strings, lists, hashes, sets, sorted_sets, pipelines, watch, errors, scans, server_calls, blocked, decoded,
         databases, many_threads]
with Server(OURS, tcp=True) as server:
    for case in CASES:
        connection = redis.Redis(host="127.0.0.1", port=server.port)
        notes = []
        try:
            connection.flushall()
            case(connection)
        except (AssertionError, redis.RedisError, KeyError, IndexError) as problem:
            at = problem.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            notes = ["line %d: %s: %s" % (at.tb_lineno, type(problem).__name__, problem)]
        tap.ok(not notes, "redis-py: " + case.__name__.replace("_", " "), notes)
tap.done()
