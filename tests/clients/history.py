# SPDX-License-Identifier: MIT
"""Writers that know what they have written, so that what a server has after a crash can be held against it.

Each writer has keys of its own, in one of several databases, and does one step after the other: a transaction over some of
them, or a single command. A step leaves its number, and a transaction counts up a clock that all writers share:

    MULTI, SELECT 0, INCR clock, SELECT d, SET w:seq n, ..., EXEC       or       HSET w:plain seq n text ...

What a server has is a prefix of history if, for each writer, it is what the steps up to one number leave, whole and to the
byte, and if all these together are as many transactions as the clock says, none of them later than the clock.
"""
import random
import threading
import time

from resp import Client, Closed, Silent, encode

DATABASES = (0, 3, 3)
PATIENCE = 60
NOISE = random.Random(1).randbytes(4 << 20)
SEQ, PLAIN = "seq", "plain"


def noise(rng, size):
    at = rng.randrange(len(NOISE) - size)
    return NOISE[at:at + size]


class Keys:
    """What a writer's keys hold: key -> bytes, list, dict, set; expiring ones as (bytes, deadline in ms)."""

    def __init__(self, values=None):
        self.values = values or {}

    def copy(self):
        return Keys({key: value.copy() if isinstance(value, (list, dict, set)) else value for key, value in self.values.items()})

    def apply(self, words):
        """What a command does. A collection that becomes empty is gone."""
        name, key, values = words[0], words[1], self.values
        if name == "SET":
            values[key] = (words[2], words[4]) if len(words) > 3 else words[2]
        elif name == "APPEND":
            values[key] = values.get(key, b"") + words[2]
        elif name == "INCRBY":
            values[key] = b"%d" % (int(values.get(key, b"0")) + words[2])
        elif name == "RPUSH":
            values.setdefault(key, []).extend(words[2:])
        elif name == "LPOP":
            if key in values:
                values[key].pop(0)
        elif name == "LTRIM":
            values[key] = values.get(key, [])[words[2]:]
        elif name == "HSET":
            values.setdefault(key, {}).update(zip(words[2::2], words[3::2]))
        elif name == "HDEL":
            values.get(key, {}).pop(words[2], None)
        elif name == "SADD":
            values.setdefault(key, set()).update(words[2:])
        elif name == "SREM":
            values.get(key, set()).difference_update(words[2:])
        elif name == "ZADD":
            values.setdefault(key, {})[words[3]] = words[2]
        elif name == "DEL":
            values.pop(key, None)
        else:
            raise ValueError(name)
        if key in values and not values[key]:
            del values[key]


def random_command(rng, name):
    """name: makes a key of the writer's of a short one."""
    which = rng.randrange(3)
    member = b"m%d" % rng.randrange(40)
    text = noise(rng, rng.choice((1, 10, 100, 1000, 10000)))
    return rng.choice((
        ["SET", name("s%d" % which), text], ["SET", name("s%d" % which), noise(rng, rng.choice((100, 100000, 1000000)))] if rng.randrange(8) == 0
        else ["APPEND", name("a%d" % which), text[:200]],
        ["INCRBY", name("n%d" % which), rng.randrange(-1000, 1000)],
        ["RPUSH", name("l%d" % which), text[:100], member], ["LPOP", name("l%d" % which)], ["LTRIM", name("l%d" % which), -40],
        ["HSET", name("h%d" % which), member, text[:500]], ["HDEL", name("h%d" % which), member],
        ["SADD", name("t%d" % which), member, b"%d" % rng.randrange(100)], ["SREM", name("t%d" % which), member],
        ["ZADD", name("z%d" % which), rng.randrange(1000), member], ["DEL", name(rng.choice("salhtz") + "%d" % which)],
        ["SET", name("e%d" % which), text, "PXAT", int(time.time() * 1000) + rng.choice((1, 50, 300, 100000))]))


class Step:
    __slots__ = ("words", "clock", "acknowledged")

    def __init__(self, words):
        self.words, self.clock, self.acknowledged = words, None, False  # clock: 0 of a single command, None: not known

    @property
    def is_transaction(self):
        return len(self.words) > 1


class Writer(threading.Thread):
    """Goes on until the server is gone, or stop() is called. refusals: what it was told instead of the reply that was due;
    one that insists goes on then, and has no pipelines, since what comes behind a refusal may be done."""

    def __init__(self, past, address, seed, insists):
        super().__init__(daemon=True)
        self.past, self.rng, self.insists, self.refusals, self.goes_on = past, random.Random(seed), insists, [], True
        self.client = Client(address, PATIENCE)

    def stop(self):
        self.goes_on = False
        self.join(PATIENCE)

    def make_step(self, number):
        name = self.past.key
        if self.rng.randrange(2) == 0:
            return Step([["HSET", name(PLAIN), b"seq", b"%d" % number, b"text", noise(self.rng, self.rng.choice((1, 100, 5000)))]])
        return Step([["SET", name(SEQ), b"%d" % number]] + [random_command(self.rng, name) for _ in range(self.rng.randrange(1, 5))])

    def bytes_of(self, step):
        if not step.is_transaction:
            return encode(step.words[0])
        words = [["MULTI"], ["SELECT", "0"], ["INCR", "clock"], ["SELECT", str(self.past.database)]] + [for_server(w) for w in step.words] + [["EXEC"]]
        return b"".join(map(encode, words))

    def read_reply(self, step):
        """Whether it was done."""
        if step.is_transaction:
            for _ in range(len(step.words) + 4):
                self.client.read()
        reply = self.client.read()
        if reply.is_error() or (step.is_transaction and not reply.kids):
            self.refusals.append(reply.raw())
            return False
        step.clock = int(reply.kids[1].text()) if step.is_transaction else 0
        step.acknowledged = True
        return True

    def run(self):
        try:
            self.client.call("SELECT", str(self.past.database))
            while self.goes_on:
                steps = [self.make_step(self.past.number + i + 1) for i in range(1 if self.insists else self.rng.choice((1, 1, 1, 3)))]
                self.past.steps.extend(steps)
                self.client.send(b"".join(map(self.bytes_of, steps)))
                if all([self.read_reply(step) for step in steps]):
                    continue
                if not self.insists:
                    return
                self.past.steps.pop()
                time.sleep(0.02)
        except (OSError, Closed, Silent):
            pass
        finally:
            self.client.close()


