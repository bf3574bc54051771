#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""SIGKILL (and SIGTERM) at any instant, over and over, under load: what is there after the start is a prefix of history (history.py), no
transaction in half, and has whatever was promised: under `always` all that was acknowledged; else what a log that had
nothing left to write had, or what a save that had ended saw. No start is refused, and no temporary file stays.

    killed.py [--rounds N] [--seed N]        one seed has one plan, not one order of events
"""
import argparse
import collections
import os
import random
import shutil
import subprocess
import threading
import time

from here import OURS, Server, Tap, info, need_server, text_of, wait_until
from history import History
from resp import Closed, Silent

PATIENCE = 60
WRITERS = 5
LIFE_ROUNDS = 12  # on one folder
FAULTS_MAX = 3
FILLER = 300      # keys that make a save last


def folder(server):
    return os.path.join(server.dir, "appendonlydir")


def manifest(server):
    try:
        with open(os.path.join(folder(server), "appendonly.aof.manifest")) as file:
            return file.read()
    except FileNotFoundError:
        return None


def leftovers(places, before):
    """Temporary files that were there before the start. A save or a rewrite may be under way again."""
    paths = [os.path.join(place, name) for place in places for name in os.listdir(place) if name.startswith("temp-")]
    stay = []
    for path in paths:
        try:
            stay += [path] if os.stat(path).st_mtime < before else []
        except FileNotFoundError:
            pass
    return stay


class Keeper(threading.Thread):
    """Does what an operator may do while the writers write, and knows the least that must be there if the server dies now."""

    def __init__(self, life, seed):
        super().__init__(daemon=True)
        self.life, self.rng, self.wrong, self.deeds = life, random.Random(seed), [], []
        self.client = life.server.client(PATIENCE)

    def promised(self, state, deed=None):
        self.life.floor = [max(pair) for pair in zip(self.life.floor, state)]
        if deed:
            self.deeds.append(deed)

    def log_is_written(self):
        """All that the log was given before INFO is the kernel's."""
        state = self.life.history.acknowledged()
        if info(self.client, "aof_buffer_length") == "0":
            self.promised(state)

    def save(self):
        state = self.life.history.acknowledged()
        if text_of(self.client, "SAVE") == b"OK" and not self.life.by_log:
            self.promised(state, "save")

    def save_in_background(self):
        state = self.life.history.acknowledged()
        if text_of(self.client, "BGSAVE") != b"Background saving started":
            return
        saves = info(self.client, "rdb_saves")
        ended = lambda: info(self.client, "rdb_bgsave_in_progress") == "0" or info(self.client, "rdb_saves") != saves
        fine = wait_until(ended, PATIENCE) and info(self.client, "rdb_last_bgsave_status") == "ok"
        if not fine:
            self.wrong.append("BGSAVE failed")
        elif not self.life.by_log:
            self.promised(state, "background save")

    def rewrite(self):
        text_of(self.client, "BGREWRITEAOF")
        self.deeds.append("rewrite")

    def turn_policy(self):
        self.life.policy_turned = True
        text_of(self.client, "CONFIG", "SET", "appendfsync", self.rng.choice(("always", "everysec", "no")))
        self.deeds.append("policy turned")

    def switch(self):
        """appendonly at run time; which of the two a start will ask for changes when the new one has all."""
        if not self.life.by_log:
            state = self.life.history.acknowledged()
            self.life.old_manifest = manifest(self.life.server) or ""
            text_of(self.client, "CONFIG", "SET", "appendonly", "yes")
            written = lambda: [info(self.client, "aof_" + field) for field in ("rewrite_in_progress", "rewrite_scheduled", "buffer_length")] == ["0"] * 3
            if not wait_until(written, PATIENCE):
                self.wrong.append("appendonly yes: no log")
                return
            self.life.old_manifest, self.life.by_log = None, True
            self.promised(state, "log switched on")
            return
        state = self.life.history.acknowledged()
        text_of(self.client, "CONFIG", "SET", "appendonly", "no")
        self.promised(state, "log switched off")
        self.life.on = False
        state = self.life.history.acknowledged()
        if text_of(self.client, "SAVE") == b"OK":
            self.life.by_log = False
            self.promised(state)

    def deed(self):
        if self.life.switches and self.rng.randrange(3) == 0:
            return self.switch
        if self.life.by_log:
            return self.rng.choice((self.rewrite, self.rewrite, self.save_in_background, self.log_is_written, self.turn_policy))
        return self.rng.choice((self.save, self.save_in_background, self.save_in_background))

    def run(self):
        try:
            self.client.call("CONFIG", "SET", "rdb-key-save-delay", str(self.rng.choice((0, 0, 100, 1000))))
            while not self.wrong:
                if self.life.by_log and self.life.on:
                    self.log_is_written()
                self.deed()()
                time.sleep(self.rng.random() * 0.1)
        except (OSError, Closed, Silent, ValueError):
            pass
        finally:
            self.client.close()


