#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""packaging/watch: alerts fire when they should and not otherwise (promtool); dashboards are what Grafana takes; every query of both runs against a Prometheus
that has scraped real servers (kernel sockets, a replica, TLS, raw frames) and the redis exporter, and every metric it names is there. TAP on stdout.

The servers live in a network namespace of the test's own: raw frames want root, and are skipped without it."""
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
import servers as helper  # noqa: E402
from servers import OURS, die_with_parent  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

WATCH = os.path.join(ROOT, "packaging", "watch")
CLONE_NEWNET = 0x40000000
RULES = ("demikv.rules.yml", "exporter.rules.yml")
NAME = re.compile(r"(?<![\w\"$.])((?:demikv|redis)_\w+|up)(?=[\s{\[)]|$)")
PATTERN = re.compile(r'__name__=~"([^"]+)"')
UNITS = {"none", "s", "ops", "percentunit", "bytes", "Bps", "pps", "µs", "bool_yes_no"}


class Quiet(Tap):
    """Notes are for what failed."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


tap = Quiet()

# Alert -> series that make it fire within half an hour, series that do not. "name{labels} values"; 'a+bxn' begins at a and grows by b, n times.
FIRES = {
    "DemikvDown": (["up 0x60"], ["up 1x60", 'up{job="other"} 0x60']),
    "DemikvRestarted": (["demikv_uptime_seconds 20x60"], ["demikv_uptime_seconds 4000x60"]),
    "DemikvLoadingLong": (["demikv_loading 1x60"], ["demikv_loading 0x20 1x5 0x30"]),
    "DemikvMemoryNearMaxmemory": (["demikv_memory_used_bytes 95x60", "demikv_memory_max_bytes 100x60"], ["demikv_memory_used_bytes 95x60", "demikv_memory_max_bytes 0x60"]),
    "DemikvOverMaxmemory": (["demikv_eviction_exceeded_seconds 0+60x60"], ["demikv_eviction_exceeded_seconds 0x60"]),
    "DemikvMemoryOfMachine": (["demikv_memory_rss_bytes 90x60", "demikv_system_memory_bytes 100x60"], ["demikv_memory_rss_bytes 50x60", "demikv_system_memory_bytes 100x60"]),
    "DemikvFragmented": (["demikv_allocator_fragmentation_ratio 2x90", "demikv_allocator_fragmentation_bytes 2000000000x90"],
                         ["demikv_allocator_fragmentation_ratio 2x90", "demikv_allocator_fragmentation_bytes 1000x90"]),
    "DemikvEvicting": (["demikv_evicted_keys_total 0+100x60"], ["demikv_evicted_keys_total 5x60"]),
    "DemikvSaveFailing": (["demikv_rdb_last_save_ok 0x60"], ["demikv_rdb_last_save_ok 1x60"]),
    "DemikvSaveOld": (["demikv_rdb_last_save_time_seconds -100000x60", "demikv_rdb_changes_since_last_save 7x60", "demikv_aof_enabled 0x60"],
                      ["demikv_rdb_last_save_time_seconds -100000x60", "demikv_rdb_changes_since_last_save 7x60", "demikv_aof_enabled 1x60"]),
    "DemikvAofWriteFailing": (["demikv_aof_last_write_ok 0x60"], ["demikv_aof_last_write_ok 1x60"]),
    "DemikvAofRewriteFailing": (["demikv_aof_last_rewrite_ok 0x60"], ["demikv_aof_last_rewrite_ok 1x60"]),
    "DemikvAofSyncDelayed": (["demikv_aof_delayed_syncs_total 0+1x60"], ["demikv_aof_delayed_syncs_total 3x60"]),
    "DemikvDiskErrors": (["demikv_demi_disk_errors_total 0x55 1x60"], ["demikv_demi_disk_errors_total 1x60"]),
    "DemikvReplicationBroken": (["demikv_replication_link_up 0x60"], ["demikv_replication_link_up 1x60"]),
    "DemikvReplicaLagging": (['demikv_replica_lag_seconds{ip="i",port="1"} 30x60'], ['demikv_replica_lag_seconds{ip="i",port="1"} 1x60']),
    "DemikvReplicaMissing": (["demikv_connected_replicas 2x30 1x30"], ["demikv_connected_replicas 1x30 2x30"]),
    "DemikvFullSyncs": (['demikv_replica_syncs_total{kind="full"} 0+1x60'], ['demikv_replica_syncs_total{kind="full"} 2x60', 'demikv_replica_syncs_total{kind="partial_accepted"} 0+1x60']),
    "DemikvConnectionsNearMax": (["demikv_connected_clients 95x60", "demikv_max_clients 100x60"], ["demikv_connected_clients 95x60", "demikv_max_clients 10000x60"]),
    "DemikvConnectionsRejected": (["demikv_rejected_connections_total 0+1x60"], ["demikv_rejected_connections_total 4x60"]),
    "DemikvLoginsFailing": (['demikv_acl_access_denied_total{reason="auth"} 0+10x60'], ['demikv_acl_access_denied_total{reason="auth"} 0+1x60']),
    "DemikvCertificateEnds": (['demikv_tls_certificate_expires_in_seconds{of="server"} 86400x60'], ['demikv_tls_certificate_expires_in_seconds{of="server"} 8640000x60']),
    "DemikvErrors": (["demikv_error_replies_total 0+600x60", "demikv_commands_processed_total 0+6000x60"], ["demikv_error_replies_total 0+6x60", "demikv_commands_processed_total 0+6000x60"]),
    "DemikvSlow": (['demikv_command_duration_seconds_bucket{le="0.001"} 0+100x60', 'demikv_command_duration_seconds_bucket{le="0.1"} 0+200x60',
                    'demikv_command_duration_seconds_bucket{le="+Inf"} 0+200x60'],
                   ['demikv_command_duration_seconds_bucket{le="0.001"} 0+100x60', 'demikv_command_duration_seconds_bucket{le="+Inf"} 0+100x60']),
    "DemikvLoopBusy": (["demikv_demi_libos_work_seconds_total 0+59x60"], ["demikv_demi_libos_work_seconds_total 0+20x60", "demikv_demi_libos_spin_seconds_total 0+40x60"]),
    "DemikvPacketsDropped": (["demikv_demi_drop_tx_full_total 0+600x60"], ["demikv_demi_drop_tx_full_total 3x60", "demikv_demi_drop_ip4_not_ours_total 0+6000x60"]),
    "DemikvPacketsBroken": (["demikv_demi_drop_ip4_checksum_total 0+60x60", "demikv_demi_drop_tcp_checksum_total 0+60x60", "demikv_demi_drop_udp_checksum_total 0x60"],
                            ["demikv_demi_drop_ip4_checksum_total 1x60", "demikv_demi_drop_tcp_checksum_total 1x60", "demikv_demi_drop_udp_checksum_total 0x60"]),
    "DemikvDeviceDrops": (["demikv_demi_dev_rx_dropped_total 0+600x60", "demikv_demi_dev_rx_no_buffer_total 0x60", "demikv_demi_dev_tx_dropped_total 0x60"],
                          ["demikv_demi_dev_rx_dropped_total 9x60", "demikv_demi_dev_rx_no_buffer_total 0x60", "demikv_demi_dev_tx_dropped_total 0x60"]),
    "DemikvCarrierLost": (["demikv_demi_dev_carrier_lost_total 0x50 1x60"], ["demikv_demi_dev_carrier_lost_total 1x60"]),
    "DemikvRetransmits": (["demikv_demi_tcp_retransmits_total 0+60x60", "demikv_demi_tcp_tx_segments_total 0+1200x60"],
                          ["demikv_demi_tcp_retransmits_total 0+6x60", "demikv_demi_tcp_tx_segments_total 0+1200x60"]),
    "RedisExporterDown": (['up{job="redis"} 0x60'], ['up{job="redis"} 1x60', "up 0x60"]),
    "RedisDown": (["redis_up 0x60"], ["redis_up 1x60"]),
    "RedisRestarted": (["redis_uptime_in_seconds 20x60"], ["redis_uptime_in_seconds 4000x60"]),
    "RedisMemoryNearMaxmemory": (["redis_memory_used_bytes 95x60", "redis_memory_max_bytes 100x60"], ["redis_memory_used_bytes 95x60", "redis_memory_max_bytes 0x60"]),
    "RedisEvicting": (["redis_evicted_keys_total 0+100x60"], ["redis_evicted_keys_total 5x60"]),
    "RedisSaveFailing": (["redis_rdb_last_bgsave_status 0x60"], ["redis_rdb_last_bgsave_status 1x60"]),
    "RedisAofWriteFailing": (["redis_aof_last_write_status 0x60"], ["redis_aof_last_write_status 1x60"]),
    "RedisAofRewriteFailing": (["redis_aof_last_bgrewrite_status 0x60"], ["redis_aof_last_bgrewrite_status 1x60"]),
    "RedisAofSyncDelayed": (["redis_aof_delayed_fsync 0+1x60"], ["redis_aof_delayed_fsync 3x60"]),
    "RedisReplicationBroken": (["redis_master_link_up 0x60"], ["redis_master_link_up 1x60"]),
    "RedisReplicaLagging": (["redis_connected_slave_lag_seconds 30x60"], ["redis_connected_slave_lag_seconds 1x60"]),
    "RedisReplicaMissing": (["redis_connected_slaves 2x30 1x30"], ["redis_connected_slaves 1x30 2x30"]),
    "RedisConnectionsNearMax": (["redis_connected_clients 95x60", "redis_config_maxclients 100x60"], ["redis_connected_clients 95x60", "redis_config_maxclients 10000x60"]),
    "RedisConnectionsRejected": (["redis_rejected_connections_total 0+1x60"], ["redis_rejected_connections_total 4x60"]),
    "RedisSlow": (["redis_commands_duration_seconds_total 0+6x60", "redis_commands_total 0+60x60"], ["redis_commands_duration_seconds_total 0+0.01x60", "redis_commands_total 0+60x60"]),
}
AT = {"DemikvFragmented": "85m"}


def rules_of(name):
    """[(alert, expression)], read as the file is written: a line each."""
    with open(os.path.join(WATCH, name), encoding="utf-8") as file:
        return re.findall(r"^      - alert: (\w+)\n        expr: (.+)$", file.read(), re.M)


def series_of(text, server):
    name, values = re.match(r"(\S+?(?:\{.*\})?) (.+)", text).groups()
    labels = re.search(r"\{(.*)\}", name)
    mine = labels.group(1) if labels else ""
    both = ",".join(filter(None, ['instance="%s"' % server, "" if "job=" in mine else 'job="demikv"', mine]))
    return {"series": "%s{%s}" % (name.split("{")[0], both), "values": values}


def fires(folder):
    """promtool's tests are YAML, of which JSON is a part."""
    promtool = need("promtool")
    paths = [os.path.join(WATCH, name) for name in RULES]
    done = subprocess.run([promtool, "check", "rules"] + paths, capture_output=True, text=True, timeout=60, check=False)
    tap.ok(done.returncode == 0, "promtool finds nothing wrong with the rules", (done.stdout + done.stderr).splitlines())
    alerts = [alert for name in RULES for alert, _ in rules_of(name)]
    tap.ok(len(alerts) == len(set(alerts)) and set(alerts) == set(FIRES), "every alert is shown to fire and not to fire", sorted(set(alerts) ^ set(FIRES)))
    cases = [] # one in which all fire, one in which none does: each has a server of its own
    for firing in (True, False):
        samples = [{"labels": "{}", "value": 1}] if firing else []
        series = [series_of(s, alert) for alert, both in FIRES.items() for s in both[0 if firing else 1]]
        asked = [{"expr": 'count(ALERTS{alertname="%s",instance="%s",alertstate="firing"})' % (alert, alert), "eval_time": AT.get(alert, "58m"), "exp_samples": samples} for alert in FIRES]
        cases.append({"name": "fire" if firing else "do not", "interval": "1m", "input_series": series, "promql_expr_test": asked})
    path = os.path.join(folder, "test.yml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"rule_files": paths, "evaluation_interval": "1m", "tests": cases}, file)
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, timeout=100, check=False)
    tap.ok(done.returncode == 0, "%d alerts fire, and do not" % len(alerts), (done.stdout + done.stderr).splitlines()[:40])


