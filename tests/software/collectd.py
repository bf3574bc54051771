#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""collectd's redis plugin, until it has written what it measures."""
import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from programs import need  # noqa: E402
from resp import Client  # noqa: E402
from servers import die_with_parent  # noqa: E402

from programs_tap import PORT, ok, run, same, until  # noqa: E402

CONF = """FQDNLookup false
Hostname "host"
Interval 0.2
BaseDir "{0}"
PIDFile "{0}/pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin csv
LoadPlugin redis
<Plugin csv>
  DataDir "{0}"
  StoreRates false
</Plugin>
<Plugin redis>
  <Node "node">
    Host "127.0.0.1"
    Port "{1}"
    Timeout 5000
    ReportCommandStats true
    <Query "LLEN things">
      Type "queue_length"
      Instance "things"
    </Query>
  </Node>
</Plugin>
"""
NAMES = ("blocked_clients", "cache_result-hits", "cache_result-misses", "commands-set", "current_connections-clients", "current_connections-slaves", "evicted_keys",
         "expired_keys", "memory", "memory_lua", "percent-hitratio", "ps_cputime-children", "ps_cputime-daemon", "pubsub-channels", "pubsub-patterns",
         "queue_length-things", "records-0", "redis_command_cputime-set", "total_bytes-input", "total_bytes-output", "total_connections", "total_operations",
         "volatile_changes")


def last(folder, name):
    """The last values of a series, one a data source; None: there are none yet."""
    for path in glob.glob(os.path.join(folder, "host", "redis-node", name + "-20*")):
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()
        if len(lines) > 1:
            return [float(v) for v in lines[-1].split(",")[1:]]
    return None


def scenario():
    client = Client(("127.0.0.1", PORT), 20.0)
    for words in (["SET", "k", "v"], ["GET", "k"], ["GET", "k"], ["GET", "none"], ["RPUSH", "things", "a", "b", "c"]):
        client.call(*words)
    with tempfile.TemporaryDirectory() as folder:
        conf = os.path.join(folder, "collectd.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(CONF.format(folder, PORT))
        with subprocess.Popen([need("collectd"), "-f", "-C", conf], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              preexec_fn=die_with_parent) as daemon:
            until(lambda: all(last(folder, n) for n in NAMES) or daemon.poll() is not None)
            daemon.terminate()
            said = daemon.stdout.read()
        same([n for n in NAMES if not last(folder, n)], [], "each series of the plugin")
        same([last(folder, n) for n in ("records-0", "queue_length-things", "cache_result-hits", "cache_result-misses", "commands-set")],
             [[2], [3], [2], [1], [1]], "with true values")
        ok((last(folder, "memory") or [0])[0] > 100000, "memory")
        ok("error" not in said.lower() and "failed" not in said.lower(), "nothing wrong in the log", said[-500:])


run(scenario)
