#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""demikv-check-conf: every option that redis-server has gets a verdict and the one the server itself gives; files of old versions, includes, JSON,
exit status; files that are none. TAP on stdout.

What the tool says of a file is compared with what demikv-server does with it.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))
from servers import OURS, REDIS, Server, die_with_parent, free_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

for binary in (OURS, REDIS):
    if not os.access(binary, os.X_OK):
        skip_all("no " + binary)
class Quiet(Tap):
    """Notes are for what failed."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


tap = Quiet()
folder = tempfile.TemporaryDirectory(prefix="demikv-test-")
TOOL = os.path.join(folder.name, "demikv-check-conf")
os.symlink(os.path.abspath(OURS), TOOL)
PATIENCE = 60
NEW = {"locale-collate": "", "cluster-announce-human-nodename": "", "set-max-listpack-entries": "128", "set-max-listpack-value": "64"}
FATAL = ("unknown", "refused")
OLD = b"""daemonize no
pidfile redis.pid
port 6379
tcp-backlog 511
timeout 0
loglevel notice
logfile ""
databases 16
save 900 1
save 300 10
save 60 10000
slave-serve-stale-data yes
slave-read-only yes
repl-ping-slave-period 10
slave-priority 100
min-slaves-to-write 0
maxmemory-policy volatile-lru
maxmemory 100mb
lua-time-limit 5000
hash-max-ziplist-entries 512
list-max-ziplist-entries 512
zset-max-ziplist-value 64
client-output-buffer-limit slave 256mb 64mb 60
client-output-buffer-limit normal 0 0 0
rename-command CONFIG ""
bind 127.0.0.1
"""


def put(name, data):
    path = os.path.join(folder.name, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def run(*words, data=b""):
    done = subprocess.run([TOOL, *words], input=data, capture_output=True, timeout=PATIENCE, cwd=folder.name, preexec_fn=die_with_parent)
    return done.returncode, done.stdout, done.stderr


def told(*words, data=b""):
    """(exit status, lines of the JSON)"""
    code, out, _ = run("--json", *words, data=data)
    page = json.loads(out.decode("utf-8"))
    assert page["status"] == code
    counts = {}
    for line in page["lines"]:
        counts[line["verdict"]] = counts.get(line["verdict"], 0) + 1
    assert not page["complete"] or counts == {k: n for k, n in page["counts"].items() if n}, page["counts"]
    return code, page["lines"]


def quoted(text):
    return b'"' + b"".join(b"\\x%02x" % c if c < 32 or c > 126 or c in b'"\\' else bytes([c]) for c in text) + b'"'


def every_option():
    with Server(REDIS) as server:
        words = [k.text() for k in server.client().call("CONFIG", "GET", "*").kids]
    options = {n.decode(): v for n, v in zip(words[::2], words[1::2])}
    for name, value in NEW.items():
        options.setdefault(name, value.encode())
    tap.ok(len(options) > 190, "redis-server has options", [len(options)])
    text = b"".join(name.encode() + b" " + quoted(value) + b"\n" for name, value in options.items() if name not in ("slaveof", "replicaof"))
    _, lines = told(put("all.conf", text))
    by = {line["option"]: line for line in reversed(lines) if "option" in line}
    tap.ok(not set(options) - set(by) - {"slaveof", "replicaof"}, "each gets a verdict", sorted(set(options) - set(by)))
    wrong = ["%s: %s" % (name, line) for name, line in by.items() if line["verdict"] in FATAL]
    tap.ok(not wrong, "none of redis-server's own values is refused", wrong)
    silent = [line for line in lines if line["verdict"] not in ("same", "renamed") and "says" not in line]
    tap.ok(not silent, "what is different is said", silent)


def starts(path):
    """What demikv-server does with the file: None, or why it does not start."""
    process = subprocess.Popen([OURS, path, "--port", str(free_port()), "--bind", "127.0.0.1", "--save", "", "--logfile", ""], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd=folder.name, preexec_fn=die_with_parent)
    seen = b""
    while True:
        line = process.stdout.readline()
        seen += line
        if b"Ready to accept" in line:
            process.terminate()
            process.communicate(timeout=PATIENCE)
            return None
        if not line:
            process.wait(PATIENCE)
            return seen


def as_the_server():
    """One line each: the tool and the server agree, and by the same words."""
    cases = ["port 0", "maxmemory 1gb", "maxmemory 1zb", "hz 0", "hz -1", "appendfsync sometimes", "io-threads 2", "cluster-enabled yes", "loadmodule /x.so",
             "save 60", "save ''", 'requirepass "x', "nonsense 1", "sentinel monitor a 127.0.0.1 1 1", "user x on +get", "user x +gett", "user a b c", "include none.conf",
             "include none-*.conf", "rename-command GETT G", "rename-command GET G", "unixsocketperm 999", "bind a b c d e f g h i j k l m n o p q", "list-max-ziplist-value 3",
             "maxclients", "oom-score-adj-values 1 2", "notify-keyspace-events Q", "databases 0", "port 70000", "proc-title-template {x}"]
    wrong = []
    for case in cases:
        path = put("case.conf", case.encode() + b"\n")
        _, lines = told(path, "--port", "1", "--bind", "127.0.0.1") # as starts() says
        fatal = [line for line in lines if line["verdict"] in FATAL]
        why = starts(path)
        if bool(fatal) != bool(why):
            wrong.append("%s: the tool says %s, the server %s" % (case, fatal, why))
        elif why and fatal[0]["says"].encode() not in why:
            wrong.append("%s: the tool says %r, the server %r" % (case, fatal[0]["says"], why))
    tap.ok(not wrong, "%d lines: the server starts or not, by the words that the tool says" % len(cases), wrong)


def old_files():
    code, lines = told(put("old.conf", OLD))
    kinds = {line["option"]: line["verdict"] for line in lines if line["option"] != "requirepass"}
    tap.ok(code == 1 and not [k for k in kinds.values() if k in FATAL], "a file of Redis 2.8 is taken, and what is different is 1", [code, kinds])
    tap.ok(all(kinds[n] == "renamed" for n in ("slave-priority", "hash-max-ziplist-entries", "lua-time-limit")) and kinds["save"] == "differs"
           and kinds["list-max-ziplist-entries"] == "same" and kinds["port"] == "same", "older names are told", [kinds])
    code, lines = told(put("gone.conf", b"vm-enabled no\nglueoutputbuf yes\nhash-max-zipmap-entries 64\nprimaryauth x\navailability-zone eu\n"))
    tap.ok(code == 2 and all(line["verdict"] == "unknown" and "option of" in line["says"] and line["advice"] for line in lines[:5]),
           "names of other versions are known as theirs", lines)
    code, lines = told(put("plain.conf", b"bind 127.0.0.1\nport 6380\nmaxclients 100\n"))
    tap.ok(code == 0 and len(lines) == 3, "a file in which nothing is different is 0", [code, lines])
    debian = "/etc/redis/redis.conf"
    if os.access(debian, os.R_OK):
        code, lines = told(debian)
        tap.ok(code == 1 and len(lines) > 60, "Debian's redis.conf is taken", [code])
    else:
        tap.skip("Debian's redis.conf is taken", "it is not there, or not for us")


def forms():
    put("conf.d/10.conf", b"port 7001\nmaxmemory 1gb") # no newline at its end
    put("conf.d/20.conf", b"\ntimeout 5\nmaxmemry 1\n")
    path = put("main.conf", b"# first\n\ninclude conf.d/*.conf\ninclude missing-*.conf\n   tcp-keepalive\t'60' \r\nPORT 7002\n")
    code, lines = told(path, "--timeout", "9", "--save", "1 2", "3 4")
    places = [(os.path.basename(line["file"]), line.get("line"), line["option"], line["verdict"]) for line in lines]
    tap.ok(places[:9] == [("main.conf", 3, "include", "same"), ("10.conf", 1, "port", "overridden"), ("10.conf", 2, "maxmemory", "differs"), ("20.conf", 2, "timeout", "overridden"),
                          ("20.conf", 3, "maxmemry", "unknown"), ("main.conf", 4, "include", "same"), ("main.conf", 5, "tcp-keepalive", "same"), ("main.conf", 6, "PORT", "same"),
                          ("command line", 1, "timeout", "same")], "each line has its file and number; the last one counts", places)
    put("join/1.conf", b"maxclients 10")
    put("join/2.conf", b"00\n")
    code, lines = told(put("join.conf", b"bind 127.0.0.1\ninclude join/*.conf\n"))
    tap.ok([line.get("value") for line in lines if line.get("option") == "maxclients"] == ["1000"] and any("newline" in line.get("says", "") for line in lines),
           "files are read one behind the other, and it is told", lines)
    code, lines = told("-", data=b"port 1\nport 2\n")
    tap.ok(lines[0]["file"] == "standard input" and lines[0]["verdict"] == "overridden", "the file may be standard input", lines)
    code, out, _ = run("--quiet", path)
    tap.ok(code == 2 and not out, "--quiet says nothing", [code, out])
    tap.ok([run()[0], run("--nonsense", path)[0], run("--help")[0], run("/nowhere.conf")[0]] == [2, 2, 0, 2], "wrong arguments are 2, --help is 0")
    code, out, _ = run(put("two.conf", b"bind 127.0.0.1\nport 1\nmaxmemory 1gb\n"))
    all_of = run("--all", "two.conf")[1]
    tap.ok(b"two.conf:3: maxmemory 1gb: differs:" in out and b"port 1" not in out and b"two.conf:2: port 1: same\n" in all_of, "people see what is different, with --all everything", [out])
    code, lines = told(put("risk.conf", b"bind *\nprotected-mode no\nenable-debug-command yes\nmaxmemory-policy allkeys-lru\n"))
    tap.ok({line["option"] for line in lines if line["verdict"] == "risk"} == {"bind", "enable-debug-command", "maxmemory-policy"}, "open doors are told", lines)
    code, lines = told(put("none.conf", b"port 0\n"))
    tap.ok(code == 2 and lines[-1]["says"] == "Configured to not listen anywhere, exiting.", "a server that listens nowhere does not start", lines)


def hostile():
    rng = random.Random(14)
    put("self.conf", b"include self.conf\ninclude self.conf\n")
    put("wide.conf", b"include wide-*.conf\n" * 50)
    for i in range(20):
        put("wide-%d.conf" % i, b"include wide.conf\nport 1\n")
    os.mkfifo(os.path.join(folder.name, "pipe.conf"))
    put("pipes.conf", b"include pipe.conf\n")
    files = {"itself": "self.conf", "many of each other": "wide.conf", "a pipe": "pipes.conf", "a folder": folder.name, "/dev/zero": "/dev/zero",
             "one line of 8 MiB": put("long.conf", b"x" * (8 << 20)), "words without end": put("words.conf", b"save " + b"1 " * (1 << 19)),
             "a program": put("program", open(OURS, "rb").read(1 << 20)), "users without end": put("users.conf", b"".join(b"user u%d on +get\n" % i for i in range(5000)))}
    for i in range(10):
        junk = rng.randbytes(4000).replace(b"dir", b"xxx") + OLD
        files["junk %d" % i] = put("junk%d.conf" % i, bytes(c if rng.random() > 0.02 else rng.randrange(256) for c in junk))
    wrong = []
    for name, path in files.items():
        code, _ = told(path)
        out = run("--all", path)[1]
        if code not in (0, 1, 2) or (code != 2 and name not in ("users without end",)) or any(c < 32 and c != 10 for c in out):
            wrong.append("%s: %s" % (name, code))
    tap.ok(not wrong, "files that are none are refused, in JSON that is JSON and text that is text", wrong)


every_option()
as_the_server()
old_files()
forms()
hostile()
tap.done()
