#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The Go client redigo's own test suite, as Debian packages it, with our server in the place of redis-server.

The suite starts the server itself, waits for its ready line and ends it with SIGINT.
"""
import os
import re
import tempfile

from here import OURS, Tap, free_port, need, need_server, run, skip_all

GOPATH = "/usr/share/gocode"
PACKAGE = "github.com/gomodule/redigo/redis"
# These run Lua scripts (EVALSHA), which this server does not do: nothing of ours is left to test in them.
SCRIPTS = ("TestScript", "Example_zpop")


def go(arguments, environment):
    return run([GO, "test"] + arguments, timeout=240, env=environment, cwd="/")


GO = need("go")
need_server()
if not os.path.isdir(os.path.join(GOPATH, "src", PACKAGE)):
    skip_all("no redigo (Debian package golang-github-gomodule-redigo-dev)")
if not os.path.isdir(os.path.join(GOPATH, "src/github.com/stretchr/testify")):
    skip_all("no testify, which redigo's tests use (Debian package golang-github-stretchr-testify-dev)")

tap = Tap()
with tempfile.TemporaryDirectory(prefix="demikv-test-") as folder:
    environment = dict(os.environ, GOPATH=GOPATH, GO111MODULE="off", GOCACHE=os.path.join(folder, "cache"), HOME=folder)
    status, output = go(["-list", ".", PACKAGE], environment)
    names = re.findall(r"^((?:Test|Example)\w*)", output, re.M)
    if status != 0 or not names:
        print("Bail out! go test -list: " + output[-500:].replace("\n", " | "))
        raise SystemExit(1)
    names = [name for name in names if name not in SCRIPTS]
    wanted = "^(%s)$" % "|".join(names)
    status, output = go(["-v", "-run", wanted, PACKAGE, "-args", "-redis-server=" + OURS, "-redis-port=%d" % free_port(),
                         "-redis-log=" + os.path.join(folder, "redis.log")], environment)
    results = dict((name, word) for word, name in re.findall(r"^--- (PASS|FAIL|SKIP): (\S+)", output, re.M))
for name in names:
    if results.get(name) == "SKIP":
        tap.skip("redigo: " + name, "the suite skips it")
    else:
        at = output.find("=== RUN   " + name + "\n")
        passed = results.get(name) == "PASS"
        tap.ok(passed, "redigo: " + name, [] if passed else output[at:at + 800].splitlines()[:12] or output[-800:].splitlines())
tap.done()
