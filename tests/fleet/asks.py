#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""What redis-sentinel reads of a server, asks it for and changes in it, piece by piece, each to ours and to redis-server alike: a sentinel that misses one of them finds no replicas, chooses
the wrong one, promotes nobody, or crashes. sentinel.py has whole failovers; this says which piece it was.

The user is one of the ACL that may do no more than what redis-sentinel's documentation asks for."""
import copy
import os
import re
import signal
import tempfile
import threading

from node import Client, Closed, Node, Silent, Tap, check, in_step, kinds, until

ERRORS = (OSError, Closed, Silent)
HELLO = "__sentinel__:hello"
MAY = ["on", ">secret", "resetchannels", "&" + HELLO, "-@all", "+multi", "+slaveof", "+ping", "+exec", "+subscribe", "+config|rewrite", "+role", "+publish", "+info", "+client|setname",
       "+client|kill", "+script|kill"]
FOLLOWER = re.compile(r"slave\d+:ip=([^,]+),port=(\d+),state=(\w+),offset=(\d+),lag=\d+$")  # one line each, of a primary


class Watched(Node):
    """A server with a file that can be rewritten, and a sentinel's two connections to it."""

    def __init__(self, kind, *lines):
        self.file = tempfile.mkstemp(prefix="demikv-asks-")[1]
        with open(self.file, "w") as file:
            file.write("\n".join(("user sentinel " + " ".join(MAY),) + lines) + "\n")
        with_file = copy.copy(kind)
        with_file.path = self.file
        Node.__init__(self, with_file, wrap=[kind.path])
        self.asked, self.told = self.connection("cmd"), self.connection("pubsub")

    def connection(self, name):
        client = Client(self.path, 30)
        client.call("AUTH", "sentinel", "secret")
        client.call("CLIENT", "SETNAME", "sentinel-01234567-" + name)
        return client

    def stop(self):
        Node.stop(self)
        if os.path.exists(self.file):
            os.unlink(self.file)

    def read(self):
        """INFO, without words, as a sentinel reads it: what it makes of each line."""
        out = {"followers": []}
        for line in self.asked.call("INFO").text().decode().splitlines():
            follower = FOLLOWER.match(line)
            name, colon, value = line.partition(":")
            if follower:
                out["followers"].append(follower.groups())
            elif colon and name in ("run_id", "role", "master_host", "master_port", "master_link_status", "slave_priority", "slave_repl_offset", "replica_announced",
                                    "master_link_down_since_seconds"):
                out[name] = value
        return out


class Pair:
    """The same questions to redis-server and to ours."""

    def __init__(self, tap, kind_of):
        self.tap, self.kinds = tap, kind_of

    def alike(self, claim, scene):
        out = []
        for kind in self.kinds:
            try:
                out.append(scene(kind))
            except ERRORS + (AssertionError, KeyError, RuntimeError) as error:
                out.append(repr(error))
        check(self.tap, out[0] == out[1] and "Error" not in str(out[0]), claim, *["%s: %r" % (kind.name, one) for kind, one in zip(self.kinds, out)])


def two(kind, *lines):
    top, below = Watched(kind), Watched(kind, *lines)
    below.follow(top.port)
    assert in_step(top, below), below.info()
    return top, below


def told_of_itself(kind):
    with Watched(kind) as node:
        facts = node.read()
        facts["run_id"] = bool(re.fullmatch("[0-9a-f]{40}", facts["run_id"]))
        role = node.asked.call("ROLE").kids
        return facts, node.asked.call("PING").raw(), role[0].text(), len(role)


def replicas_of_it(kind):
    """The address that it said it has, and not the one it comes from; priority and announcement are its own business."""
    top, below = two(kind, "replica-announce-ip 127.0.0.7", "replica-announce-port 4711", "replica-priority 7", "replica-announced no")
    with top, below:
        fine = until(lambda: top.read()["followers"] and top.read()["followers"][0][2] == "online" and top.read()["followers"][0][3] == str(top.offset()))
        facts = below.read()
        offset = facts.pop("slave_repl_offset")
        facts["master_port"] = facts["master_port"] == str(top.port)
        facts.pop("run_id")
        return fine, [one[:3] for one in top.read()["followers"]], facts, offset == str(below.offset())


def ends_of_a_link(kind):
    """With nobody at the other end, and never with anybody: for how long is told, whom it follows always is."""
    top, below = two(kind)
    with top, below:
        out = []
        top.process.kill()
        top.process.wait()
        until(lambda: below.read()["master_link_status"] == "down")
        until(lambda: int(below.read()["master_link_down_since_seconds"]) >= 1)
        facts = below.read()
        out.append((facts["role"], facts["master_host"], facts["master_port"] == str(top.port), facts["master_link_down_since_seconds"].isdigit(), facts["slave_repl_offset"] != "0"))
        for host in ("127.0.0.1", "name.invalid"):
            below.asked.call("SLAVEOF", host, "1")
            facts = below.read()
            out.append((facts["role"], facts["master_host"], facts["master_port"], facts["master_link_status"], int(facts["master_link_down_since_seconds"]) >= -1))
        return out


