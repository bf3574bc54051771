#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Calls on files fail at random in the real process (libfiu), under load, while the data are saved and the log is written and
rewritten: nobody crashes; what was acknowledged is there afterwards; writes are refused by MISCONF and nothing else, or
(`always`) the server ends before it answers; and when the disk works again, so does the server. disk_files.py and
append_only.py have each call fail once, in order; here several do, again and again.

    injected.py [--rounds N] [--seed N]      the faults are drawn from the seed, which calls they hit is libfiu's chance
"""
import argparse
import collections
import os
import random
import signal
import time

from here import OURS, Server, Tap, info, need, need_server, text_of, wait_until
from history import History
from resp import Closed, Silent

PATIENCE = 60
WRITERS = 3
LIFE_ROUNDS = 6
FAULTS_MAX = 3
EIO, ENOSPC, EDQUOT, EACCES = 5, 28, 122, 13
# What may fail, and how. To close is not to close, so that descriptors leak; not too many.
POINTS = (("posix/io/rw/writev", (ENOSPC, EIO, EDQUOT)), ("posix/io/rw/pwritev", (ENOSPC, EIO, EDQUOT)), ("posix/io/rw/writev/reduce", None),
          ("posix/io/rw/pwritev/reduce", None), ("posix/io/sync/fsync", (EIO, ENOSPC)), ("posix/io/sync/fdatasync", (EIO, ENOSPC)),
          ("posix/io/dir/rename", (EIO, EACCES)), ("posix/io/dir/unlink", (EIO, EACCES)), ("posix/io/rw/ftruncate", (EIO,)),
          ("posix/io/oc/open", (EACCES, ENOSPC)), ("posix/io/oc/close", (EIO, ENOSPC)))


class Faults:
    """The remote control of libfiu. Its ends stay open: the process would have to open them again, which may be a fault."""

    def __init__(self, server):
        base = os.path.join(server.dir, "fiu-%d" % server.pid)
        wait_until(lambda: os.path.exists(base + ".out"), PATIENCE)
        self.orders, self.replies, self.names = os.open(base + ".in", os.O_WRONLY), open(base + ".out"), []

    def order(self, text):
        os.write(self.orders, (text + "\n").encode())
        reply = self.replies.readline().strip()
        if not reply:
            raise BrokenPipeError("the process has ended")
        return reply

    def begin(self, name, probability, error):
        self.names.append(name)
        more = ",failinfo=%d" % error if error else ""
        if self.order("enable_random name=%s,probability=%g%s" % (name, probability, more)) != "0":
            raise RuntimeError("libfiu does not know " + name)

    def end(self):
        while self.names:
            self.order("disable name=" + self.names.pop())

    def close(self):
        os.close(self.orders)
        self.replies.close()


class Life:
    def __init__(self, rng):
        self.rng, self.history, self.floor, self.counts = rng, History(WRITERS), [0] * WRITERS, collections.Counter()
        self.policy = rng.choice(("always", "everysec", "everysec", "no", None))  # None: no log
        self.args = ["--libos-files", "threads", "--aof-use-rdb-preamble", rng.choice(("yes", "no")), "--save", "3600 1", "--appendonly",
                     "yes" if self.policy else "no", "--appendfsync", self.policy or "no"]
        self.server = Server(OURS, self.args)
        self.stop()

    def stop(self):
        self.server.process.kill()
        self.server.process.wait()

    def start(self, faulty):
        self.server.wrap = ["fiu-run", "-x", "-f", os.path.join(self.server.dir, "fiu")] if faulty else []
        stop, self.server.stop = self.server.stop, self.stop  # a start that is refused keeps its files
        try:
            self.server.start()
        finally:
            self.server.stop = stop

    def draw(self):
        """Some faults: name, probability, error. A write that takes a part and fails then is two of them."""
        if self.rng.randrange(3) == 0:
            call, error = self.rng.choice(("writev", "writev", "pwritev")), self.rng.choice((ENOSPC, EIO))
            return [("posix/io/rw/%s/reduce" % call, 0.5, None), ("posix/io/rw/" + call, 0.3, error)]
        return [(name, self.rng.choice((0.02, 0.1, 0.5, 1)), errors and self.rng.choice(errors)) for name, errors in self.rng.sample(POINTS, self.rng.randrange(1, 4))]

    def start_with_faults(self):
        """One that may be refused, and leaves what is there."""
        faults = ["enable_random name=%s,probability=%g%s" % (name, chance, ",failinfo=%d" % error if error else "") for name, chance, error in self.draw()]
        self.server.wrap = ["fiu-run", "-x", "-f", ""] + [word for fault in faults for word in ("-c", fault)]
        stop, self.server.stop = self.server.stop, self.stop
        try:
            self.server.start()
            self.counts["starts with faults"] += 1
        except RuntimeError:
            self.counts["starts refused"] += 1
        finally:
            self.server.stop = stop
        self.stop()
        code = self.server.process.returncode
        return [] if code in (1, -signal.SIGKILL) else ["a start with %s: exit status %d" % (faults, code)]

    def disturb(self, faults, seconds):
        """Saves and rewrites while calls fail."""
        end = time.monotonic() + seconds
        try:
            client = self.server.client(PATIENCE)
            while time.monotonic() < end:
                text_of(client, self.rng.choice(("BGSAVE", "BGREWRITEAOF", "SAVE", "PING")))
                time.sleep(self.rng.random() * 0.1)
        except (OSError, Closed, Silent):
            pass

    def recovers(self):
        """Whether writes are taken again. After syncs that failed a rewrite is what helps; an operator need not wait until it is tried."""
        client = self.server.client(PATIENCE)
        took = time.monotonic()
        while time.monotonic() < took + PATIENCE:
            reply = client.call("SET", "probe", "1")
            if not reply.is_error():
                return True
            if b"MISCONF" not in reply.raw():
                return False
            text_of(client, "BGSAVE" if b"RDB" in reply.raw() else "BGREWRITEAOF")
            time.sleep(0.05)
        return False

    def is_safe(self):
        """Until all is the kernel's that was acknowledged, or saved."""
        client = self.server.client(PATIENCE)
        state = self.history.acknowledged()
        if self.policy:
            fine = wait_until(lambda: info(client, "aof_buffer_length") == "0" and info(client, "aof_last_write_status") == "ok", PATIENCE)
        else:
            fine = wait_until(lambda: text_of(client, "SAVE") == b"OK", PATIENCE)
        if fine:
            self.floor = state
        return fine

    def round(self):
        faults_drawn, wrong = self.draw(), []
        self.start(True)
        faults = Faults(self.server)
        writers = self.history.begin(self.server.path, self.rng, insists=True)
        time.sleep(0.05)
        try:
            for fault in faults_drawn:
                faults.begin(*fault)
        except OSError:  # the first one has ended it
            pass
        self.disturb(faults, 0.1 + self.rng.random() * 0.5)
        if self.rng.randrange(4) > 0 and self.server.alive():
            try:
                faults.end()
                wrong = [] if self.recovers() else ["no writes are taken when the disk works again"]
                time.sleep(0.05)
                wrong += [] if self.is_safe() else ["the disk works, but nothing is written"]
                self.counts["recovered"] += 1
            except (OSError, Closed, Silent):  # an answer under `always` that was not given
                pass
        self.stop()
        code = self.server.process.returncode
        self.counts["ended by itself"] += code == 1
        if code not in (-signal.SIGKILL, 1) or (code == 1 and self.policy != "always"):
            wrong.append("exit status %d" % code)
        for writer in writers:
            writer.join(PATIENCE)
        faults.close()
        if self.policy == "always":
            self.floor = self.history.acknowledged()
        refusals = collections.Counter(refusal[:60] for writer in writers for refusal in writer.refusals)
        self.counts["refusals"] += sum(refusals.values())
        wrong += ["refused: %r" % refusal for refusal in refusals if not refusal.startswith((b"-MISCONF", b"-EXECABORT"))]
        if self.rng.randrange(3) == 0:
            wrong += self.start_with_faults()
        self.start(False)
        client = self.server.client(PATIENCE)
        wrong += self.history.compare(client, self.floor)
        client.close()
        self.stop()
        self.floor = [past.first for past in self.history.pasts]
        return wrong, faults_drawn


def main():
    parser = argparse.ArgumentParser(description="Calls on files fail at random.")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    need_server()
    need("fiu-run")
    tap, rng, number, faults, counts = Tap(), random.Random(options.seed), 0, 0, collections.Counter()
    print("# injected.py --rounds %d --seed %d" % (options.rounds, options.seed), flush=True)
    while number < options.rounds and faults < FAULTS_MAX:
        life, drawn = Life(rng), None
        try:
            for _ in range(min(LIFE_ROUNDS, options.rounds - number)):
                number += 1
                wrong, drawn = life.round()
                if wrong:
                    faults += 1
                    tap.ok(False, "round %d, seed %d" % (number, options.seed), wrong[:8] + [life.args, drawn] + life.server.log_tail(12))
                    break
        except RuntimeError as error:
            faults += 1
            tap.ok(False, "round %d, seed %d: no start" % (number, options.seed), [error, life.args, drawn])
        finally:
            life.server.stop()
            counts.update(life.counts)
    print("# %s" % dict(counts))
    tap.ok(faults == 0 and number == options.rounds, "%d times calls on files fail: nothing acknowledged is lost, and all is well afterwards" % number)
    tap.done()


main()
