# SPDX-License-Identifier: MIT
"""Case files: the same commands to redis-server and to our server, the replies compared byte for byte.

A file of tests/compat/cases/ holds sections; each starts with FLUSHALL, default configuration and fresh connections.

    # test: SET stores and GET returns it      a section's claim (other # lines are remarks)
    SET k "two words\\n"                       redis-cli's quoting; %{x*100} is x a hundred times
    2: GET k                                   by a second connection (1 is the default)
    2> BLPOP list 0                            sent, the reply not read; goes on when the client is blocked or answered
    RPUSH list a
    2<                                         the reply of connection 2 that is due
    @unordered KEYS *                          what may differ is taken out first (names: normal.py), after the prefix:
    2< @near:50                                @near:N integers may differ by N, @re:PATTERN both must match,
    @drop:version,id HELLO 3                   @drop:KEYS a map without these values, @scanall the whole of a scan
    @7.2:zrank ZRANK z m WITHSCORE             7.2 answers otherwise than 7.0, for the reason in versions.txt
    @ours:lset-index LSET l 4294967296 x       ours answers otherwise than 7.2 on purpose: ours.txt
    2< @none                                   no reply is due: the client is still blocked
    !3                                         RESP3 from here on (2: !3 for another connection)
    !raw "PING\\r\\n" / !read / !eof            bytes as they are; a reply; all bytes up to the close
    !times 600 HSET h f{i} v{i}                many commands at once, replies compared
    @acllog ACL LOG                            entries without times and addresses
    2: !id                                     learns connection 2's id: {id2} in later lines
    !sleep 0.02

CONFIG SET is undone at the end of a section, and users are as they were before.
"""
import re
import time

import normal
import versions
from older import bridge
from resp import Closed, Node, Silent, encode, split

QUIET = 0.03 # seconds without a reply that count as none
NO_REPLY = Node(b"+(no reply)\r\n")
CLOSED = Node(b"+(connection closed)\r\n")


class Mismatch(Exception):
    """The two servers differ."""


class Step:
    """One line, taken apart."""

    LINE = re.compile(rb"^(?:(\d+)([:><])\s*)?(.*)$", re.S)

    def __init__(self, number, text):
        self.number, self.text = number, text.decode("utf-8", "replace")
        which, mode, rest = self.LINE.match(text).groups()
        self.conn = int(which or 1)
        self.mode = (mode or b":").decode()
        self.rules = []
        while rest.startswith(b"@"):
            rule, _, rest = rest.partition(b" ")
            self.rules.append(rule[1:].decode())
            rest = rest.lstrip()
        self.verb = None
        if rest.startswith(b"!"):
            verb, _, rest = rest[1:].partition(b" ")
            self.verb = verb.decode()
        self.args = split(rest)


def load(path):
    """A case file as [(claim, [Step])]."""
    sections = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if line.startswith(b"# test:"):
                sections.append((line[7:].strip().decode(), []))
            elif line and not line.startswith(b"#"):
                sections[-1][1].append(Step(number, line))
    return sections