class Life:
    """One folder, and the servers that live in it one after the other."""

    def __init__(self, rng):
        self.rng, self.history, self.floor = rng, History(WRITERS), [0] * WRITERS
        self.switches = rng.randrange(3) == 0
        self.by_log = rng.randrange(3) > 0  # which of the two the next start asks for
        self.old_manifest = None            # while a log is being switched on: what was there before
        self.fixed = ["--libos-files", rng.choice(("auto", "threads")), "--aof-use-rdb-preamble", rng.choice(("yes", "no")), "--aof-timestamp-enabled",
                      rng.choice(("yes", "no")), "--rdbcompression", rng.choice(("yes", "no")), "--auto-aof-rewrite-min-size", "1mb"]
        self.server = None

    def arguments(self):
        if self.old_manifest is not None:
            self.by_log = self.by_log or (manifest(self.server) or "") != self.old_manifest
            self.old_manifest = None
        self.policy = self.rng.choice(("always", "always", "everysec", "no"))
        self.on, self.policy_turned = self.by_log, False
        self.points = self.rng.choice(("", "1 10", "3600 1"))
        return self.fixed + ["--appendonly", "yes" if self.by_log else "no", "--appendfsync", self.policy,
                             "--save", self.points]

    def start(self):
        if self.server is None:
            self.server = Server(OURS, self.arguments())
            client = self.server.client(PATIENCE)
            client.call("SELECT", "9")
            client.call("MSET", *[word for i in range(FILLER) for word in ("filler:%d" % i, "x" * 100)])
            client.close()
            return
        self.server.args = self.arguments()
        if self.rng.randrange(4) == 0:
            self.killed_at_its_start()
        self.server.start()

    def killed_at_its_start(self):
        """Before it is ready, or soon after."""
        server = self.server
        with open(server.log, "ab") as log:
            child = subprocess.Popen([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir] + server.args,
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=server.dir)
        time.sleep(self.rng.random() * 0.15)
        child.kill()
        child.wait()

    def end(self):
        """By SIGKILL; one time in six by SIGTERM, which it may refuse while a log begins. Whether all that was acknowledged is to be there."""
        gently = self.rng.randrange(6) == 0
        if gently:
            self.server.process.terminate()
            gently = wait_until(lambda: not self.server.alive(), 10)
        self.server.process.kill()
        code = self.server.process.wait()
        if gently and code:
            raise RuntimeError("SIGTERM: exit status %d" % code)
        always = self.policy == "always" and self.by_log and not self.policy_turned
        return not self.switches and (always or (gently and (self.by_log or self.points != "")))

    def round(self):
        """Writes, dies, starts; what is wrong then. On a fault `floor` is left for who looks."""
        keeper = Keeper(self, self.rng.random())
        writers = self.history.begin(self.server.path, self.rng)
        before = sum(past.first for past in self.history.pasts)
        keeper.start()
        time.sleep(0.02 + self.rng.random() * self.rng.choice((0.1, 0.4, 0.8)))
        all_of_it = self.end()
        died = time.time()
        for thread in writers + [keeper]:
            thread.join(PATIENCE)
        if all_of_it:
            keeper.promised(self.history.acknowledged())
        wrong = keeper.wrong + [str(refusal) for writer in writers for refusal in writer.refusals]
        self.start()
        client = self.server.client(PATIENCE)
        wrong += self.history.compare(client, self.floor)
        wrong += ["a temporary file stays: " + name for name in leftovers([self.server.dir] + ([folder(self.server)] if self.by_log else []), died)]
        client.close()
        steps = sum(past.first for past in self.history.pasts) - before
        deeds = collections.Counter(keeper.deeds, steps=steps)
        self.floor = [past.first for past in self.history.pasts]
        return wrong, deeds


def keep(server, number):
    """The folder of a round that went wrong, for who looks."""
    place = "/tmp/demikv-killed-%d-%d" % (os.getpid(), number)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(server.dir, place, ignore=lambda _, names: [name for name in names if name.endswith(".sock")])
    return place


def main():
    parser = argparse.ArgumentParser(description="Kills the server at any instant, over and over.")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    need_server()
    tap, rng, number, faults, deeds = Tap(), random.Random(options.seed), 0, 0, collections.Counter()
    print("# killed.py --rounds %d --seed %d" % (options.rounds, options.seed), flush=True)
    while number < options.rounds and faults < FAULTS_MAX:
        life = Life(rng)
        try:
            life.start()
            for _ in range(LIFE_ROUNDS):
                number += 1
                wrong, done = life.round()
                deeds.update(done)
                if wrong:
                    faults += 1
                    tap.ok(False, "round %d, seed %d" % (number, options.seed), wrong[:8] + [life.server.args, dict(done), keep(life.server, number)])
                if wrong or number == options.rounds:
                    break
        except RuntimeError as error:  # a start was refused
            faults += 1
            tap.ok(False, "round %d, seed %d: no start" % (number, options.seed), [error, life.server and life.server.args])
        finally:
            if life.server:
                life.server.stop()
    print("# %s" % dict(deeds))
    tap.ok(faults == 0 and number == options.rounds, "%d times SIGKILL: a prefix of history is there, and all that was promised" % number)
    tap.done()


main()
