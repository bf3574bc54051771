#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""prometheus-redis-exporter over two servers, ours (REDIS_PORT) and redis-server: whatever family it finds there it finds here, with values that
are true. (The Debian package's 1.45.0 finds the same families in redis-server 7.0.15 and 7.2.4.)"""
import os
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from programs import need  # noqa: E402
from resp import Client  # noqa: E402
from servers import REDIS, Server, die_with_parent, free_port  # noqa: E402

from programs_tap import PORT, ok, run, same, until  # noqa: E402

# All that the exporter can be asked for; of keys and streams those that fill() makes.
OPTIONS = ["-include-system-metrics", "-include-config-metrics", "-export-client-list", "-export-client-port", "-ping-on-connect", "-redis-only-metrics",
           "-check-keys", "db0=*", "-check-single-keys", "db0=list", "-check-streams", "db0=stream", "-count-keys", "db0=*", "-check-key-groups", "^(.).*$"]
MOVING = ("redis_exporter_", "redis_last_key_groups_")


class Asked:
    """A client over TCP."""

    def __init__(self, port):
        self.client = Client(("127.0.0.1", port), 20.0)

    def __call__(self, *words):
        return self.client.call(*words).raw()


def fill(port):
    ask = Asked(port)
    for words in (["SET", "string", "v"], ["SET", "short", "v", "EX", "1000"], ["GET", "none"], ["RPUSH", "list", "a", "b", "c"], ["HSET", "hash", "f", "1"],
                  ["ZADD", "zset", "1", "a"], ["SADD", "set", "a"], ["XADD", "stream", "1-1", "f", "v"], ["XADD", "stream", "2-1", "f", "v"],
                  ["XGROUP", "CREATE", "stream", "group", "0"], ["XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "stream", ">"],
                  ["GEOADD", "geo", "13.3", "38.1", "p"], ["PFADD", "hll", "a"], ["LPUSH", "string", "x"], ["NONSENSE"],
                  ["CONFIG", "SET", "latency-monitor-threshold", "1", "slowlog-log-slower-than", "5000"], ["DEBUG", "SLEEP", "0.01"],
                  ["CONFIG", "SET", "slowlog-log-slower-than", "-1"], ["CLIENT", "SETNAME", "me"]):
        ask(*words)
    return ask


def scrape(redis_port):
    port = free_port()
    words = [need("prometheus-redis-exporter"), "-redis.addr", "redis://127.0.0.1:%d" % redis_port, "-web.listen-address", "127.0.0.1:%d" % port] + OPTIONS
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as exporter:
        text = []

        def came():
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=20) as answer:
                    text.append(answer.read().decode())
            except OSError:
                return exporter.poll() is not None
            return True

        until(came)
        exporter.terminate()
        log = exporter.stderr.read()
    return (text or [""])[0], [line for line in log.splitlines() if "level=error" in line or "level=warn" in line]


def families(text):
    return {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}


def samples(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")


def values(seen):
    number = {name: float(v) for name, v in seen.items()}
    same([number.get("redis_up"), number.get('redis_exporter_last_scrape_error{err=""}'), number.get("redis_target_scrape_request_errors_total", 0)], [1, 0, 0],
         "a scrape without an error")
    same({k: number.get('redis_db_keys{db="db%d"}' % k) for k in (0, 1)}, {0: 9, 1: 0}, "databases")
    same(number.get('redis_db_keys_expiring{db="db0"}'), 1, "keys with a time to live")
    same([number.get('redis_key_size{db="db0",key="%s"}' % k) for k in ("list", "hash", "zset", "set", "stream", "string", "geo")], [3, 1, 1, 1, 2, 1, 1], "sizes of keys")
    same([number.get('redis_stream_%s{db="db0",stream="stream"}' % k) for k in ("length", "groups")], [2, 1], "a stream")
    same(number.get('redis_stream_group_messages_pending{db="db0",group="group",stream="stream"}'), 1, "what its group has not acknowledged")
    same(number.get('redis_commands_total{cmd="set"}'), 2, "commands")
    same(number.get('redis_commands_failed_calls_total{cmd="lpush"}'), 1, "those that fail")
    same([number.get('redis_errors_total{err="%s"}' % e) for e in ("WRONGTYPE", "ERR")][0], 1, "errors by their code")
    same(number.get('redis_config_maxclients'), 10000, "the configuration")
    ok(number.get("redis_slowlog_length", 0) >= 1 and number.get("redis_last_slow_execution_duration_seconds", 0) >= 0.01, "slow commands")
    ok(any(k.startswith("redis_latency_spike_last{") and v >= 10 for k, v in number.items()) or any(k.startswith("redis_latency_spike_") for k in number), "late commands")
    ok(number.get("redis_memory_used_bytes", 0) > 100000 and number.get("redis_memory_used_rss_bytes", 0) > 100000, "memory")
    ok(number.get("redis_connected_clients", 0) >= 2 and any(k.startswith("redis_connected_clients_details{") and 'name="me"' in k for k in seen), "clients")


def labels(text):
    """Which labels each family's samples have."""
    found = {}
    for name in samples(text):
        family, _, rest = name.partition("{")
        found.setdefault(family, set()).update(part.split("=")[0] for part in rest.split('",') if "=" in part)
    return found


def scenario():
    with Server(REDIS, tcp=True) as theirs:
        keep = [fill(p) for p in (theirs.port, PORT)]
        there, here = scrape(theirs.port), scrape(PORT)
        del keep
    ok(len(families(there[0])) > 140, "redis-server gives many families", len(families(there[0])))
    same(sorted(set(families(there[0]).items()) - set(families(here[0]).items())), [], "each of them is there")
    same(sorted((k, sorted(v)) for k, v in labels(there[0]).items() if not v <= labels(here[0]).get(k, set())), [], "with its labels")
    same(here[1], there[1], "nothing in the exporter's log")
    values(samples(here[0]))


run(scenario)
