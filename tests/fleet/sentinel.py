#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 200
"""Debian's redis-sentinel, three of them, over a primary and two replicas: the primary is killed, stopped and cut off, and each time one of the others is promoted.

redis-py and ioredis find the new one; the old one comes back as a replica, and what it alone had taken meanwhile is gone; of WAIT it had got nothing. Whoever is promoted
says so in the next INFO.

The nodes are ours; SENTINEL_NODES=/usr/bin/redis-server shows that the test is right. How long each failover took is told, and decides nothing."""
import os
import select
import signal
import subprocess
import threading
import time

from node import OURS, REDIS, Client, Closed, Kind, Node, Silent, Tap, check, in_step, skip_all, until
from proxy import Proxy

from servers import die_with_parent, free_port  # noqa: E402

NODES = os.environ.get("SENTINEL_NODES", OURS)
# ms. A promotion closes the connections of the other sentinels (CLIENT KILL), and each connects again once a second at most: with less than that to be down after, they take
# the new primary for dead and promote one after the other, whoever was behind among them; with redis-servers, too.
DOWN_AFTER, FAILOVER_TIMEOUT = 2000, 6000
MODULES = os.path.join(os.environ.get("BUILD", os.path.join(os.path.dirname(OURS), ".")), "software", "node_modules")
ERRORS = (OSError, Closed, Silent)

NODE_JS = """
const Redis = require('ioredis');
const sentinels = process.argv.slice(2).map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const redis = new Redis({ sentinels, name: 'm', sentinelRetryStrategy: () => 50, retryStrategy: () => 50, maxRetriesPerRequest: null, commandTimeout: 1000 });
redis.on('error', () => {});
process.stdin.on('data', async (line) => {
    const value = line.toString().trim();
    for (let tries = 0; tries < 30; tries++) {
        try {
            await redis.set('ioredis', value);
            const port = /tcp_port:(\\d+)/.exec(await redis.info('server'))[1];
            console.log(value + ' ' + port);
            return;
        } catch (error) {
            redis.disconnect(true); // one that is stopped or cut off says nothing, and its connection stands
        }
    }
    console.log(value + ' 0');
});
"""


class Member(Node):
    """A node that is told in a file what it is, so that a sentinel's CONFIG REWRITE lasts. Others reach it through its proxy."""

    def __init__(self, kind):
        self.proxy = None
        self.file = None
        Node.__init__(self, kind)

    def start(self):
        if not self.file:
            self.file = os.path.join(self.dir, "conf")
            self.proxy = Proxy(("127.0.0.1", self.port))
            with open(self.file, "w") as file:
                file.write("\n".join(["port %d" % self.port, "bind 127.0.0.1", "unixsocket " + self.path, "save \"\"", "dir " + self.dir, "enable-debug-command yes",
                                      "repl-diskless-sync-delay 0", "replica-announce-ip 127.0.0.1", "replica-announce-port %d" % self.proxy.port]) + "\n")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary, self.file], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, preexec_fn=die_with_parent)
        if not until(self.answers, 20):
            raise RuntimeError("%s does not start: %r" % (self.binary, self.log_tail()))

    def answers(self):
        try:
            self.asker = None
            return not self.ask("PING").is_error()
        except ERRORS:
            return False

    def stop(self):
        self.proxy.close()
        Node.stop(self)


class Sentinel(Node):
    """One of the three."""

    def __init__(self, number, port):
        self.watched = port
        self.number = number
        Node.__init__(self, Kind(REDIS))

    def start(self):
        file = os.path.join(self.dir, "sentinel.conf")
        with open(file, "w") as text:
            text.write("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor m 127.0.0.1 %d 2\nsentinel down-after-milliseconds m %d\nsentinel failover-timeout m %d\n" % (
                self.port, self.dir, self.watched, DOWN_AFTER, FAILOVER_TIMEOUT))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary, file, "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, preexec_fn=die_with_parent)
        self.path = ("127.0.0.1", self.port)  # where Node.ask() goes
        if not until(self.answers, 20):
            raise RuntimeError("no sentinel: %r" % self.log_tail())

    def answers(self):
        try:
            return self.text("PING") == b"PONG"
        except ERRORS:
            return False

    def primary(self):
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m").kids[1].text())

    def facts(self, *words):
        found = [kid.text().decode() for kid in self.ask(*words).kids]
        return dict(zip(found[::2], found[1::2]))

    def knows_all(self):
        facts = self.facts("SENTINEL", "MASTER", "m")
        if facts["num-slaves"] != "2" or facts["num-other-sentinels"] != "2":
            return False
        for kid in self.ask("SENTINEL", "REPLICAS", "m").kids:
            found = [one.text().decode() for one in kid.kids]
            facts = dict(zip(found[::2], found[1::2]))
            if facts["flags"] != "slave" or facts["master-link-status"] != "ok" or facts["master-port"] != str(self.primary()):
                return False
        return True