def for_server(words):
    return words + [-1] if words[0] == "LTRIM" else words


class Past:
    """A writer's: what its keys held at `first`, and the steps since."""

    def __init__(self, index):
        self.index, self.database = index, DATABASES[index % len(DATABASES)]
        self.keys, self.first, self.steps = Keys(), 0, []
        self.transactions = 0  # up to `first`

    def key(self, short):
        return "w%d:%s" % (self.index, short)

    @property
    def number(self):
        return self.first + len(self.steps)

    @property
    def acknowledged(self):
        """The number of the last step that was."""
        steps = self.steps
        for i in range(len(steps), 0, -1):
            if steps[i - 1].acknowledged:
                return self.first + i
        return self.first

    def go_to(self, number):
        """Forgets what came later, and knows what the keys hold."""
        for step in self.steps[:number - self.first]:
            for words in step.words:
                self.keys.apply(words)
            self.transactions += step.is_transaction
        self.first, self.steps = number, []


class History:
    def __init__(self, writers):
        self.pasts = [Past(i) for i in range(writers)]

    def begin(self, address, rng, insists=False):
        """Threads that write; the server's end ends them."""
        writers = [Writer(past, address, rng.random(), insists) for past in self.pasts]
        for writer in writers:
            writer.start()
        return writers

    def acknowledged(self):
        """What is known to have been done, writer by writer: a floor for compare()."""
        return [past.acknowledged for past in self.pasts]

    def compare(self, client, floor):
        """What is wrong with what the server has; history goes on from there."""
        wrong = []
        client.call("SELECT", "0")
        clock = number_of(client.call("GET", "clock"))
        for past, least in zip(self.pasts, floor):
            client.call("SELECT", str(past.database))
            number = max(number_of(client.call("GET", past.key(SEQ))), number_of(client.call("HGET", past.key(PLAIN), "seq")))
            if number < least:
                wrong.append("writer %d: %d of %d steps that must be there" % (past.index, number, least))
            if not past.first <= number <= past.number:
                wrong.append("writer %d: at step %d, where it has been at %d to %d" % (past.index, number, past.first, past.number))
            for i, step in enumerate(past.steps):
                done = past.first + i + 1 <= number
                if step.clock and done != (step.clock <= clock):
                    wrong.append("writer %d: step %d, at %d by the clock, is %s at %d" %
                                 (past.index, past.first + i + 1, step.clock, "there" if done else "not there", clock))
            past.go_to(number)
            wrong += differences(client, past)
        done = sum(past.transactions for past in self.pasts)
        if done != clock:
            wrong.append("%d transactions, but %d by the clock" % (done, clock))
        return wrong


def number_of(reply):
    return int(reply.text()) if reply.body else 0


READ = {bytes: lambda key: ["GET", key], tuple: lambda key: ["GET", key], list: lambda key: ["LRANGE", key, "0", "-1"], set: lambda key: ["SMEMBERS", key]}


def value_of(client, key, like):
    if isinstance(like, dict):
        scores = ":z" in key
        kids = client.call(*(["ZRANGE", key, "0", "-1", "WITHSCORES"] if scores else ["HGETALL", key])).kids
        return {kids[i].text(): int(kids[i + 1].text()) if scores else kids[i + 1].text() for i in range(0, len(kids), 2)}
    reply = client.call(*READ[type(like)](key))
    if isinstance(like, list):
        return [kid.text() for kid in reply.kids]
    if isinstance(like, set):
        return {kid.text() for kid in reply.kids}
    return reply.text() if reply.body else None


def differences(client, past):
    """Each key, to the byte; one that expires is there until then with its value, and not afterwards."""
    wrong = []
    for key, want in past.keys.values.items():
        before = time.time() * 1000
        got = value_of(client, key, want)
        after = time.time() * 1000
        if isinstance(want, tuple):
            value, deadline = want
            right = (got == value and deadline > before - 1) or (got is None and deadline <= after + 1)
        else:
            right = got == want
        if not right:
            wrong.append("%s is %.100r, not %.100r" % (key, got, want))
    extra = {kid.text().decode() for kid in client.call("KEYS", past.key("*")).kids} - set(past.keys.values)
    return wrong + (["more keys: %s" % sorted(extra)] if extra else [])
