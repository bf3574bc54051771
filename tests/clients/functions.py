#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Libraries of functions in files: snapshots, append-only files with either kind of base, what fails while it is loaded; a
function that does not end, and what is served meanwhile; redis-cli --functions-rdb."""
import os
import shutil
import subprocess


from here import OURS, REDIS, Server, Tap, info, need_server, wait_until

from resp import encode  # noqa: E402

need_server()
tap = Tap()
ONE = "#!lua name=one\nlocal n = 0\nredis.register_function('count', function() n = n + 1 return n end)"
TWO = "#!lua name=two\nredis.register_function('put', function(k, a) return redis.call('SET', k[1], a[1]) end)"
OLD = ["--rdb-version", "10"] # which any redis-server with functions reads
SLOW = "#!lua name=slow\nredis.register_function('slow', function() while true do end end)"
WRITES = "#!lua name=writes\nredis.register_function('writes', function(k) redis.call('SET', k[1], 'x') while true do end end)"


def ask(client, *words):
    return client.call(*words).text() or b""


def names(client):
    return [kid.kids[1].text() for kid in client.call("FUNCTION", "LIST").kids]


def kill(server):
    server.process.kill()
    server.process.wait()


def rewritten(client):
    return wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0" and info(client, "aof_rewrite_scheduled") == "0")


def snapshots():
    with Server(OURS) as server:
        client = server.client()
        client.call("FUNCTION", "LOAD", ONE)
        client.call("FUNCTION", "LOAD", TWO)
        before = ask(client, "FUNCTION", "DUMP")
        client.call("SAVE")
        kill(server)
        server.start()
        client = server.client()
        tap.ok(names(client) == [b"one", b"two"] and ask(client, "FUNCTION", "DUMP") == before, "libraries are there after a restart, byte for byte")
        tap.ok(ask(client, "FCALL", "count", "0") == b"1" and ask(client, "FCALL", "put", "1", "k", "v") == b"OK", "and their functions run")
        client.call("FLUSHALL")
        tap.ok(ask(client, "FCALL", "count", "0") == b"2", "FLUSHALL leaves them, and what they hold")
        tap.ok(ask(client, "DEBUG", "RELOAD") == b"OK" and ask(client, "FCALL", "count", "0") == b"1", "DEBUG RELOAD begins them afresh")
        tap.ok(b"number_of_functions:2" in ask(client, "INFO", "memory") and b"number_of_libraries:2" in ask(client, "INFO", "memory"), "INFO counts them")


def broken_library():
    """A file whose library does not load is refused, with the library's error."""
    with Server(OURS) as server:
        client = server.client()
        client.call("FUNCTION", "LOAD", ONE)
        client.call("CONFIG", "SET", "rdbcompression", "no")
        client.call("CONFIG", "SET", "rdbchecksum", "no")
        client.call("SAVE")
        path = os.path.join(server.dir, "dump.rdb")
        kill(server)
        with open(path, "rb") as file:
            whole = file.read()
        with open(path, "wb") as file:
            file.write(whole.replace(b"register_function", b"register_funktion"))
        process = subprocess.run([OURS, "--dir", server.dir, "--port", "0", "--unixsocket", os.path.join(server.dir, "s")],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        tap.ok(process.returncode != 0 and b"nonexistent global variable 'register_funktion'" in process.stdout,
               "a file with a library that fails is refused, and the log says why", process.stdout.decode("utf-8", "replace").splitlines()[-4:])


def logs(preamble):
    what = "a base of commands" if preamble == "no" else "an RDB base"
    with Server(OURS, ["--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", preamble] + OLD) as server:
        client = server.client()
        client.call("FUNCTION", "LOAD", SLOW)
        client.call("FUNCTION", "LOAD", ONE)
        payload = ask(client, "FUNCTION", "DUMP")
        client.call("FUNCTION", "DELETE", "slow")
        client.call("FUNCTION", "LOAD", "REPLACE", ONE)
        client.call("BGREWRITEAOF")
        rewritten(client)
        client.call("FUNCTION", "LOAD", TWO)
        client.call("FCALL", "put", "1", "k", "v")
        kill(server)
        server.start()
        client = server.client()
        tap.ok(names(client) == [b"one", b"two"] and ask(client, "GET", "k") == b"v", "%s and the log behind it give the libraries back" % what)
        tap.ok(ask(client, "DEBUG", "LOADAOF") == b"OK" and names(client) == [b"one", b"two"], "so does DEBUG LOADAOF")
        client.call("FUNCTION", "FLUSH", "ASYNC")
        client.call("FUNCTION", "RESTORE", payload)
        kill(server)
        server.start()
        client = server.client()
        tap.ok(names(client) == [b"slow", b"one"], "FLUSH and RESTORE are in the log")
        folder = os.path.join(server.dir, "appendonlydir")
        kill(server)
        if not os.access(REDIS, os.X_OK):
            tap.skip("redis-server reads the files", "no " + REDIS)
            return
        with Server(REDIS, ["--appendonly", "yes"]) as theirs:
            kill(theirs)
            shutil.rmtree(os.path.join(theirs.dir, "appendonlydir"))
            shutil.copytree(folder, os.path.join(theirs.dir, "appendonlydir"))
            theirs.start()
            client = theirs.client()
            tap.ok(sorted(names(client)) == [b"one", b"slow"], "redis-server reads the files")


def busy():
    with Server(OURS, ["--busy-reply-threshold", "50"]) as server:
        client, other = server.client(), server.client()
        client.call("FUNCTION", "LOAD", SLOW)
        client.call("FUNCTION", "LOAD", WRITES)
        client.send(encode(["FCALL", "slow", "0"]))
        wait_until(lambda: ask(other, "PING").startswith(b"BUSY"))
        tap.ok(ask(other, "PING").startswith(b"BUSY Redis is busy running a script. You can only call FUNCTION KILL"), "others are told BUSY")
        stats = other.call("FUNCTION", "STATS").kids
        running = [kid.text() if not kid.kids else [k.text() for k in kid.kids] for kid in stats[1].kids]
        tap.ok(running[:4] == [b"name", b"slow", b"command", [b"FCALL", b"slow", b"0"]] and int(running[5]) >= 0, "STATS names what runs", [running])
        tap.ok(ask(other, "SCRIPT", "KILL").startswith(b"BUSY"), "SCRIPT KILL is not for functions")
        tap.ok(ask(other, "FUNCTION", "KILL") == b"OK", "FUNCTION KILL is")
        tap.ok(b"killed by user" in client.read().text(), "and the caller is told")
        tap.ok(ask(other, "FUNCTION", "KILL").startswith(b"NOTBUSY"), "then there is none to kill")
        client.send(encode(["FCALL", "writes", "1", "k"]))
        wait_until(lambda: ask(other, "PING").startswith(b"BUSY"))
        tap.ok(ask(other, "FUNCTION", "KILL").startswith(b"UNKILLABLE"), "one that has written is not killed")
        other.send(encode(["SHUTDOWN", "NOSAVE"]))
        try:
            server.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        tap.ok(server.process.poll() is not None, "SHUTDOWN NOSAVE ends the server")


def functions_rdb():
    cli = shutil.which("redis-cli")
    if not cli:
        tap.skip("redis-cli --functions-rdb", "no redis-cli")
        return
    with Server(OURS) as server:
        client = server.client()
        client.call("FUNCTION", "LOAD", ONE)
        client.call("SET", "k", "v")
        path = os.path.join(server.dir, "functions.rdb")
        subprocess.run([cli, "-s", server.path, "--functions-rdb", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        shutil.move(path, os.path.join(server.dir, "dump.rdb"))
        tap.ok(ask(client, "DEBUG", "RELOAD", "NOSAVE") == b"OK" and names(client) == [b"one"] and ask(client, "DBSIZE") == b"0",
               "redis-cli --functions-rdb has the libraries and no key")


snapshots()
broken_library()
logs("yes")
logs("no")
busy()
functions_rdb()
tap.done()
