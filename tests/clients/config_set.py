#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CONFIG SET while clients are served: all of it or nothing, seen by the next command, and nothing kept of what was."""
import re
import socket

from here import OURS, Server, Tap, free_port, need_server

SETS = 20000  # in one pipeline, and in one transaction; a configuration takes some 6 KB


class Client:
    def __init__(self, address):
        self.s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.s.settimeout(60)
        self.s.connect(address)
        self.f = self.s.makefile("rb")

    def send(self, *lines):
        self.s.sendall("".join(line + "\r\n" for line in lines).encode())

    def reply(self):
        line = self.f.readline().decode().rstrip("\r\n")
        if line[:1] == "$":
            return self.f.read(int(line[1:]) + 2)[:-2].decode()
        if line[:1] == "*":
            return [self.reply() for _ in range(int(line[1:]))]
        return line

    def ask(self, line):
        self.send(line)
        return self.reply()


def resident_kb(server):
    with open("/proc/%d/status" % server.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def check_refused(tap, server, c):
    before = c.ask("CONFIG GET *")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        text = c.ask("CONFIG SET maxmemory-samples 7 dbfilename other.rdb port %d timeout 9" % taken.getsockname()[1])
    tap.ok("related to argument 'port'" in text and "Unable to listen on this port" in text, "a port in use is refused", [text])
    tap.ok(c.ask("CONFIG GET *") == before, "and nothing of that change is there")
    tap.ok(Client(("127.0.0.1", server.port)).ask("PING") == "+PONG", "the old port is served")
    text = c.ask("CONFIG SET dir / hz 20 maxclients nonsense")
    tap.ok("related to argument 'maxclients'" in text, "a value that is none is refused", [text])
    tap.ok(c.ask("CONFIG GET *") == before, "and the working directory is the old one, too")
    other = free_port()
    tap.ok(c.ask("CONFIG SET port %d" % other) == "+OK" and Client(("127.0.0.1", other)).ask("PING") == "+PONG",
           "a free port is taken")


def check_seen_at_once(tap, c):
    c.send("DEL z", "CONFIG SET zset-max-listpack-entries 1", "ZADD z 1 a 2 b", "OBJECT ENCODING z", "DEL z",
           "CONFIG SET zset-max-listpack-entries 128", "ZADD z 1 a 2 b", "OBJECT ENCODING z")
    replies = [c.reply() for _ in range(8)]
    tap.ok(replies[3] == "skiplist" and replies[7] == "listpack", "the next command of a pipeline sees it", [str(replies)])
    c.send("MULTI", "DEL z", "CONFIG SET zset-max-listpack-entries 1", "ZADD z 1 a 2 b", "OBJECT ENCODING z", "EXEC",
           "CONFIG SET zset-max-listpack-entries 128")
    replies = [c.reply() for _ in range(7)]
    tap.ok(replies[5][-1] == "skiplist", "the next command of a transaction, too", [str(replies)])


def check_nothing_is_kept(tap, server, c):
    lines = ["CONFIG SET hz 10", "CONFIG SET hz 20"] * (SETS // 2)
    for first, last, what in (([], [], "a pipeline"), (["MULTI"], ["EXEC"], "a transaction")):
        c.send(*first, *lines, *last)
        replies = [c.reply() for _ in range(len(first) + len(lines) + len(last))]
        grown = -resident_kb(server)
        c.send(*first, *lines, *last)
        replies = [c.reply() for _ in range(len(replies))]
        grown += resident_kb(server)
        tap.ok(not any(isinstance(r, str) and r.startswith("-") for r in replies), "%d changes in %s" % (SETS, what))
        tap.ok(grown < 8192, "nothing of them is kept", ["%d KB more" % grown])
    tap.ok(resident_kb(server) < 256 * 1024, "nor was it in between", ["%d KB" % resident_kb(server)])


def main():
    need_server()
    tap = Tap()
    with Server(OURS, ["--bind", "127.0.0.1", "--enable-protected-configs", "yes"], tcp=True) as server:
        c = Client(server.path)
        check_seen_at_once(tap, c)
        check_nothing_is_kept(tap, server, c)
        c.ask("CONFIG SET hz 10")
        check_refused(tap, server, Client(("127.0.0.1", server.port)))
    tap.done()


if __name__ == "__main__":
    main()
