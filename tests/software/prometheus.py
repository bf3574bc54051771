#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Prometheus itself over /metrics of our server (redis-server has none)."""
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from programs import need  # noqa: E402
from resp import Client  # noqa: E402
from servers import die_with_parent, free_port  # noqa: E402

from programs_tap import PORT, ok, run, same, until  # noqa: E402

CONF = """global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: demikv
    static_configs: [{{targets: ['127.0.0.1:{0}']}}]
"""


def asked(port, path, **query):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/api/v1/%s?%s" % (port, path, urllib.parse.urlencode(query)), timeout=20) as answer:
            return json.load(answer)["data"]
    except OSError:
        return {}


def value(port, query):
    found = asked(port, "query", query=query).get("result", [])
    return float(found[0]["value"][1]) if len(found) == 1 else None


def look(port, ask):
    ok(until(lambda: (value(port, 'count_over_time(up{job="demikv"}[1m])') or 0) >= 3), "it scrapes")
    same(value(port, 'min_over_time(up{job="demikv"}[1m])'), 1.0, "and never fails")
    target = (asked(port, "targets").get("activeTargets") or [{}])[0]
    same([target.get("health"), target.get("lastError")], ["up", ""], "the target is well")
    ask("SET", "k", "v")
    ok(until(lambda: value(port, 'demikv_db_keys{db="0"}') == 1), "a key that came is seen")
    for _ in range(50):
        ask("GET", "k")
    ok(until(lambda: value(port, 'demikv_command_calls_total{cmd="get"}') == 50), "commands are counted")
    ok(until(lambda: value(port, 'demikv_command_duration_seconds_bucket{cmd="get",le="+Inf"}') == 50), "and timed")
    late = value(port, 'histogram_quantile(0.99, demikv_command_duration_seconds_bucket{cmd="get"})')
    ok(late is not None and 0 < late < 1, "a quantile of the histogram", late)
    known = {name: rows[0] for name, rows in asked(port, "metadata").items()}
    ours = [name for name in known if name.startswith("demikv_")]
    ok(len(ours) > 180 and all(known[n]["help"] and known[n]["type"] != "unknown" for n in ours), "each family has its type and its help", len(ours))


def scenario():
    client = Client(("127.0.0.1", PORT), 20.0)
    metrics = free_port()
    reply = client.call("CONFIG", "SET", "metrics-port", str(metrics)).raw()
    if b"Unknown option" in reply:
        ok(True, "this server has no /metrics")
        return
    web = free_port()  # another one, now that somebody has the first
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.yml"), "w", encoding="ascii") as file:
            file.write(CONF.format(metrics))
        words = [need("prometheus"), "--config.file=%s/p.yml" % folder, "--storage.tsdb.path=%s/data" % folder, "--web.listen-address=127.0.0.1:%d" % web]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent) as daemon:
            try:
                look(web, lambda *words: client.call(*words).raw())
            finally:
                daemon.terminate()


run(scenario)
