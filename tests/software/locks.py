# SPDX-License-Identifier: MIT
"""Locks and scripts of redis-py, and Django's cache on it."""
import threading

import django
from django.conf import settings
from redis import Redis
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError

from programs_tap import PORT, URL, ok, run, same


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False


def redis_locks(redis):
    lock = redis.lock("lock", timeout=20, blocking_timeout=0.05)
    other = redis.lock("lock", timeout=20, blocking_timeout=0.05)
    ok(lock.acquire() and not other.acquire(), "redis-py: a lock excludes")
    lock.extend(30)
    ok(redis.pttl("lock") > 30000, "redis-py: and is extended")
    lock.reacquire()
    ok(redis.pttl("lock") <= 20000, "redis-py: and set back")
    ok(raises(LockError, other.release), "redis-py: who has not got it cannot release it")
    redis.set("lock", "thief")
    ok(raises(LockNotOwnedError, lock.release), "redis-py: nor who has lost it")
    redis.delete("lock")
    with redis.lock("with", timeout=5):
        same(redis.exists("with"), 1, "redis-py: a block has it")
    same(redis.exists("with"), 0, "redis-py: and leaves nothing")
    counted = []

    def work():
        for _ in range(20):
            with Redis(port=PORT).lock("count", timeout=20, sleep=0.001):
                counted.append(len(counted))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same(counted, list(range(80)), "redis-py: four threads count in order")


def redis_scripts(redis):
    script = redis.register_script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
    same(script(keys=["n"], args=["a"]), [b"n", b"a", 1], "redis-py: a script is loaded and runs")
    redis.script_flush()
    same(script(keys=["n"], args=["a"]), [b"n", b"a", 2], "redis-py: and is loaded again when it is gone")
    ok(raises(NoScriptError, lambda: redis.evalsha("0" * 40, 0)), "redis-py: an unknown one is told apart")
    with redis.pipeline() as pipe:
        script(keys=["n"], args=["b"], client=pipe)
        pipe.get("n")
        same(pipe.execute(), [[b"n", b"b", 3], b"3"], "redis-py: in a transaction, too")


def django_cache():
    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL,
                                           "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"}}})
    django.setup()
    from django.core.cache import cache
    cache.set_many({"k%d" % i: {"n": i} for i in range(10)}, timeout=100)
    same(cache.get_many(["k1", "k7", "none"]), {"k1": {"n": 1}, "k7": {"n": 7}}, "django-redis: what is cached is there")
    ok(cache.add("new", 1) and not cache.add("new", 2), "django-redis: add keeps what is there")
    same(cache.incr("new", 4), 5, "django-redis: incr counts")
    same(cache.delete_pattern("k*"), 10, "django-redis: a pattern is deleted")
    lock = cache.lock("job", timeout=5, blocking_timeout=0.05)
    ok(lock.acquire() and not cache.lock("job", timeout=5, blocking_timeout=0.05).acquire(), "django-redis: its lock excludes")
    lock.release()
    ok(95 < cache.ttl("k1") <= 100 if cache.set("k1", 1, timeout=100) else False, "django-redis: keys end in their time")
    cache.clear()
    same(cache.get("new"), None, "django-redis: and all is cleared")


def scenario():
    redis = Redis(port=PORT)
    redis_locks(redis)
    redis_scripts(redis)
    django_cache()


run(scenario)
