#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A zero byte in a word: redis-server cuts many words there and takes what is left for another word; here it is refused by name. Where any
bytes are allowed (passwords, channels, keys) tests/compat/cases/nul_bytes.txt compares. And a password with such a byte outlives
CONFIG REWRITE, ACL SAVE and a restart."""
import os

from here import OURS, Server, Tap, need_server

REFUSED = [
    ["ACL", "SETUSER", "u", "on\0"], ["ACL", "SETUSER", "u", "+get\0"], ["ACL", "SETUSER", "u", "+@read\0"], ["ACL", "SETUSER", "u", "+config|get\0"],
    ["ACL", "SETUSER", "u", "(~a\0 +get)"], ["ACL", "SETUSER", "u\0", "on"], ["ACL", "CAT", "read\0"], ["CLIENT", "SETNAME", "a\0b"],
    ["CLIENT", "SETINFO", "lib-name", "a\0b"], ["CLIENT", "SETINFO", "lib-name\0", "a"], ["CLIENT", "NO-EVICT", "on\0"], ["CLIENT", "KILL", "TYPE", "normal\0"],
    ["CLIENT", "LIST", "TYPE", "normal\0"], ["CONFIG", "SET", "maxmemory-policy", "noeviction\0"], ["CONFIG", "SET", "appendonly", "no\0"],
    ["CONFIG", "SET", "dbfilename", "a\0b"], ["CONFIG", "SET", "masteruser", "a\0b"], ["SET", "n", "1", "EX\0", "10"], ["OBJECT", "encoding\0", "n"],
    ["SCRIPT", "DEBUG", "no\0"], ["EVAL", "#!lua flags=no-writes\0\nreturn 1", "0"], ["XRANGE", "s", "-\0", "+"], ["GET\0", "n"],
]


def main():
    need_server()
    tap = Tap()
    server = Server(OURS, ["--enable-protected-configs", "yes"])
    try:
        client = server.client()
        client.call("XADD", "s", "1-1", "f", "v")
        client.call("SET", "n", "1")
        before = client.call("ACL", "LIST").raw(), client.call("DEBUG", "DIGEST").raw()
        taken = [words for words in REFUSED if not client.call(*words).is_error()]
        tap.ok(not taken, "words that are cut in redis-server are refused", taken)
        after = client.call("ACL", "LIST").raw(), client.call("DEBUG", "DIGEST").raw()
        same = after == before and client.call("CLIENT", "GETNAME").raw() == b"$-1\r\n"
        tap.ok(same, "and nothing has changed", [] if same else [before, after])
    finally:
        server.stop()
    server = Server(OURS)
    path = os.path.join(server.dir, "redis.conf")
    with open(path, "w") as file:
        file.write("protected-mode no\n")
    try:
        server.process.terminate()
        server.process.wait(10)
        server.binary, server.wrap = path, [OURS]
        server.start()
        client = server.client()
        said = [client.call(*words).raw() for words in (
            ["CONFIG", "SET", "requirepass", "abc\0def"], ["CONFIG", "SET", "masterauth", "\0x"], ["ACL", "SETUSER", "u", "on", ">a\0b", "~k*", "+get"],
            ["CONFIG", "REWRITE"])]
        users = client.call("ACL", "LIST").raw()
        server.process.terminate()
        server.process.wait(10)
        server.start()
        client = server.client()
        now = [client.call("AUTH", "abc").raw()[:10], client.call("AUTH", "abc\0def").raw(), client.call("CONFIG", "GET", "masterauth").kids[1].text(), client.call("AUTH", "u", "a\0b").raw()]
        client.call("AUTH", "abc\0def")
        kept = now == [b"-WRONGPASS", b"+OK\r\n", b"\0x", b"+OK\r\n"] and client.call("ACL", "LIST").raw() == users
        tap.ok(kept, "passwords outlive CONFIG REWRITE and a restart", [] if kept else said + now + [users, client.call("ACL", "LIST").raw()])
    finally:
        server.stop()
    tap.done()


main()
