#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The append-only file on a log queue (aof-device): all comes back after SIGKILL at any instant, with rewrites meanwhile; a log
that is nearly full is rewritten, a full one refuses writes and loses nothing; switched at run time; what is foreign, damaged
or another server's is refused in a line; redis-server loads what demi-log exports, and we what it imports.

    aof_device.py [--rounds N] [--seed N]
"""
import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time

from here import OURS, REDIS, Server, Tap, digest, info, log_has, need, need_server, private_mounts, text_of, wait_until

from servers import ROOT

import dump  # noqa: E402
from dump import fill  # noqa: E402
from generated import sequence  # noqa: E402
from history import History
from one_moment import FORBIDDEN  # noqa: E402
from resp import Closed, Silent, encode  # noqa: E402

PATIENCE = 60
WRITERS = 5
BUILD = os.path.join(ROOT, "build" if not os.path.exists(os.path.join(os.path.dirname(OURS), "examples/log-write-read")) else os.path.dirname(OURS), "")
DEMI_LOG = BUILD + "tools/log/demi-log"  # of an ordinary build, where the server is one with a sanitizer
dump.SCORES = [score for score in dump.SCORES if score != "-0"]


def on(path, *more):
    return ["--appendonly", "yes", "--aof-device", "log:%s#aof" % path] + list(more)


def tool(*words):
    done = subprocess.run([DEMI_LOG] + list(words), capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


class Place(Server):
    """A server whose log lies in its folder. size: of the log, else what the server makes."""

    def __init__(self, *args, size=None, segment="64K", tcp=False):
        self.more = args
        self.size, self.segment = size, segment
        super().__init__(OURS, [], tcp)

    def start(self):
        self.device = os.path.join(self.dir, "aof.log")
        if self.size and not os.path.exists(self.device):
            tool("create", "--size", self.size, "--segment", self.segment, self.device)
        self.args = on(self.device, *self.more)
        super().start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def again(self, *args):
        if args:
            self.more = args
        self.start()
        return self.client(PATIENCE)


def rewritten(client):
    return wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0" and info(client, "aof_rewrite_scheduled") == "0")


def written(client):
    return wait_until(lambda: info(client, "aof_buffer_length") == "0" and info(client, "aof_pending_bio_fsync") == "0")


def wild_commands(seed, count):
    return [args for _, args in sequence(seed, count)
            if args[0].upper() not in FORBIDDEN and not args[0].upper().startswith((b"B", b"P", b"S")) and b"BLOCK" not in args]


def every_command_comes_back(tap):
    for seed, preamble in ((1, "yes"), (2, "no")):
        with Place("--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", preamble) as server:
            client = server.client(PATIENCE)
            fill(client, random.Random(seed), 100)
            text_of(client, "BGREWRITEAOF")
            fine = rewritten(client) and info(client, "aof_last_bgrewrite_status") == "ok"
            client.send(b"".join(encode(args) for args in wild_commands(seed, 3000)) + encode(["DISCARD"]) + encode(["PING", "end"]))
            while client.read().text() != b"end":
                pass
            client.call("SELECT", "3")
            client.call("SET", "expires", "1", "PX", "100000")
            client.call("SET", "long", os.urandom(3000000))
            before = digest(client)
            fine = fine and wait_until(lambda: info(client, "aof_buffer_length") == "0") and text_of(client, "WAITAOF", "1", "0", "5000") is not None
            server.kill()
            after = digest(server.again())
            tap.ok(fine and after == before, "thousands of commands, a rewrite, SIGKILL: the data are there (preamble %s)" % preamble, [before, after])
            client = server.client(PATIENCE)
            tap.ok(text_of(client, "DEBUG", "LOADAOF") == b"OK" and digest(client) == before, "DEBUG LOADAOF says the same")
            tap.ok(server.end() == 0 and digest(server.again()) == before, "and so does a start after SIGTERM")
            tap.ok(not os.path.exists(os.path.join(server.dir, "appendonlydir")), "no files are made beside it")


def what_is_shown(tap):
    with Place() as server:
        client = server.client(PATIENCE)
        name = "log:%s#aof" % server.device
        tap.ok(info(client, "aof_device") == name, "INFO says where the log is", [info(client, "aof_device")])
        tap.ok([kid.text() for kid in client.call("CONFIG", "GET", "aof-device").kids] == [b"aof-device", name.encode()], "CONFIG GET, too")
        tap.ok(text_of(client, "CONFIG", "SET", "aof-device", "x").startswith(b"ERR CONFIG SET failed") and info(client, "aof_device") == name,
               "it cannot be changed at run time")
        client.call("SET", "k", "v" * 1000)
        written(client)
        tap.ok(int(info(client, "aof_current_size")) > 1000 and int(info(client, "aof_base_size")) > 50, "and sizes are there",
               [info(client, "aof_current_size"), info(client, "aof_base_size")])
    with Server(OURS, ["--appendonly", "yes"]) as server:
        tap.ok(info(server.client(PATIENCE), "aof_device") is None, "without aof-device nothing is said of one")


def killed(tap, rounds, seed):
    """always: whatever was acknowledged is there, and what is there is a prefix of history."""
    rng, done, wrong, deeds = random.Random(seed), 0, [], 0
    while done < rounds and not wrong:
        history = History(WRITERS)
        more = ["--appendfsync", "always", "--aof-use-rdb-preamble", rng.choice(("yes", "no")), "--auto-aof-rewrite-min-size", "1mb"]
        with Place(*more, size=rng.choice((None, "24M")), segment=rng.choice(("64K", "1M"))) as server:
            for _ in range(min(10, rounds - done)):
                done += 1
                writers = history.begin(server.path, rng)
                client = server.client(PATIENCE)
                client.call("CONFIG", "SET", "rdb-key-save-delay", rng.choice(("0", "0", "1000")))
                for _ in range(rng.randrange(3)):
                    client.call("BGREWRITEAOF")
                    time.sleep(rng.random() * 0.1)
                time.sleep(rng.random() * 0.3)
                server.kill()
                for writer in writers:
                    writer.join(PATIENCE)
                floor = history.acknowledged()
                deeds += sum(past.number - past.first for past in history.pasts)
                try:
                    wrong += history.compare(server.again(), floor)
                except RuntimeError as error:
                    wrong.append(error)
                wrong += [refusal for writer in writers for refusal in writer.refusals]
                if wrong:
                    break
    tap.ok(done == rounds and not wrong, "always: %d times SIGKILL, and nothing acknowledged is lost (%d steps, seed %d)" % (done, deeds, seed), wrong[:6])


def nearly_full(tap):
    """Much more is written than the log holds: it is rewritten in time, again and again, and nobody is refused."""
    for policy in ("always", "everysec", "no"):
        with Place("--appendfsync", policy, "--auto-aof-rewrite-percentage", "0", size="6M") as server:
            client, refused, value = server.client(PATIENCE), [], os.urandom(20000)
            for i in range(700):
                reply = client.call("SET", "k%d" % (i % 50), b"%d" % i + value)
                if reply.is_error():
                    refused.append(reply.text())
                    break
            rewrites = int(info(client, "aof_rewrites"))
            client.call("CONFIG", "SET", "appendfsync", "everysec")  # so that there is a sync to wait for
            written(client)
            before = digest(client)
            server.kill()
            tap.ok(not refused and rewrites > 1 and digest(server.again()) == before,
                   "%s: 14 MB go through a log of 6 MB, by %d rewrites" % (policy, rewrites), refused)


def is_full(tap, policy):
    """More data than the log can hold."""
    with Place("--appendfsync", policy, size="4M") as server:
        client, count, refusal = server.client(PATIENCE), 0, b""
        values = [os.urandom(20000) for _ in range(50)]
        try:
            while count < 1000:
                reply = client.call("SET", "k%d" % count, values[count % 50])
                if reply.is_error():
                    refusal = reply.text()
                    break
                count += 1
        except (Closed, Silent, OSError):
            pass
        if policy == "always":
            ended = wait_until(lambda: not server.alive()) and server.process.returncode == 1
            tap.ok(ended and 50 < count < 250, "always: a full log ends the server before the reply", [count, ended])
        else:
            tap.ok(refusal.startswith(b"MISCONF") and 50 < count < 250, policy + ": a full log refuses writes", [count, refusal])
            fine = text_of(client, "GET", "k1") == values[1] and info(client, "aof_last_write_status") == "err"
            tap.ok(fine, policy + ": reads are served, INFO says so")
            server.kill()
        client = server.again("--appendfsync", "everysec")
        there = int(text_of(client, "DBSIZE"))
        tap.ok(there >= count - (60 if policy != "always" else 0), policy + ": what was acknowledged is there after a start from it", [there, count])
        server.kill()
        status, said = tool("check", server.device)
        tap.ok(status == 0, policy + ": and the log is whole", [said])


def on_a_full_disk(tap):
    """No room for the log's file: refused. A log that is there has its room, however full the disk is."""
    if not private_mounts():
        tap.skip("a log on a full disk", "no right to mount a file system here")
        return
    place = tempfile.mkdtemp(prefix="demikv-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", place], check=True)
    path, filler = os.path.join(place, "aof.log"), os.path.join(place, "filler")
    with Server(OURS, []) as server:
        status, said = starts(server, *on(path))
        tap.ok(status == 1 and "there is no room for it" in said, "a log that has no room on its disk is refused", [said[-300:]])
        os.unlink(path)
        status, said = tool("create", "--size", "4M", "--segment", "64K", path)
        try:
            with open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass
        server.process.terminate()
        server.process.wait()
        server.args = on(path, "--appendfsync", "always")
        server.start()
        client = server.client(PATIENCE)
        fine = all(text_of(client, "SET", "k%d" % i, "v" * 1000) == b"OK" for i in range(500))
        text_of(client, "BGREWRITEAOF")
        fine = fine and rewritten(client) and info(client, "aof_last_bgrewrite_status") == "ok"
        server.process.kill()
        server.process.wait()
        server.start()
        tap.ok(status == 0 and fine and text_of(server.client(PATIENCE), "DBSIZE") == b"500", "one that is there is written on a full disk, and rewritten")
    subprocess.run(["umount", "-l", place], check=True)
    os.rmdir(place)