def boards():
    loader = importlib.machinery.SourceFileLoader("dashboards", os.path.join(WATCH, "dashboards"))
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("dashboards", loader))
    loader.exec_module(module)
    return module.files()


def overlap(a, b):
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def faults_of(name, board):
    """What of Grafana's model does not hold."""
    wrong = []
    panels = board["panels"]
    ids = [p["id"] for p in panels]
    if len(ids) != len(set(ids)) or board["id"] is not None or not re.fullmatch(r"[\w-]{1,40}", board["uid"]) or not isinstance(board["schemaVersion"], int):
        wrong.append("%s: ids, uid or schemaVersion" % name)
    known = {v["name"] for v in board["templating"]["list"]}
    if board["templating"]["list"][0]["type"] != "datasource":
        wrong.append("%s: no variable for the data source" % name)
    for i, p in enumerate(panels):
        place, where = p["gridPos"], "%s, %s" % (name, p["title"])
        if place["x"] + place["w"] > 24 or min(place.values()) < 0:
            wrong.append(where + ": outside")
        wrong += [where + ": lies over " + o["title"] for o in panels[:i] if overlap(place, o["gridPos"])]
        if p["type"] == "row":
            continue
        if p["type"] not in ("stat", "timeseries", "heatmap") or p["fieldConfig"]["defaults"]["unit"] not in UNITS or not p["targets"]:
            wrong.append(where + ": kind, unit or queries")
        references = [t["refId"] for t in p["targets"]]
        if len(references) != len(set(references)):
            wrong.append(where + ": two queries of one name")
        for t in [p] + p["targets"]:
            if t["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
                wrong.append(where + ": data source")
        for t in p["targets"]:
            strange = set(re.findall(r"\$\{?([A-Za-z_]\w*)", t["expr"])) - known - {"__rate_interval"}
            if strange or "$job" not in t["expr"] or "$instance" not in t["expr"]:
                wrong.append(where + ": variables: %s" % t["expr"])
    return wrong


def the_model():
    files = boards()
    wrong = []
    for name, board in files.items():
        with open(os.path.join(WATCH, name), encoding="utf-8") as file:
            if json.load(file) != board:
                wrong.append("%s: packaging/watch/dashboards writes another" % name)
        wrong += faults_of(name, board)
    tap.ok(not wrong, "dashboards are those of packaging/watch/dashboards, and by Grafana's model", wrong)
    return files


# --- real servers -----------------------------------------------------------------------------------------------------


def launch(words, folder, name):
    with open(os.path.join(folder, name + ".log"), "wb") as log:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=die_with_parent)


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if what():
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def fetched(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=30).returncode == 0