class Deployment:
    def __init__(self, kind):
        self.kind = kind
        self.members = [Member(kind) for _ in range(3)]
        for member in self.members[1:]:
            member.follow(self.members[0].proxy.port)
        in_step(*self.members)  # what a sentinel has not seen in its first INFO it sees ten seconds later
        self.sentinels = [Sentinel(i, self.members[0].proxy.port) for i in range(3)]
        self.wrong = []

    def by_port(self, port):
        return next(member for member in self.members if member.proxy.port == port)

    def settled(self):
        """All agree, everybody is there, and the data are the same."""
        try:
            ports = {sentinel.primary() for sentinel in self.sentinels}
            if len(ports) != 1:
                return False
            top = self.by_port(ports.pop())
            others = [member for member in self.members if member is not top]
            facts = top.info()
            return facts["role"] == "master" and all(m.info()["role"] == "slave" and m.is_up() and m.offset() == top.offset() for m in others) and len({m.digest() for m in self.members}) == 1
        except ERRORS:
            return False

    def states(self, fine):
        """For who wants to know why; one that is stopped does not answer."""
        if fine:
            return []
        out = [[sentinel.facts("SENTINEL", "MASTER", "m") for sentinel in self.sentinels]]
        for member in self.members:
            try:
                out.append(member.info())
            except ERRORS as error:
                out.append(repr(error))
        return out

    def moved_from(self, port):
        return all(sentinel.primary() != port for sentinel in self.sentinels) and len({sentinel.primary() for sentinel in self.sentinels}) == 1

    def close(self):
        for server in self.sentinels + self.members:
            server.stop()


class RedisPy:
    """redis-py, told of the sentinels only."""

    def __init__(self, ports):
        import redis.sentinel  # pylint: disable=import-outside-toplevel
        self.error = redis.exceptions.RedisError
        self.client = redis.sentinel.Sentinel([("127.0.0.1", port) for port in ports], socket_timeout=2).master_for("m", socket_timeout=2)

    def writes(self, value):
        """The port of who took it."""
        def once():
            try:
                self.client.set("redis-py", value)
                self.port = self.client.info("server")["tcp_port"]
                return True
            except self.error:
                return False
        return self.port if until(once) else None


