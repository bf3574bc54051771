#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Users over restarts and files, and what becomes of clients whose user goes or changes; what MONITOR and SLOWLOG show of passwords.

What redis-server answers the same is compared in tests/compat/cases/acl_*.txt.
"""
import os
import subprocess
import sys

from here import OURS, Server, Tap, log_has, need_server, run, text_of, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from resp import Closed  # noqa: E402

RULES = [["on", ">secret", "~a*", "%R~b*", "&c*", "+@all", "-@dangerous", "+config|get", "-select", "+select|0", "skip-sanitize-payload",
          "(~d +get)", "(+@write -del %W~e* &f)"],
         ["off"], ["on", "nopass", "allkeys", "allchannels", "allcommands"], ["on", ">a", ">b", "~quote\"d", "~back\\slash", "&'", "+get"]]


def users_of(client):
    return [kid.text() for kid in client.call("ACL", "LIST").kids]


def make_users(client):
    for i, rules in enumerate(RULES):
        assert client.call("ACL", "SETUSER", "user%d" % i, *rules).text() == b"OK"


def ends(client):
    """Whether the connection is closed, without a word."""
    try:
        return client.read_to_end() == b""
    except (OSError, Closed):
        return True


def check_syntax(tap):
    """A pattern without a permission ends redis-server 7.2.4."""
    with Server(OURS) as server:
        client = server.client()
        for rule in ("%", "%~", "%~a", "%R", "%W", "%RW", "(%R)", "(%~a)"):
            text = text_of(client, "ACL", "SETUSER", "u", "on", rule)
            tap.ok(text.startswith(b"ERR Error in ACL SETUSER modifier") and text.endswith(b": Syntax error"), "%s is a mistake" % rule, [repr(text)])
        tap.ok(text_of(client, "ACL", "USERS") == b"1", "and makes no user")


def check_aclfile(tap):
    with Server(OURS) as first:
        path = os.path.join(first.dir, "users.acl")
        with open(path, "w") as file:
            file.write("")
        with Server(OURS, ["--aclfile", path]) as server:
            client = server.client()
            make_users(client)
            before = users_of(client)
            tap.ok(text_of(client, "ACL", "SAVE") == b"OK", "ACL SAVE")
            with open(path) as file:
                tap.ok(file.read() == "".join(u.decode() + "\n" for u in before), "the file has the lines of ACL LIST")
            client.call("ACL", "DELUSER", "user0", "user1")
            client.call("ACL", "SETUSER", "other", "on")
            tap.ok(text_of(client, "ACL", "LOAD") == b"OK" and users_of(client) == before, "ACL LOAD brings them back, and nobody else", users_of(client))
            with open(path) as file:
                good = file.read()
            for line, wanted in (("user bad on +nosuch", "Unknown command or category name in ACL"), ("user bad (+get", "Unmatched parenthesis"), ("nonsense", "should start with user keyword"),
                                 ("user user0 on", "Duplicate user")):
                with open(path, "w") as file:
                    file.write(good + "\n" + line + "\n")
                text = text_of(client, "ACL", "LOAD").decode()
                number = good.count("\n") + 2
                tap.ok(text.startswith("ERR ") and (":%d" % number in text or "line %d" % number in text) and wanted in text, "ACL LOAD names line %d: %s" % (number, line), [text])
                tap.ok(users_of(client) == before, "and changes nothing")
                status, text = run([OURS, "--port", "0", "--unixsocket", first.path + "x", "--save", "", "--aclfile", path], timeout=10)
                tap.ok(status == 1 and wanted in text, "nor does a server start with it", [status, text[-300:]])
            with open(path, "w") as file:
                file.write(good)
            tap.ok(text_of(client, "CONFIG", "REWRITE").startswith(b"ERR"), "no configuration file to write", [])
        with Server(OURS, ["--aclfile", path]) as server:
            tap.ok(users_of(server.client()) == before, "a new start reads the file", users_of(server.client()))
    status, text = run([OURS, "--port", "0", "--unixsocket", "/tmp/none.sock", "--save", "", "--aclfile", "/nonexistent/file"], timeout=10)
    tap.ok(status == 1 and "/nonexistent/file" in text, "a file that is not there ends the start", [status, text[-300:]])


def check_load_and_clients(tap):
    with Server(OURS) as first:
        path = os.path.join(first.dir, "users.acl")
        with open(path, "w") as file:
            file.write("user stays on nopass ~* &* +@all\nuser goes on nopass ~* &* +@all\nuser admin on nopass ~* &* +@all\n")
        with Server(OURS, ["--aclfile", path]) as server:
            clients = {}
            for name in ("stays", "goes", "admin"):
                clients[name] = server.client()
                clients[name].call("AUTH", name, "x")
            plain = server.client()
            plain.call("PING")
            with open(path, "w") as file:
                file.write("user stays on nopass ~a &* +@all\n")
            tap.ok(text_of(clients["admin"], "ACL", "LOAD") == b"OK", "who loads a file that he is not in has the reply")
            tap.ok(ends(clients["admin"]), "and is closed behind it")
            tap.ok(ends(clients["goes"]), "so is who is no user any more")
            tap.ok(ends(clients["stays"]), "and whoever was somebody: all users are new")
            again = server.client()
            again.call("AUTH", "stays", "x")
            tap.ok(text_of(again, "SET", "a", "v") == b"OK" and text_of(again, "GET", "b").startswith(b"NOPERM"), "with the rights of the file")
            for what, make in (("a pipe", lambda: os.mkfifo(path)), ("a folder", lambda: os.mkdir(path)), ("nothing", lambda: None)):
                if os.path.isdir(path):
                    os.rmdir(path)
                elif os.path.lexists(path):
                    os.unlink(path)
                make()
                said = text_of(plain, "ACL", "LOAD")
                tap.ok(b"opening file" in said and b"stays" in plain.call("ACL", "USERS").raw(), "%s in the file's place changes nothing" % what, [said])
            tap.ok(text_of(plain, "PING") == b"PONG" and text_of(server.client(), "PING") == b"PONG", "but the default user, who is not in it, is as he was born")


def check_configuration(tap):
    with Server(OURS) as first:
        path = os.path.join(first.dir, "c.conf")
        with open(path, "w") as file:
            file.write("user early on nopass ~x +get\n")
        program = ["/bin/sh", "-c", 'program=$0; exec "$program" "%s" "$@"' % path]
        with Server(OURS, wrap=program) as server:
            client = server.client()
            tap.ok(any(u.startswith(b"user early on nopass ") for u in users_of(client)), "users of the configuration are there", users_of(client))
            make_users(client)
            client.call("ACL", "DELUSER", "early")
            client.call("CONFIG", "SET", "requirepass", "sesame")
            before = users_of(client)
            tap.ok(text_of(client, "CONFIG", "REWRITE") == b"OK", "CONFIG REWRITE")
            tap.ok(text_of(client, "ACL", "SAVE").startswith(b"ERR This Redis instance is not configured to use an ACL file"), "ACL SAVE has no file")
        with open(path) as file:
            lines = [line for line in file if line.startswith(("user ", "requirepass "))]
        with open(path, "w") as file: # the folder of that server is gone
            file.writelines(lines)
        with Server(OURS, wrap=program) as server:
            client = server.client()
            tap.ok(text_of(client, "PING").startswith(b"NOAUTH"), "the default user's password is in the file")
            client.call("AUTH", "sesame")
            tap.ok(users_of(client) == before, "and so are all users, as they were", [repr(users_of(client)), repr(before)])
        with open(path, "a") as file:
            file.write("user late on +nosuch\n")
        done = subprocess.run([OURS, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
        tap.ok(done.returncode == 1 and b"Unknown command or category name in ACL" in done.stdout, "a wrong rule there ends the start", [done.stdout[-400:]])


def check_self_deletion(tap):
    with Server(OURS) as server:
        admin = server.client()
        for lines in ([["ACL", "DELUSER", "a"]], [["MULTI"], ["SET", "k", "v"], ["ACL", "DELUSER", "a"], ["GET", "k"], ["EXEC"]]):
            admin.call("ACL", "SETUSER", "a", "on", "nopass", "~*", "&*", "+@all")
            one, other = server.client(), server.client()
            one.call("AUTH", "a", "x")
            other.call("AUTH", "a", "x")
            for words in lines:
                last = one.call(*words)
            tap.ok(last.raw() in (b":1\r\n", b"*3\r\n+OK\r\n:1\r\n$1\r\nv\r\n"), "who deletes itself by %s has its reply" % lines[-1][0], [repr(last.raw())])
            tap.ok(ends(one) and ends(other), "and then it is closed, as are others of that name")
        admin.call("ACL", "SETUSER", "a", "on", "nopass", "~*", "&*", "+@all")
        one = server.client()
        one.call("AUTH", "a", "x")
        one.send(b"BLPOP l 0\r\n")
        wait_until(lambda: b"blocked_clients:1" in text_of(admin, "INFO", "clients"))
        admin.call("ACL", "DELUSER", "a")
        tap.ok(ends(one), "a client that waits is closed, too")
        tap.ok(text_of(admin, "RPUSH", "l", "x") == b"1" and b"blocked_clients:0" in text_of(admin, "INFO", "clients"), "and takes nothing any more")


def check_secrets(tap):
    with Server(OURS) as server:
        client, watcher = server.client(), server.client()
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
        watcher.send(b"MONITOR\r\n")
        watcher.read()
        for words in (["ACL", "SETUSER", "u", "on", ">hush", "+@all", "~*"], ["AUTH", "u", "hush"], ["AUTH", "hush"], ["HELLO", "2", "AUTH", "u", "hush"], ["AUTH", "u", "hush-wrong"],
                      ["HELLO", "2", "AUTH", "u", "hush-wrong"], ["ACL", "SETUSER", "u", "nonsense", ">hush"], ["CONFIG", "SET", "requirepass", "hush"], ["CONFIG", "SET", "requirepass", ""],
                      ["ACL", "SETUSER"], ["EVAL", "return redis.pcall('ACL', 'SETUSER', 'u', '>' .. ARGV[1])", "0", "x"], ["PING"]):
            client.call(*words)
        seen = []
        while not seen or b'"PING"' not in seen[-1]:
            seen.append(watcher.read().raw())
        tap.ok(not [line for line in seen if b"hush" in line], "MONITOR shows no password", [repr(line) for line in seen if b"hush" in line])
        tap.ok(b"hush" not in client.call("SLOWLOG", "GET", "-1").raw(), "nor does SLOWLOG", [])
        tap.ok(b"hush" not in client.call("ACL", "LOG").raw() and b"hush" not in client.call("ACL", "LIST").raw(), "nor ACL")
        tap.ok(not log_has(server, "hush"), "nor the log")


need_server()
tap = Tap()
for check in (check_syntax, check_aclfile, check_load_and_clients, check_configuration, check_self_deletion, check_secrets):
    check(tap)
tap.done()