def alive(kind):
    """What a sentinel takes for life: PONG, LOADING, MASTERDOWN."""
    top, below = two(kind, "replica-serve-stale-data no")
    with top, below:
        out = [below.asked.call("PING").raw()]
        top.process.kill()
        top.process.wait()
        until(lambda: below.read()["master_link_status"] == "down")
        out.append(below.asked.call("PING").raw().split()[0])
        return out, below.read()["role"], below.asked.call("ROLE").kids[3].text() in (b"connect", b"connecting")


def hellos(kind):
    """What one says of itself all hear; on a replica, too."""
    top, below = two(kind)
    with top, below:
        out = []
        for node in (top, below):
            out.append(node.told.call("SUBSCRIBE", HELLO).raw())
            out.append(node.asked.call("PUBLISH", HELLO, "10.0.0.1,26379,id,1,m,10.0.0.2,6379,1").raw())
            out.append(node.told.read(30).raw())
            out.append(node.told.call("PING").raw())  # a sentinel asks on this connection, too
        return out


def promoted(kind):
    """The transaction that promotes: at once in INFO, others' connections closed, its own and nothing else left; the file remembers."""
    top, below = two(kind)
    with top, below:
        other = Client(below.path, 30)
        other.call("PING")
        below.told.call("SUBSCRIBE", HELLO)
        words = (["MULTI"], ["SLAVEOF", "NO", "ONE"], ["CONFIG", "REWRITE"], ["CLIENT", "KILL", "TYPE", "normal"], ["CLIENT", "KILL", "TYPE", "pubsub"], ["EXEC"])
        replies = [below.asked.call(*each).raw() for each in words]
        facts = below.read()
        out = [replies[:5], re.sub(rb":\d+", b":n", replies[5]), facts["role"], "master_host" in facts]
        out.append(until(lambda: closed(other) and closed(below.told)))
        saved = [line for line in open(below.file).read().splitlines() if line.startswith(("replicaof", "slaveof"))]
        replies = [below.asked.call(*each).raw() for each in (["MULTI"], ["SLAVEOF", "127.0.0.1", str(top.port)], ["CONFIG", "REWRITE"], ["EXEC"])]
        facts = below.read()
        back = [line for line in open(below.file).read().splitlines() if line == "replicaof 127.0.0.1 %d" % top.port]
        return out, saved, replies, facts["role"], facts["master_host"], facts["master_port"] == str(top.port), len(back), in_step(top, below)


def closed(client):
    try:
        client.call("PING")
    except Closed:
        return True
    except ERRORS:
        pass
    return False


def best_offset(kind):
    """Of two replicas the one that has more says so."""
    top, below = two(kind)
    other = Watched(kind)
    with top, below, other:
        other.follow(top.port)
        in_step(top, below, other)
        below.process.send_signal(signal.SIGSTOP)  # stopped: it gets nothing any more
        client = Client(top.path, 30)
        for i in range(20):
            client.call("SET", "k", str(i))
        assert in_step(top, other)
        top.process.kill()
        top.process.wait()
        below.process.send_signal(signal.SIGCONT)
        return int(other.read()["slave_repl_offset"]) >= int(below.read()["slave_repl_offset"]), int(other.read()["slave_repl_offset"]) == other.offset()


def no_more(kind):
    """What that user may not do."""
    with Watched(kind) as node:
        return [node.asked.call(*words).raw().split()[0] for words in (["GET", "k"], ["CONFIG", "GET", "*"], ["PUBLISH", "other", "m"], ["SHUTDOWN"], ["CLIENT", "LIST"])]


def stuck_script(kind):
    """BUSY, and SCRIPT KILL ends it."""
    with Watched(kind, "busy-reply-threshold 50") as node:
        busy = Client(node.path, 60)
        busy.send(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
        seen = until(lambda: node.asked.call("PING").raw().startswith(b"-BUSY"))
        return seen, node.asked.call("SCRIPT", "KILL").raw(), busy.read(30).raw().split()[0], node.asked.call("PING").raw()


def loading(kind):
    """While it loads it says so, which is an answer."""
    with Watched(kind, "loading-process-events-interval-bytes 1024") as node:
        node.ask("DEBUG", "POPULATE", "20000")
        node.ask("SAVE")
        node.process.kill()
        node.process.wait()
        with open(node.file, "a") as file:
            file.write("key-load-delay 100\n")
        said = []
        asking = threading.Thread(target=until, args=(lambda: said.append(first_word(node.path)) or said[-1] == b"+PONG",))
        asking.start()
        node.start()
        asking.join()
        return b"-LOADING" in said, said[-1]


def first_word(path):
    """Of the answer to PING; a new connection each time."""
    try:
        client = Client(path, 30)
        return client.call("PING").raw().split()[0]
    except ERRORS:
        return b""


SCENES = (("what it says of itself", told_of_itself), ("its replicas, by the address they announce", replicas_of_it), ("a link that ends, and one that never was", ends_of_a_link),
          ("alive, and its data are old", alive), ("alive, and loading", loading), ("hellos reach whoever subscribed", hellos), ("the transaction that promotes, and the way back", promoted),
          ("the replica that has more says so", best_offset), ("no more than is needed", no_more), ("a script that does not end", stuck_script))


def main():
    tap = Tap()
    ours, theirs = kinds()[:2]
    pair = Pair(tap, [theirs, ours])
    for claim, scene in SCENES:
        pair.alike(claim, scene)
    tap.done()


if __name__ == "__main__":
    main()