class Side:
    """One of the two servers during a section: its connections, and what must be put back after it."""

    def __init__(self, server):
        self.server = server
        self.conns = {}
        self.ids = {}
        self.settings = {}
        self.users_changed = False
        self.control = server.client()

    def conn(self, number):
        if number not in self.conns:
            self.conns[number] = self.server.client()
        return self.conns[number]

    def begin(self):
        self.conns = {}
        self.control.call("FLUSHALL")

    def end(self):
        """Closes everything and waits until the server has noticed, so that no blocked client of this section meets
        the next one's pushes."""
        for conn in self.conns.values():
            conn.close()
        self.conns = {}
        if self.users_changed:
            self.restore_users()
        for name, value in reversed(self.settings.items()): # a name and its older one are one setting
            self.control.call("CONFIG", "SET", name, value)
        self.settings = {}
        for _ in range(200):
            if b"connected_clients:1\r" in self.info():
                break
            time.sleep(0.002)

    def restore_users(self):
        """Nobody but the default user, who may do everything again; a server that does not let us do that starts again."""
        self.users_changed = False
        names = [kid.text() for kid in self.control.call("ACL", "USERS").kids]
        others = [name for name in names if name != b"default"]
        replies = [self.control.call("ACL", "SETUSER", "default", "reset", "on", "nopass", "~*", "&*", "+@all"), self.control.call("ACL", "LOG", "RESET")]
        if others:
            replies.append(self.control.call("ACL", "DELUSER", *others))
        if not names or any(reply.is_error() for reply in replies):
            self.server.process.kill()
            self.server.process.wait()
            self.server.start()
            self.control, self.settings = self.server.client(), {}

    def info(self):
        return self.control.call("INFO", "clients").text()

    def blocked(self):
        found = re.search(rb"blocked_clients:(\d+)", self.info())
        return int(found.group(1)) if found else -1

    def remember(self, args):
        """Before CONFIG SET name value …: the old values."""
        for name in args[2::2]:
            old = self.control.call("CONFIG", "GET", name).kids
            if len(old) == 2 and name not in self.settings:
                self.settings[name] = old[1].text()

    def settle(self, conn, before):
        """After a command was sent and not read: until it has been answered or its client is blocked."""
        for _ in range(500):
            if conn.readable(0.001) or self.blocked() != before:
                return

    def read(self, conn, timeout=None):
        try:
            return conn.read(timeout)
        except Silent:
            return NO_REPLY
        except Closed:
            return CLOSED

    def scan_all(self, conn, args):
        """A whole iteration: every element once, in order; the cursor's place in the arguments is 1 or 2."""
        at = 1 if args[0].upper() == b"SCAN" else 2
        found, cursor = {}, b"0"
        for _ in range(100000):
            conn.send(encode(args[:at] + [cursor] + args[at + 1:]))
            node = self.read(conn)
            if len(node.kids) != 2:
                return node
            width = 2 if args[0].upper() in (b"HSCAN", b"ZSCAN") else 1
            kids = node.kids[1].kids
            for i in range(0, len(kids), width):
                key = b"".join(k.raw() for k in kids[i:i + width])
                found[key] = kids[i:i + width]
            cursor = node.kids[0].text()
            if cursor == b"0":
                break
        kids = [k for key in sorted(found) for k in found[key]]
        return Node(b"*%d\r\n" % len(kids), b"", kids)

    def run(self, step):
        """The replies to one step, a list."""
        conn = self.conn(step.conn)
        if step.mode == "<" or step.verb == "read":
            return [self.read(conn, QUIET if "none" in step.rules else None)]
        if step.verb == "eof":
            try:
                return [Node(b"+rest " + conn.read_to_end())]
            except Silent:
                return [NO_REPLY]
        if step.verb == "sleep":
            time.sleep(float(step.args[0]))
            return []
        if step.verb == "raw":
            before = self.blocked()
            conn.send(b"".join(step.args))
            if step.mode == ">":
                self.settle(conn, before)
            return []
        if step.verb in ("2", "3"):
            conn.send(encode(["HELLO", step.verb]))
            return [normal.shape(self.read(conn))]
        if step.verb == "id":
            self.ids[b"{id%d}" % step.conn] = conn.call("CLIENT", "ID").text()
            return []
        if step.verb == "times":
            return self.times(conn, int(step.args[0]), step.args[1:])
        if step.verb:
            raise ValueError("line %d: unknown verb !%s" % (step.number, step.verb))
        return self.command(conn, step)

    def times(self, conn, count, args):
        replies = []
        for first in range(0, count, 500):
            batch = range(first, min(count, first + 500))
            conn.send(b"".join(encode([a.replace(b"{i}", b"%d" % i) for a in args]) for i in batch))
            replies += [self.read(conn) for _ in batch]
        return replies

    def command(self, conn, step):
        if [a.upper() for a in step.args[:2]] == [b"CONFIG", b"SET"]:
            self.remember(step.args)
        if step.args[:1] and step.args[0].upper() == b"ACL":
            self.users_changed = True
        if "scanall" in step.rules:
            return [self.scan_all(conn, step.args)]
        data = encode([self.ids.get(a, a) for a in step.args])
        if step.mode == ">":
            before = self.blocked()
            conn.send(data)
            self.settle(conn, before)
            return []
        conn.send(data)
        return [self.read(conn)]


def normalise(node, rules):
    for rule in rules:
        name, _, value = rule.partition(":")
        if name == "drop":
            node = normal.drop(value)(node)
        elif name in normal.PLAIN:
            node = normal.PLAIN[name](node)
        elif name not in ("near", "re", "scanall", "none", "7.2", "ours"):
            raise ValueError("unknown directive @" + rule)
    return node


def same(theirs, ours, rules):
    for rule in rules:
        name, _, value = rule.partition(":")
        if name == "near":
            return normal.near(theirs, ours, int(value))
        if name == "re":
            return all(re.search(value.encode(), n.raw(), re.S) for n in (theirs, ours))
    return normalise(theirs, rules).raw() == normalise(ours, rules).raw()


def shown(node, limit=600):
    raw = repr(node.raw())[1:]
    return raw if len(raw) <= limit else raw[:limit] + "… (%d bytes)" % len(node.raw())


def compare(step, theirs, ours):
    """The differences of one step, as lines."""
    if len(theirs) != len(ours):
        return ["line %d: %s: %d replies and %d" % (step.number, step.text, len(theirs), len(ours))]
    if NO_REPLY in theirs and "none" not in step.rules:
        return ["line %d: %s: redis gives no reply: the case is wrong" % (step.number, step.text)]
    for rule in step.rules:
        if (rule.startswith("7.2:") and versions.expected(rule[4:])) or (rule.startswith("ours:") and versions.differs(rule[5:])):
            if all(same(a, b, step.rules) for a, b in zip(theirs, ours)):
                return ["line %d: %s: no difference any more, and it is marked @%s" % (step.number, step.text, rule)]
            return []
    for i, pair in enumerate(zip(theirs, ours)):
        a, b = bridge(step.args, *pair)
        if not same(a, b, step.rules):
            where = "line %d%s: %s" % (step.number, " (reply %d)" % i if len(ours) > 1 else "", step.text[:200])
            a, b = normalise(a, step.rules), normalise(b, step.rules)
            return [where, "    redis: " + shown(a), "    ours:  " + shown(b)]
    return []


def run_section(sides, steps, most=5):
    """Runs a section against both; the differences, at most `most` of them. After a connection is lost
    the rest of the section says nothing, so it ends there."""
    notes, found = [], 0
    for side in sides:
        side.begin()
    try:
        for step in steps:
            theirs, ours = sides[0].run(step), sides[1].run(step)
            notes += compare(step, theirs, ours)
            found = len(notes) // 3
            lost = [r for r in ours if r is CLOSED] and not [r for r in theirs if r is CLOSED]
            if lost or found >= most:
                break
    finally:
        for side in sides:
            side.end()
    return notes