def switched(tap):
    with Server(OURS, ["--aof-device", "log:aof.log"]) as server:
        client = server.client(PATIENCE)
        client.call("DEBUG", "POPULATE", "20000")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "20")
        fine = text_of(client, "CONFIG", "SET", "appendonly", "yes") == b"OK"
        for i in range(300):
            client.call("SET", "meanwhile:%d" % i, "1")
        tap.ok(fine and rewritten(client) and info(client, "aof_last_bgrewrite_status") == "ok", "appendonly yes at run time")
        written(client)
        before = digest(client)
        server.process.kill()
        server.process.wait()
        server.args = ["--aof-device", "log:aof.log", "--appendonly", "yes"]
        server.start()
        client = server.client(PATIENCE)
        tap.ok(digest(client) == before, "what was there and what was written meanwhile is there")
        off = text_of(client, "CONFIG", "SET", "appendonly", "no")
        client.call("SET", "unlogged", "1")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "1000000")
        again = text_of(client, "CONFIG", "SET", "appendonly", "yes")
        client.call("SET", "of a log that was never whole", "1")
        time.sleep(0.2)
        server.process.kill()
        server.process.wait()
        server.start()
        client = server.client(PATIENCE)
        tap.ok((off, again) == (b"OK", b"OK") and digest(client) == before, "a log that is begun anew and not finished leaves the one before")
        client.call("SET", "goes", "on")
        written(client)
        before = digest(client)
        for _ in range(2):
            server.process.kill()
            server.process.wait()
            server.start()
            client = server.client(PATIENCE)
        tap.ok(digest(client) == before and text_of(client, "GET", "goes") == b"on", "which goes on")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "100000")
        client.call("BGREWRITEAOF")
        client.call("SET", "in a rewrite", "1")
        written(client)
        before = digest(client)
        server.process.kill()
        server.process.wait()
        server.start()
        client = server.client(PATIENCE)
        tap.ok(digest(client) == before, "killed in a rewrite: all is there")
        client.call("CONFIG", "SET", "appendonly", "no")
        fine = text_of(client, "BGREWRITEAOF").startswith(b"Background append only file rewriting started") and rewritten(client)
        tap.ok(fine and info(client, "aof_last_bgrewrite_status") == "ok", "BGREWRITEAOF without a log writes one")
        status, said = tool("check", os.path.join(server.dir, "aof.log"))
        tap.ok(status == 0 and "main.base" in said, "and demi-log has nothing to say against it", [said])


