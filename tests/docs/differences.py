#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The list of differences from Redis (docs/from-redis.md) names every option of ours, no other, and what DEBUG lacks; asked of both servers."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))
from programs import need  # noqa: E402
from servers import OURS, REDIS, ROOT, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

# What 7.2.4 has and Debian's 7.0.15 has not.
NEW_IN_7_2 = {"cluster-announce-human-nodename", "locale-collate", "set-max-listpack-entries", "set-max-listpack-value"}
# What 7.0.15 shows and 7.2.4 hides.
HIDDEN_IN_7_2 = {"aof-disable-auto-gc"}


def options(client):
    return {kid.text().decode() for kid in client.call("CONFIG", "GET", "*").kids[::2]}


def debugs(client):
    """The subcommands of DEBUG HELP: lines that are not indented, but the first."""
    return {line.text().decode().split()[0] for line in client.call("DEBUG", "HELP").kids[1:] if not line.text().startswith(b" ")}


need("redis-server")
if not os.access(OURS, os.X_OK):
    skip_all("build/demikv-server is not built")
with open(os.path.join(ROOT, "docs", "from-redis.md"), encoding="utf-8") as page:
    text = page.read()
table = text[text.index("| option | what |"):]
told = set(re.findall(r"`([\w-]+)`", "\n".join(line.split("|")[1] for line in table[:table.index("\n\n")].splitlines())))
lacks = text[text.index("**DEBUG**"):].split("\n\n")[0]
with Server(OURS) as ours, Server(REDIS) as redis:
    mine, theirs = options(ours.client()), options(redis.client())
    missing = debugs(redis.client()) - debugs(ours.client())
tap = Tap()
lacking = theirs - mine - HIDDEN_IN_7_2
tap.ok(not lacking, "every option of redis-server's is known", sorted(lacking))
own = mine - theirs - NEW_IN_7_2
tap.ok(len(own) > 20 and own == told, "the options that are ours are those of the table", ["not told: %s" % sorted(own - told), "not there: %s" % sorted(told - own)])
tap.ok(all(name in lacks for name in missing), "what DEBUG lacks is named", sorted(missing))
tap.done()