def own_network():
    """A namespace with a pair of devices; False: that may not be."""
    if os.getuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    return run("ip", "link", "set", "lo", "up") and run("ip", "link", "add", "dw0", "type", "veth", "peer", "name", "dw1") and run("ip", "link", "set", "dw0", "up") \
        and run("ip", "link", "set", "dw1", "up") and run("ip", "addr", "add", "10.77.0.2/24", "dev", "dw1")


def free_port():
    """One that this test has not been given yet."""
    for port in helper.PORTS:
        if port in helper.reserved:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if helper.reserve(port):
            return port
    raise RuntimeError("no free port")


def tls_options(folder):
    if not os.access(os.path.join(os.path.dirname(OURS), "libdemikernel-tls.so"), os.R_OK):
        return []
    key, cert = os.path.join(folder, "k.pem"), os.path.join(folder, "c.pem")
    run(need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "90", "-subj", "/CN=t")
    return ["--tls-port", str(free_port()), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"]


def servers(folder, raw):
    """Processes, and what there is to scrape: {job: [addresses]}."""
    port, replica, metrics, more, exporters = free_port(), free_port(), free_port(), free_port(), [free_port(), free_port()]
    tls = tls_options(folder)
    common = [OURS, "--save", "", "--latency-monitor-threshold", "1", "--bind"]
    for name in ("p", "r", "k"):
        os.mkdir(os.path.join(folder, name))
    running = [launch(common + ["127.0.0.1", "--port", str(port), "--metrics-port", str(metrics), "--dir", folder + "/p", "--maxmemory", "1gb", "--appendonly", "yes",
                                "--repl-diskless-sync-delay", "0"] + tls, folder, "p"),
               launch(common + ["127.0.0.1", "--port", str(replica), "--metrics-port", str(more), "--dir", folder + "/r", "--replicaof", "127.0.0.1 %d" % port], folder, "r")]
    targets = {"demikv": ["127.0.0.1:%d" % metrics, "127.0.0.1:%d" % more], "redis": ["127.0.0.1:%d" % e for e in exporters]}
    if raw:
        running.append(launch(common + ["10.77.0.1", "--port", "7000", "--libos", "packet", "--libos-interface", "dw0", "--libos-address", "10.77.0.1/24", "--metrics-port", "7001",
                                        "--metrics-bind", "10.77.0.1", "--protected-mode", "no", "--dir", folder + "/k"], folder, "k"))
        targets["demikv"].append("10.77.0.1:7001")
    for e, p in zip(exporters, (port, replica)):
        running.append(launch([need("prometheus-redis-exporter"), "-redis.addr", "redis://127.0.0.1:%d" % p, "-web.listen-address", "127.0.0.1:%d" % e], folder, "e%d" % e))
    for address in ["http://%s/metrics" % t for job in targets for t in targets[job]]:
        if not until(lambda at=address: fetched(at)):
            raise RuntimeError("%s does not answer" % address)
    return running, targets, port


def use_it(port):
    """Some commands, and an error: what was never called has no figures."""
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.sendall(b"SET k v EX 1000\r\nGET k\r\nGET no\r\nNONSENSE\r\nLPUSH l a b c\r\n")
        got = b""
        while b":3\r\n" not in got:
            got += s.recv(4096)


def live(folder, files, raw):
    running, targets, port = servers(folder, raw)
    try:
        at = free_port()
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
                       "scrape_configs": [{"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in targets.items()]}, file)
        running.append(launch([need("prometheus"), "--config.file", config, "--storage.tsdb.path", folder + "/tsdb", "--web.listen-address", "127.0.0.1:%d" % at], folder, "prometheus"))
        base = "http://127.0.0.1:%d/api/v1/" % at

        def ask(expr):
            try:
                return json.loads(fetched(base + "query?" + urllib.parse.urlencode({"query": expr})))["data"]["result"]
            except urllib.error.HTTPError as error:
                return json.loads(error.read().decode())["error"]

        count = sum(map(len, targets.values()))
        ready = until(lambda: fetched("http://127.0.0.1:%d/-/ready" % at))
        if not tap.ok(ready and until(lambda: ask("count(up == 1)") and ask("count(up == 1)")[0]["value"][1] == str(count)), "Prometheus scrapes all of them", [targets, ask("up")]):
            return
        use_it(port)
        until(lambda: ask("min(count_over_time(up[1m]))")[0]["value"][1] >= "5" and ask('demikv_command_calls_total{cmd="lpush"}') and ask("demikv_replica_lag_seconds"), 20)
        time.sleep(2.5) # a rate has two samples
        names = set(json.loads(fetched(base + "label/__name__/values"))["data"])
        queries = [("%s, %s" % (name, p["title"]), t["expr"], True) for name, b in files.items() for p in b["panels"] for t in p.get("targets", ())]
        queries += [(alert, expr, False) for name in RULES for alert, expr in rules_of(name)]
        absent, wrong, empty = [], [], []
        for where, expr, shown in queries:
            lost = [n for n in NAME.findall(expr) if n not in names]
            lost += [p for pattern in PATTERN.findall(expr) for p in alternatives(pattern) if not any(re.fullmatch(p, n) for n in names)]
            if not raw:
                lost = [n for n in lost if not re.match(r"demikv_demi_(drop|net|tcp|dev)", n)]
            if not os.path.exists(os.path.join(folder, "c.pem")):
                lost = [n for n in lost if not n.startswith("demikv_tls")]
            absent += ["%s: %s" % (where, n) for n in lost]
            real = expr.replace("[$__rate_interval]", "[10s]").replace("$job", ".+").replace("$instance", ".+")
            result = ask(real)
            if isinstance(result, str):
                wrong.append("%s: %s: %s" % (where, real, result))
            elif shown and not result and " > 0" not in expr and not (not raw and "_demi_" in expr) and not until(lambda: ask(real), 15):
                empty.append("%s: %s" % (where, real))
        tap.ok(not absent, "every metric that %d queries name is there" % len(queries), absent)
        tap.ok(not wrong, "every query is one", wrong)
        tap.ok(not empty, "every panel has something to show", empty)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def alternatives(pattern):
    """a_(b|c)_d -> a_b_d, a_c_d: each must be there."""
    found = re.fullmatch(r"([^(]*)\(([^()]*)\)(.*)", pattern)
    return [found.group(1) + word + found.group(3) for word in found.group(2).split("|")] if found else [pattern]


if not os.access(OURS, os.X_OK):
    skip_all("no " + OURS)
with tempfile.TemporaryDirectory(prefix="demikv-test-") as scratch:
    fires(scratch)
    model = the_model()
    network = own_network()
    live(scratch, model, network)
    if not network:
        tap.skip("raw frames", "a network namespace takes root")
tap.done()