class IoRedis:
    def __init__(self, ports):
        self.process = subprocess.Popen(["node", "-e", NODE_JS, "--"] + [str(port) for port in ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env=dict(os.environ, NODE_PATH=MODULES), preexec_fn=die_with_parent)

    def writes(self, value):
        self.process.stdin.write(value + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 60)[0]:
            return None
        said, _, port = self.process.stdout.readline().rpartition(" ")
        return int(port) if said == value else None


def clients(ports):
    """Those that are installed."""
    try:
        yield "redis-py", RedisPy(ports)
    except ImportError:
        pass
    if os.path.isdir(os.path.join(MODULES, "ioredis")):
        yield "ioredis", IoRedis(ports)


def at_once(tap, deployment):
    """A promotion is in the INFO of the same transaction, and in the one after it; so is the way back."""
    member = deployment.members[2]
    above = deployment.members[0].proxy.port
    client = Client(member.path, 30)
    for words in (["MULTI"], ["SLAVEOF", "NO", "ONE"], ["CONFIG", "REWRITE"], ["CLIENT", "KILL", "TYPE", "normal"], ["CLIENT", "KILL", "TYPE", "pubsub"], ["INFO", "replication"]):
        client.call(*words)
    replies = client.call("EXEC").kids
    text = replies[4].text() if len(replies) == 5 else b""
    check(tap, b"role:master" in text and not any(reply.is_error() for reply in replies), "what a sentinel sends to promote is done at once, and who asked is not killed", [r.raw() for r in replies])
    reply = client.call("SLAVEOF", "127.0.0.1", str(above)).text()
    text = client.call("INFO").text()
    check(tap, reply == b"OK" and b"role:slave" in text and b"master_port:%d\r\n" % above in text, "and so is the way back", reply)
    client.close()


class Fault:
    """What happens to a primary, and its end."""

    def __init__(self, name, begin, end):
        self.name, self.begin, self.end = name, begin, end


def killed(member):
    member.process.kill()
    member.process.wait()
    member.asker = None


def stopped(member):
    member.process.send_signal(signal.SIGSTOP)


def cut_off(member):
    member.proxy.closed = True
    member.proxy.drop()


def joined(member):
    member.proxy.closed = False


FAULTS = (Fault("killed", killed, lambda member: member.start()), Fault("stopped", stopped, lambda member: member.process.send_signal(signal.SIGCONT)), Fault("cut off", cut_off, joined))


def failover(tap, deployment, fault, users):
    """A fault of the primary, the one that follows, and the way back."""
    port = deployment.sentinels[0].primary()
    old = deployment.by_port(port)
    began = time.monotonic()
    fault.begin(old)
    fine = until(lambda: deployment.moved_from(port))
    took = time.monotonic() - began
    if not check(tap, fine, "%s: another one is promoted" % fault.name, *deployment.states(fine)):
        fault.end(old)
        return False
    print("# %s: another primary after %.2f s (down-after %.2f)" % (fault.name, took, DOWN_AFTER / 1000))
    new = deployment.by_port(deployment.sentinels[0].primary())
    check(tap, new.info()["role"] == "master", "%s: it says so" % fault.name)
    for name, user in users:
        took_it = user.writes(fault.name)
        check(tap, took_it == new.port, "%s: %s writes to it" % (fault.name, name), took_it, new.port)
    lost = None
    if fault.name == "cut off":  # and somebody is with it on its side
        client = Client(old.path, 30)
        client.call("SET", "lost", "1")
        lost = client.call("WAIT", "1", "100").raw()
        check(tap, lost == b":0\r\n", "cut off: who writes to the old one is not told that anybody has it", lost)
        client.close()
    third = next(member for member in deployment.members if member not in (old, new))
    until(third.is_up)
    client = Client(new.path, 30)
    client.call("SET", "kept " + fault.name, "1")
    reply = client.call("WAIT", "1", "30000").raw()
    check(tap, reply == b":1\r\n", "%s: the new one has somebody behind it" % fault.name, reply, third.info())
    client.close()
    fault.end(old)
    fine = until(deployment.settled)
    check(tap, fine, "%s: the old one comes back as a replica, and all have the same" % fault.name, *deployment.states(fine))
    kept = [member.text("GET", "kept " + fault.name) for member in deployment.members]
    check(tap, kept == [b"1"] * 3 and old.ask("GET", "lost").raw() == b"$-1\r\n", "%s: what was acknowledged is there, and what was not is gone" % fault.name, kept, old.text("GET", "lost"))
    return fine


class Told:
    """What one of several at once has to say, for the end."""

    def __init__(self):
        self.said = []

    def ok(self, passed, claim, notes=()):
        self.said.append((passed, claim, notes))
        return passed


def play(told, kind, fault, starting):
    with starting:  # a free port is free until somebody has it
        deployment = Deployment(kind)
    fine = until(lambda: all(sentinel.knows_all() for sentinel in deployment.sentinels))
    if check(told, fine, "%s: three sentinels find three nodes and each other" % fault.name, *deployment.states(fine)):
        failover(told, deployment, fault, list(clients([sentinel.port for sentinel in deployment.sentinels])))
    if fault is FAULTS[0]:
        at_rest(told, deployment)
    deployment.close()


def at_rest(tap, deployment):
    """Without sentinels, which would repair what is done by hand."""
    for sentinel in deployment.sentinels:
        sentinel.process.kill()
        sentinel.process.wait()
    deployment.members[0].follow(None)
    at_once(tap, deployment)


def main():
    if not os.access(NODES, os.X_OK) or not os.access(REDIS, os.X_OK):
        skip_all("no " + NODES)
    tap, kind, starting = Tap(), Kind(NODES, ours=NODES == OURS), threading.Lock()
    plays = []
    for fault in FAULTS:  # most of the time they wait for a sentinel's clock
        told = Told()
        thread = threading.Thread(target=play, args=(told, kind, fault, starting))
        thread.start()
        plays.append((thread, told, fault))
    for thread, told, fault in plays:
        thread.join()
        for passed, claim, notes in told.said:
            tap.ok(passed, claim, notes)
        tap.ok(len(told.said) >= 7, "%s: played to its end" % fault.name)
    tap.done()


if __name__ == "__main__":
    main()
