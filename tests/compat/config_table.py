#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every parameter of CONFIG: that it is there, its default, and what CONFIG SET says to good and bad values; TAP on stdout.

The reply and the value that CONFIG GET shows afterwards must agree. What is not there yet may refuse by name.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
import versions  # noqa: E402

VALUES = """|0|1|-1|2|5|10|100|101|127|256|1000|65535|65536|2147483647|2147483648|4294967296|9223372036854775807|9223372036854775808
|99999999999999999999|1k|1kb|1mb|5gb|1K|1tb|1xb|1.5|abc|yes|no|YES|local|50%|-1%|101%| 1|1 |0x10|077|777|+1|-0|nan|debug|nothing|A|KEA|xyz
|a b|normal 0 0 0|normal 1mb 1kb|slave 1mb 1kb 60|always|everysec|allkeys-lru|C|/tmp|0.5|60 100|60 100 5|-5|clients|dir/x|mb|0kb|-1kb"""
# Of the process, or of the machine: what they do is not to be tried on both servers at once.
LEFT_ALONE = {"dir", "port", "unixsocket", "bind", "logfile", "pidfile", "maxclients", "requirepass", "syslog-facility", "maxmemory"}
OURS_ONLY = ("aof-device", "libos", "log-format", "log-timestamp-format", "metrics-", "shm-path", "rdma-", "rdb-version", "repl-refuse-void", "repl-sync-write-hold", "snapshot-memory-limit") # how names begin
MISSING = {"maxmemory-clients"}
TOO_LARGE = {"cluster-link-sendbuf-limit", "maxmemory-clients"} # at 2^63 bytes and more ours end; there the second becomes a percentage
NEW = {"locale-collate", "cluster-announce-human-nodename", "set-max-listpack-entries", "set-max-listpack-value"}
CHANGED = {"loglevel", "aof-disable-auto-gc"}


def shown(client, pattern):
    words = [k.text().decode("latin-1") for k in client.call("CONFIG", "GET", pattern).kids]
    return dict(zip(words[::2], words[1::2]))


def comparable(name):
    return name not in LEFT_ALONE and not name.startswith("tls-")


def excused(name, value="", reply=b""):
    """Whether a difference is one that is known. reply: ours."""
    if name in MISSING and b"is not supported yet" in reply:
        return True
    if name == "activedefrag" and reply.startswith(b"+OK"):
        return True # only a redis-server with its own jemalloc takes yes
    if name in TOO_LARGE and value.isdigit() and int(value) >= 1 << 63:
        return True
    return name in CHANGED and versions.expected("config " + name)


def tried(client, name, value, default):
    reply = client.call("CONFIG", "SET", name, value).raw()
    after = shown(client, name).get(name)
    if reply.startswith(b"+"):
        client.call("CONFIG", "SET", name, default)
    return reply, after


def differences(clients, name, default):
    notes = []
    for value in VALUES.replace("\n", "").split("|"):
        both = [tried(c, name, value, default) for c in clients]
        if both[0] != both[1] and not excused(name, value, both[1][0]):
            notes += ["%s %r" % (name, value), "    redis: %r" % (both[0],), "    ours:  %r" % (both[1],)]
    return notes


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS) as theirs, Server(OURS) as ours:
        clients = theirs.client(), ours.client()
        there, here = (shown(c, "*") for c in clients)
        new = NEW if versions.OLDER and versions.expected("config new") else set()
        extra = {name for name in set(here) - set(there) - new if not name.startswith(OURS_ONLY)}
        gone = {name for name in set(there) - set(here) if not excused(name)}
        tap.ok(not extra and not gone, "the parameters are redis-server's", ["missing: " + name for name in sorted(gone)] + ["besides: " + name for name in sorted(extra)])
        other = sorted(name for name in there if name in here and there[name] != here[name] and comparable(name))
        tap.ok(not other, "so are the defaults", ["%s: %r, ours %r" % (name, there[name], here[name]) for name in other])
        for name in sorted(there):
            if name in here and comparable(name):
                notes = differences(clients, name, there[name])
                tap.ok(not notes, "CONFIG SET " + name, notes[:15])
    if versions.OLDER:
        tap.ok(not versions.unused("config"), "every difference between versions that is listed is there", versions.unused("config"))
    tap.done()


main()