def starts(server, *args):
    """Exit status and output of a start that is to fail."""
    done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path + "2", "--dir", server.dir, "--save", ""] + list(args),
                          capture_output=True, text=True, timeout=PATIENCE, cwd=server.dir)
    return done.returncode, done.stdout + done.stderr


def refused(tap):
    with Place(size="4M") as server:
        client = server.client(PATIENCE)
        for i in range(500):
            client.call("SET", "k%d" % i, "v" * 1000)
        written(client)
        client.call("SET", "behind", "it")  # it says up to where all was durable
        written(client)
        status, said = starts(server, *on(server.device))
        tap.ok(status == 1 and "another process has it open" in said, "a second server on one log is refused", [status, said[-400:]])
        server.kill()
        with open(server.device, "rb") as file:
            whole = file.read()
        for name, content, words in (("foreign", b"hello" * 100000, "something else than logs is in it"), ("folder", None, "")):
            path = os.path.join(server.dir, name)
            if content is None:
                os.mkdir(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
            status, said = starts(server, *on(path))
            same = content is None or open(path, "rb").read() == content
            tap.ok(status == 1 and "Can't open the append-only log" in said and words in said and same, "%s: refused, and left alone" % name, [said[-400:]])
        for name in ("log:/nowhere/at/all#x", "log:x#", "log:x#a b", "log:", "log:x#" + "y" * 36):
            status, said = starts(server, "--appendonly", "yes", "--aof-device", name)
            tap.ok(status == 1 and "Can't open the append-only log" in said, "%s: refused" % name, [said[-400:]])
        status, said = starts(server, "--appendonly", "yes", "--aof-device", "/x")
        tap.ok(status == 1 and "aof-device must be a log queue" in said, "what is no log queue: refused", [said[-400:]])
        at = whole.find(b"k100\r\n")
        with open(server.device, "r+b") as file:
            file.seek(at)
            file.write(b"X")
        status, said = starts(server, *on(server.device))
        tap.ok(status == 1 and "it is damaged" in said, "a damaged record in the middle: refused, with the place", [said[-600:]])
        other = os.path.join(server.dir, "other.log")
        subprocess.run([BUILD + "examples/log-write-read", other, "3"], stdout=subprocess.DEVNULL, check=True)
        name = tool("list", other)[1].splitlines()[2].split()[0]
        status, said = starts(server, "--appendonly", "yes", "--aof-device", "log:%s#%s" % (other, name))
        tap.ok(status == 1 and "what is in it is no append-only file of demikv, at offset 0" in said, "a log of another program: refused", [said[-400:]])


def theirs_with(folder, digest_wanted):
    """Whether a redis-server loads the folder's files as these data."""
    with Server(REDIS, []) as theirs:
        theirs.process.terminate()
        theirs.process.wait()
        shutil.copytree(folder, os.path.join(theirs.dir, "appendonlydir"))
        theirs.args = ["--appendonly", "yes"]
        theirs.start()
        return digest(theirs.client(PATIENCE)) == digest_wanted


def exchanged(tap):
    """Redis's files from a log, and back."""
    for preamble in ("yes", "no"):
        with Place("--rdb-version", "10", "--aof-use-rdb-preamble", preamble) as server:
            client = server.client(PATIENCE)
            fill(client, random.Random(4), 60)
            text_of(client, "BGREWRITEAOF")
            rewritten(client)
            fill(client, random.Random(5), 30)
            before, out = digest(client), os.path.join(server.dir, "out")
            written(client)
            status, said = tool("export", server.device, "aof", out)
            tap.ok(status == 1 and "another process has it open" in said and not os.path.exists(out), "export beside a server: refused", [said])
            server.end()
            status, said = tool("export", server.device, "aof", out)
            tap.ok(status == 0 and theirs_with(out, before), "redis-server loads what is exported, preamble " + preamble, [said])
            status, said = tool("export", server.device, "aof", out)
            tap.ok(status == 1 and "there is an append-only file" in said, "a folder that has one is refused", [said])
            shutil.copytree(out, os.path.join(server.dir, "appendonlydir"))
            server.process = None
            Server.start(set_args(server, ["--appendonly", "yes"]))
            tap.ok(digest(server.client(PATIENCE)) == before, "and so does our server")


def set_args(server, args):
    server.args = args
    return server


def imported(tap):
    with Server(REDIS, ["--appendonly", "yes"]) as theirs, Place() as server:
        client = theirs.client(PATIENCE)
        fill(client, random.Random(6), 60)
        client.call("BGREWRITEAOF")
        rewritten(client)
        fill(client, random.Random(7), 30)
        client.call("SELECT", "0")
        before = digest(client)
        theirs.process.terminate()
        theirs.process.wait()
        files = os.path.join(theirs.dir, "appendonlydir")
        server.end()
        status, said = tool("import", files, server.device, "aof")
        tap.ok(status == 1 and "--force" in said and int(text_of(server.again(), "DBSIZE")) == 0, "a log that has an append-only file is not replaced", [said])
        server.end()
        status, said = tool("import", "--force", files, server.device, "aof")
        client = server.again()
        tap.ok(status == 0 and digest(client) == before, "redis-server's files are loaded from a log, with --force", [said])
        client.call("SET", "ours", "too")
        written(client)
        before = digest(client)
        server.kill()
        out = os.path.join(server.dir, "out")
        status, said = tool("export", server.device, "aof", out)
        tap.ok(status == 0 and theirs_with(out, before), "go on here, and are loaded there again", [said])
        torn(tap, server, out, before)
        for name in os.listdir(out):
            if name.endswith(".incr.aof"):
                os.unlink(os.path.join(out, name))
        status, said = tool("import", out, server.device, "other")
        tap.ok(status == 1 and "No such file" in said, "files that are missing: refused", [said])
        status, said = tool("import", server.dir, server.device, "other")
        tap.ok(status == 1 and "there is no append-only file in it" in said, "a folder without any: refused", [said])
        status, said = tool("export", server.device, "none", out + "2")
        tap.ok(status == 1, "a log that is not there: refused", [said])


def torn(tap, server, folder, before):
    """Files that end in the middle of a transaction, from a crash of who wrote them."""
    path = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".incr.aof")][0]
    with open(path, "ab") as file:
        file.write(encode(["SET", "whole", "1"]) + encode(["MULTI"]) + encode(["SET", "half", "1"]) + b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    status, said = tool("import", "--force", folder, server.device, "aof")
    refused, text = starts(server, "--aof-load-truncated", "no", *on(server.device))
    tap.ok(status == 0 and refused == 1 and "ends in the middle of a command or transaction" in text, "aof-load-truncated no: a torn end is refused", [said, text[-300:]])
    client = server.again()
    fine = text_of(client, "GET", "whole") == b"1" and log_has(server, "bytes are left out") and text_of(client, "EXISTS", "half") == b"0"
    client.call("SET", "half", "whole")
    written(client)
    both = digest(client)
    server.kill()
    client = server.again()
    tap.ok(fine and digest(client) == both, "yes: it is left out, and the log goes on")
    server.kill()
    out = os.path.join(server.dir, "torn")
    status, said = tool("export", server.device, "aof", out)
    tap.ok(status == 0 and theirs_with(out, both), "and redis-server reads the same", [said])


def in_step(primary, replica):
    offset = "master_repl_offset"
    return wait_until(lambda: info(replica, "master_link_status", "replication") == "up"
                      and info(replica, offset, "replication") == info(primary, offset, "replication"))


def replicated(tap):
    """Both ends write logs: what a replica takes, whole or command by command, is in its log, too."""
    with Place("--repl-diskless-sync-delay", "0", "--appendfsync", "always", tcp=True) as first, Place() as second:
        primary, replica = first.client(PATIENCE), second.client(PATIENCE)
        fill(primary, random.Random(5), 100)
        text_of(replica, "SET", "mine", "goes")
        text_of(replica, "REPLICAOF", "127.0.0.1", str(first.port))
        fine = in_step(primary, replica)
        tap.ok(fine and digest(replica) == digest(primary), "a replica with a log takes all of a primary with a log")
        primary.send(b"".join(encode(args) for args in wild_commands(6, 1000)) + encode(["DISCARD"]) + encode(["PING", "end"]))
        while primary.read().text() != b"end":
            pass
        primary.call("SELECT", "0")
        kids = [int(kid.text()) for kid in primary.call("WAITAOF", "1", "1", str(PATIENCE * 1000)).kids]
        before = digest(primary)
        tap.ok(kids == [1, 1] and in_step(primary, replica) and digest(replica) == before, "WAITAOF: the stream is in both logs", [kids])
        second.kill()
        alone = digest(second.again())  # nobody to follow: what its own log has
        tap.ok(alone == before, "the replica killed: its log has all of it", [before, alone])
        replica = second.client(PATIENCE)
        text_of(replica, "REPLICAOF", "127.0.0.1", str(first.port))
        fine = in_step(primary, replica)
        text_of(primary, "BGREWRITEAOF")
        primary.call("FLUSHALL")
        primary.call("SET", "after", "it")
        fine = fine and rewritten(primary) and primary.call("WAITAOF", "1", "1", str(PATIENCE * 1000)) is not None
        before = digest(primary)
        first.kill()
        second.kill()
        tap.ok(fine and digest(first.again()) == before == digest(second.again()), "FLUSHALL in a rewrite, both killed: both have what came after")


def main():
    parser = argparse.ArgumentParser(description="The append-only file on a log queue.")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    need_server()
    need("redis-server")
    tap = Tap()
    every_command_comes_back(tap)
    what_is_shown(tap)
    switched(tap)
    refused(tap)
    exchanged(tap)
    imported(tap)
    nearly_full(tap)
    for policy in ("always", "everysec"):
        is_full(tap, policy)
    on_a_full_disk(tap)
    replicated(tap)
    killed(tap, options.rounds, options.seed)
    tap.done()


main()
