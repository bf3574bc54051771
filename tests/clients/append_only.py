#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Append-only files: what was acknowledged is there after SIGKILL, whatever happened meanwhile; files in Redis's layout,
both ways; logs that end early, and logs that are wrong; a disk that is full; rewrites that are interrupted. Seeded."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from here import OURS, REDIS, Server, Tap, digest, info, log_has, need_server, text_of, wait_until

import dump  # noqa: E402
from dump import fill  # noqa: E402
from generated import sequence  # noqa: E402
from one_moment import FORBIDDEN, WHOLE  # noqa: E402
from sync import attach  # noqa: E402
from resp import Closed, Silent, encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
FAULTS = range(1, 25) if os.environ.get("FAULTS") == "all" else (1, 2, 3, 5)  # which call of its kind (of one thread) fails
dump.SCORES = [score for score in dump.SCORES if score != "-0"]  # a listpack, which a sorted set made by commands begins as, holds 0
ON = ["--appendonly", "yes"]
ALWAYS = ON + ["--appendfsync", "always"]


def folder(server):
    return os.path.join(server.dir, "appendonlydir")


def files(server):
    return sorted(os.listdir(folder(server)))


def last_incr(server):
    return os.path.join(folder(server), [name for name in files(server) if ".incr." in name][-1])


def kill(server):
    server.process.kill()
    server.process.wait()


def restart(server, args=None):
    if args is not None:
        server.args = list(args)
    server.start()
    return server.client(PATIENCE)


def rewritten(client):
    return wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0" and info(client, "aof_rewrite_scheduled") == "0")


def number(client, key):
    """A counter; 0: it is not there."""
    return max(0, int(text_of(client, "GET", key)))


def first_file(server):
    with open(os.path.join(folder(server), "appendonly.aof.manifest")) as file:
        return file.read()


def wild_commands(seed, count):
    return [args for _, args in sequence(seed, count)
            if args[0].upper() not in FORBIDDEN and not args[0].upper().startswith((b"B", b"P", b"S")) and b"BLOCK" not in args]


def every_command_comes_back():
    for seed, more in ((1, ["--aof-use-rdb-preamble", "yes"]), (2, ["--aof-use-rdb-preamble", "no"])):
        with Server(OURS, ON + more) as server:
            client = server.client(PATIENCE)
            fill(client, random.Random(seed), 100)
            client.call("BGREWRITEAOF")
            fine = rewritten(client)
            client.send(b"".join(encode(args) for args in wild_commands(seed, 3000)) + encode(["DISCARD"]) + encode(["PING", "end"]))
            while client.read().text() != b"end":
                pass
            client.call("SELECT", "3")
            client.call("SET", "expires", "1", "PX", "100000")
            before = digest(client)
            time.sleep(0.3)
            kill(server)
            after = digest(restart(server))
            tap.ok(fine and after == before, "thousands of commands, a rewrite, SIGKILL: the data are there (%s)" % " ".join(more), [] if after == before else [before, after])
            client = server.client(PATIENCE)
            loaded = text_of(client, "DEBUG", "LOADAOF")
            tap.ok(loaded == b"OK" and digest(client) == before, "DEBUG LOADAOF says the same", [loaded])


class Acknowledged(threading.Thread):
    """Counts up one key, and a transaction's two, and remembers what was answered."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.client, self.number, self.single, self.pair = server.client(PATIENCE), number, 0, 0

    def run(self):
        try:
            while True:
                self.single = int(self.client.call("INCR", "single:%d" % self.number).text())
                self.client.call("MULTI")
                self.client.call("INCR", "left:%d" % self.number)
                self.client.call("APPEND", "noise:%d" % self.number, "x" * 100)
                self.client.call("INCR", "right:%d" % self.number)
                self.pair = int(self.client.call("EXEC").kids[0].text())
        except (OSError, Closed, Silent, ValueError, IndexError):
            pass


def killed_while_writing(rounds, seed):
    """The promise of `always`, round after round on the same files."""
    rng = random.Random(seed)
    lost, halves, starts = [], [], 0
    with Server(OURS, ALWAYS) as server:
        want = {}
        for one in range(rounds):
            writers = [Acknowledged(server, n) for n in range(8)]
            for writer in writers:
                writer.start()
            client = server.client(PATIENCE)
            if one % 2:
                client.call("BGREWRITEAOF")
            time.sleep(rng.random() * 0.2)
            kill(server)
            for writer in writers:
                writer.join(PATIENCE)
                want["single:%d" % writer.number] = max(writer.single, want.get("single:%d" % writer.number, 0))
                want["left:%d" % writer.number] = max(writer.pair, want.get("left:%d" % writer.number, 0))
            client = restart(server)
            starts += 1
            for key, least in want.items():
                got = number(client, key)
                if got < least:
                    lost.append("%s: %d of %d" % (key, got, least))
            for n in range(8):
                left, right = (number(client, "%s:%d" % (side, n)) for side in ("left", "right"))
                if left != right:
                    halves.append("%d: %d and %d" % (n, left, right))
    tap.ok(not lost and starts == rounds, "always: %d times SIGKILL, and nothing acknowledged is lost" % rounds, lost[:5])
    tap.ok(not halves, "and no transaction is there in half", halves[:5])


def replies_leave_at_once():
    """When a sync has ended its replies go out, and not with what wakes the loop next: here that comes once a second."""
    with Server(OURS, ALWAYS + ["--hz", "1"]) as server:
        client = server.client(PATIENCE)
        end = time.monotonic() + PATIENCE
        answered = 0
        while answered < 2 * PATIENCE and time.monotonic() < end:
            client.call("SET", "key", str(answered))
            answered += 1
        tap.ok(answered == 2 * PATIENCE, "always: a reply leaves when its sync has ended", [answered])


def one_sync_for_many():
    """Who comes while a write lasts is in the next one together."""
    with Server(OURS, ALWAYS) as server:
        clients = [server.client(PATIENCE) for _ in range(20)]
        clients[0].call("DEBUG", "AOF-FLUSH-SLEEP", "20000")
        before = int(info(clients[0], "demi_disk_syncs", "demikernel"))
        for step in range(10):
            for client in clients:
                client.send(encode(["SET", "key", str(step)]))
            for client in clients:
                client.read()
        syncs = int(info(clients[0], "demi_disk_syncs", "demikernel")) - before
        tap.ok(10 <= syncs <= 100, "always: one sync for many clients", [syncs])


def syncs_that_are_left_out():
    """no-appendfsync-on-rewrite: while a file is written nothing is synced, nobody waits for it, and the log says so."""
    for policy in ("always", "everysec"):
        with Server(OURS, ON + ["--appendfsync", policy, "--no-appendfsync-on-rewrite", "yes"]) as server:
            client = server.client(PATIENCE)
            client.call("DEBUG", "POPULATE", "100")
            client.call("CONFIG", "SET", "rdb-key-save-delay", "10000000")
            client.call("BGSAVE")
            answered = text_of(client, "SET", "key", "1")
            said = wait_until(lambda: log_has(server, "(no-appendfsync-on-rewrite)"))
            unsynced = wait_until(lambda: info(client, "aof_pending_bio_fsync") == "1")  # when it is written
            saves = info(client, "rdb_bgsave_in_progress")
            client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
            client.call("FLUSHALL")  # gives the save up
            synced = wait_until(lambda: info(client, "aof_pending_bio_fsync") == "0")
            tap.ok((answered, said, saves, unsynced, synced) == (b"OK", True, "1", True, True),
                   "%s: a sync that is left out holds nobody up, is logged, and is made up for" % policy, [answered, said, saves, unsynced, synced])


def layouts_cross():
    """Files of redis-server 7.0 load here, ours load there."""
    with Server(REDIS, ON) as theirs:
        client = theirs.client(PATIENCE)
        fill(client, random.Random(3), 60)
        client.call("BGREWRITEAOF")
        rewritten(client)
        client.call("SELECT", "0")
        client.call("SET", "behind", "it")
        client.call("MULTI")
        client.call("SET", "in", "one")
        client.call("EXPIRE", "in", "10000")
        client.call("EXEC")
        before = digest(client)
        time.sleep(0.2)
        kill(theirs)
        with Server(OURS) as ours:
            shutil.copytree(folder(theirs), folder(ours))
            ours.process.terminate()
            ours.process.wait()
            fresh = restart(ours, ON)
            tap.ok(digest(fresh) == before, "redis-server's files are loaded")
            fresh.call("SET", "ours", "too")
            both = digest(fresh)
            time.sleep(0.2)
            kill(ours)
            shutil.rmtree(folder(theirs))
            shutil.copytree(folder(ours), folder(theirs))
            tap.ok(digest(restart(theirs)) == both, "go on here, and are loaded there again")
    for preamble in ("yes", "no"):
        with Server(OURS, ON + ["--rdb-version", "10", "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes"]) as ours:
            client = ours.client(PATIENCE)
            fill(client, random.Random(4), 60)
            client.call("BGREWRITEAOF")
            rewritten(client)
            fill(client, random.Random(5), 30)
            before = digest(client)
            ours.process.terminate()
            ours.process.wait()
            check = subprocess.run(["redis-check-aof", os.path.join(folder(ours), "appendonly.aof.manifest")], capture_output=True, text=True)
            tap.ok(check.returncode == 0, "redis-check-aof passes ours, preamble " + preamble, [] if check.returncode == 0 else [check.stdout[-500:]])
            with Server(REDIS, []) as theirs:
                theirs.process.terminate()
                theirs.process.wait()
                shutil.copytree(folder(ours), folder(theirs))
                tap.ok(digest(restart(theirs, ON)) == before, "and redis-server loads it, preamble " + preamble)


def old_layout():
    """A log of Redis 6: one file, with or without RDB in front."""
    with Server(OURS, ON + ["--rdb-version", "10"]) as server:
        client = server.client(PATIENCE)
        fill(client, random.Random(6), 30)
        client.call("BGREWRITEAOF")
        rewritten(client)
        client.call("SELECT", "0")
        client.call("SET", "tail", "1")
        before = digest(client)
        server.process.terminate()
        server.process.wait()
        parts = [os.path.join(folder(server), name) for name in files(server) if name.endswith((".rdb", ".aof"))]
        with open(os.path.join(server.dir, "appendonly.aof"), "wb") as out:
            for part in sorted(parts):
                with open(part, "rb") as file:
                    out.write(file.read())
        shutil.rmtree(folder(server))
        client = restart(server)
        tap.ok(digest(client) == before and log_has(server, "Successfully migrated an old-style AOF file"), "a log of one file with RDB in front is taken over")
        tap.ok(not os.path.exists(os.path.join(server.dir, "appendonly.aof")) and "appendonly.aof seq 1 type b" in first_file(server), "into the folder")
        client.call("SET", "more", "1")
        before = digest(client)
        server.process.terminate()
        server.process.wait()
        tap.ok(digest(restart(server)) == before, "and goes on there")


def starts(server, args=()):
    """Exit status and output of a start that is to fail."""
    done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir, "--save", ""] + ON + list(args),
                          capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout


def ends_early():
    with Server(OURS, ON) as server:
        client = server.client(PATIENCE)
        for i in range(20):
            client.call("SET", "k%d" % i, "v" * i)
        server.process.terminate()
        server.process.wait()
        path = last_incr(server)
        with open(path, "rb") as file:
            whole = file.read()
        good = []
        for cut in range(1, 60, 7):
            with open(path, "wb") as file:
                file.write(whole[:-cut])
            client = restart(server)
            good.append(int(text_of(client, "DBSIZE")) in (18, 19) and os.path.getsize(path) < len(whole) - cut + 1 and os.path.getsize(path) > 0)
            kill(server)
        tap.ok(all(good) and log_has(server, "!!! Truncating the AOF"), "a log that ends in a command is cut behind the last whole one")
        with open(path, "wb") as file:
            file.write(whole + bytes(5000))
        client = restart(server)
        tap.ok(int(text_of(client, "DBSIZE")) == 20 and os.path.getsize(path) == len(whole), "zeroes at its end are an end, too")
        kill(server)
        with open(path, "wb") as file:
            file.write(whole + b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n")
        client = restart(server)
        tap.ok(client.call("GET", "half").text() != b"1" and os.path.getsize(path) == len(whole), "a transaction without EXEC is none")
        kill(server)
        for tail, what in ((b"\r\nGARBAGE", "foreign bytes"), (b"*0\r\n", "a command of no words"), (b"*1\r\n$6\r\nNOSUCH\r\n", "an unknown command"),
                           (b"*2\r\n$3\r\nGET\r\n", "a word too few"), (b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "a command that works on a connection")):
            with open(path, "wb") as file:
                file.write(whole + tail)
            status, output = starts(server, ["--aof-load-truncated", "no"])
            with open(path, "rb") as file:
                same = file.read() == whole + tail
            said = "offset %d" % len(whole) in output or "reading the append only file" in output
            tap.ok(status == 1 and said and same, "%s: refused, and left alone" % what, [] if said and status == 1 else [output[-600:]])
        with open(path, "wb") as file:
            file.write(whole[:-3])
        status, output = starts(server, ["--aof-load-truncated", "no"])
        tap.ok(status == 1 and "Unexpected end of file" in output and os.path.getsize(path) == len(whole) - 3, "aof-load-truncated no: the start is refused")
        with open(path, "wb") as file:
            file.write(whole)
        manifest = os.path.join(folder(server), "appendonly.aof.manifest")
        with open(manifest, "rb") as file:
            right = file.read()
        for text in (b"", b"file x seq 1\n", b"file ../x seq 1 type b\n", right + right, b"x" * 5000):
            with open(manifest, "wb") as file:
                file.write(text)
            status, output = starts(server)
            tap.ok(status == 1 and "FATAL AOF MANIFEST FILE ERROR" in output, "a wrong manifest: refused", [] if status == 1 else [text, output[-300:]])
        with open(manifest, "wb") as file:
            file.write(right)
        os.rename(path, path + ".away")
        status, output = starts(server)
        tap.ok(status == 1 and "doesn't exist" in output, "a file that the manifest names and that is not there: refused")


def switched():
    with Server(OURS) as server:
        client = server.client(PATIENCE)
        client.call("DEBUG", "POPULATE", "20000")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "20")
        tap.ok(text_of(client, "CONFIG", "SET", "appendonly", "yes") == b"OK" and info(client, "aof_enabled") == "1", "appendonly yes at run time")
        for i in range(500):
            client.call("SET", "meanwhile:%d" % i, "1")
        tap.ok(rewritten(client) and info(client, "aof_last_bgrewrite_status") == "ok", "its first base is written in the background")
        before = digest(client)
        time.sleep(0.2)
        kill(server)
        client = restart(server, ON)
        tap.ok(digest(client) == before, "and what was written meanwhile is there")
        tap.ok(text_of(client, "CONFIG", "SET", "appendonly", "no") == b"OK" and info(client, "aof_enabled") == "0", "appendonly no")
        client.call("SET", "unlogged", "1")
        kill(server)
        client = restart(server, ON)
        tap.ok(client.call("GET", "unlogged").text() != b"1", "what comes after that is in no log")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "100000")
        client.call("BGREWRITEAOF")
        wait_until(lambda: len([n for n in files(server) if ".incr." in n]) == 2)
        client.call("SET", "in the second", "1")
        tap.ok(text_of(client, "BGREWRITEAOF").startswith(b"ERR Background append only file rewriting already"), "one rewrite at a time")
        tap.ok(text_of(client, "BGSAVE").startswith(b"ERR Another child process is active (AOF?)"), "and no save beside it")
        time.sleep(0.2)
        before = digest(client)
        kill(server)
        client = restart(server)
        tap.ok(digest(client) == before and len([n for n in files(server) if ".incr." in n]) == 2, "killed in a rewrite: both increments are read")
        client.call("BGREWRITEAOF")
        rewritten(client)
        tap.ok(len(files(server)) == 3 and digest(client) == before, "the next one cleans up", [files(server)])
        client.call("CONFIG", "SET", "auto-aof-rewrite-min-size", "1000", "auto-aof-rewrite-percentage", "50")
        for _ in range(300):
            client.call("SET", "the same", "x" * 2000)
        tap.ok(wait_until(lambda: int(info(client, "aof_rewrites")) >= 2, 20), "growth starts a rewrite")
        server.process.terminate()
        tap.ok(server.process.wait(PATIENCE) == 0, "and SIGTERM ends it")


def history_is_kept():
    with Server(OURS, ON) as server:
        client = server.client(PATIENCE)
        client.call("CONFIG", "SET", "aof-disable-auto-gc", "yes")
        for _ in range(2):
            client.call("BGREWRITEAOF")
            rewritten(client)
        kept = files(server)
        client.call("CONFIG", "SET", "aof-disable-auto-gc", "no")
        tap.ok(len(kept) == 7 and len(files(server)) == 3 and " h" not in first_file(server), "aof-disable-auto-gc keeps the old files until it is off", [kept, files(server)])


def first_log():
    """A start with the log on for the first time does not load what was saved; it says so."""
    text = "WARNING: there is no append-only file yet, and with 'appendonly yes' dump.rdb is not loaded"
    with Server(OURS, ["--save", "3600 1"]) as server:
        server.client(PATIENCE).call("SET", "k", "v")
        server.process.terminate()
        server.process.wait(PATIENCE)
        client = restart(server, ON)
        tap.ok(text_of(client, "DBSIZE") == b"0" and log_has(server, text), "appendonly yes beside a dump and without a log: no data, and a warning")
        kill(server)
        restart(server, ON)
        with open(server.log) as file:
            tap.ok(file.read().count(text) == 1, "once there is a log it is not said any more")


def full_disk(policy):
    place = tempfile.mkdtemp(prefix="demikv-full-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], stderr=subprocess.DEVNULL).returncode != 0:
        tap.skip("a full disk, " + policy, "no right to mount a file system here")
        return
    try:
        with Server(OURS, ON + ["--appendfsync", policy, "--dir", place]) as server:
            client = server.client(PATIENCE)
            count = 0
            try:
                while count < 5000:
                    reply = client.call("SET", "k%d" % count, "v" * 1000)
                    if reply.is_error():
                        break
                    count += 1
                refused = reply.text()
            except (Closed, OSError):
                refused = b"gone"
            if policy == "always":
                tap.ok(refused == b"gone" and server.process.wait(PATIENCE) == 1, "always on a full disk: the server ends before it answers", [refused])
            else:
                wait_until(lambda: info(client, "aof_last_write_status") == "err")
                refused = text_of(client, "SET", "one", "more")
                tap.ok(refused.startswith(b"MISCONF Errors writing to the AOF file: No space left"), "everysec on a full disk: writes are refused", [refused])
                tap.ok(text_of(client, "GET", "k0") == b"v" * 1000, "reading is not")
                tap.ok(text_of(client, "SHUTDOWN").startswith(b"ERR Errors trying to SHUTDOWN"), "SHUTDOWN does not lose what was acknowledged")
                before = digest(client)
            subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
            if policy == "always":
                client = restart(server)
                missing = [i for i in range(count) if client.call("EXISTS", "k%d" % i).text() != b"1"]
                tap.ok(not missing, "and everything it had answered is there", missing[:5])
            else:
                fine = wait_until(lambda: not client.call("SET", "one", "more").is_error(), 10)
                client.call("DEL", "one")
                tap.ok(fine and info(client, "aof_last_write_status") == "ok", "with room again all is well")
                time.sleep(0.3)
                kill(server)
                tap.ok(digest(restart(server)) == before, "and the log is whole")
    finally:
        subprocess.run(["umount", place])
        shutil.rmtree(place, ignore_errors=True)


def two_on_one_folder():
    """The second is refused before it touches anything."""
    with Server(OURS, ON) as server:
        client = server.client(PATIENCE)
        client.call("SET", "k", "v")
        time.sleep(0.2)
        with open(last_incr(server), "ab") as file:
            file.write(b"*1\r\n$4")  # the second would cut it
        size = os.path.getsize(last_incr(server))
        done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path + "2", "--dir", server.dir, "--save", ""] + ON, capture_output=True,
                              text=True, timeout=PATIENCE)
        said = "is in use by another process" in done.stdout.splitlines()[-1]
        tap.ok(done.returncode == 1 and said and os.path.getsize(last_incr(server)) == size, "a second server on the folder is refused", [done.stdout[-300:]])
        with Server(OURS, ["--dir", server.dir]) as other:
            reply = text_of(other.client(PATIENCE), "CONFIG", "SET", "appendonly", "yes")
            wait_until(lambda: log_has(other, "is in use by another process"), 10)
            tap.ok(reply == b"OK" and log_has(other, "is in use by another process"), "nor can a running one turn to it", [reply])
            other.process.kill()
            other.process.wait()
        kill(server)
        tap.ok(text_of(restart(server), "GET", "k") == b"v", "whoever dies leaves it to the next")


def two_names_in_one_folder():
    """As redis-server has it: each has its own files, and the temporary ones are not the other's."""
    with Server(OURS, ON) as server, Server(OURS, ON + ["--dir", server.dir, "--appendfilename", "other.aof"]) as other:
        clients, before = [server.client(PATIENCE), other.client(PATIENCE)], []
        for i, client in enumerate(clients):
            fill(client, random.Random(20 + i), 40)
            client.call("CONFIG", "SET", "rdb-key-save-delay", "500")
            client.call("BGREWRITEAOF")
        fine = [rewritten(client) and info(client, "aof_last_bgrewrite_status") == "ok" for client in clients]
        for one, client in zip((server, other), clients):
            client.call("SET", "mine", one.path)
            before.append(digest(client))
            wait_until(lambda: info(client, "aof_buffer_length") == "0")
            kill(one)
        after = [digest(restart(one)) for one in (server, other)]
        tap.ok(all(fine) and before == after, "two logs of different names in one folder, rewritten at the same time", [fine, before, after])


def beside_a_replica():
    """The stream's PINGs are not the log's, and hold nobody up."""
    with Server(OURS, ALWAYS + ["--repl-ping-replica-period", "1"]) as server:
        feed, _ = attach(server)
        client = server.client(PATIENCE)
        fine = True
        for i in range(25):
            fine = fine and text_of(client, "SET", "k%d" % i, "v") == b"OK"
            time.sleep(0.1)
        with open(last_incr(server), "rb") as file:
            log = file.read()
        tap.ok(fine and b"PING" not in log and b"k24" in log, "PINGs of the stream are not in the log")
        kill(server)
        feed.close()
        tap.ok(int(text_of(restart(server), "DBSIZE")) == 25, "and what was answered is")


def counted(client, key):
    """One more; what was answered, or None where it was refused."""
    reply = client.call("INCR", key)
    return None if reply.is_error() else int(reply.text())


def strace(fault):
    return ["strace", "-o", "/dev/null", "-e", "trace=" + fault.split(":")[0], "-e", "inject=" + fault]


def with_a_fault(server, fault, thread, want):
    """One call fails, of any thread from the start on or (thread) of one while a rewrite lasts; writes, rewrites once, is killed; what
    must be there afterwards."""
    server.wrap = strace(fault) + ["-D", "-f"] if thread is None else []
    try:
        server.start()
    except RuntimeError:
        return want  # it refused to start, and said so
    tracer = None
    if thread is not None:
        tasks = sorted(int(task) for task in os.listdir("/proc/%d/task" % server.pid))[1:]
        tracer = subprocess.Popen(strace(fault) + ["-P", folder(server), "-p", str(tasks[thread % len(tasks)])], stderr=subprocess.PIPE)
        tracer.stderr.readline()  # "attached"
    try:
        client = server.client(PATIENCE)
        for step in range(2):
            for _ in range(5):
                want = counted(client, "counter") or want
            if step == 0:
                client.call("BGREWRITEAOF")
                wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0", 10)
        wait_until(lambda: info(client, "aof_buffer_length") == "0" or info(client, "aof_last_write_status") == "err", 10)
    except (Closed, Silent, OSError):
        pass
    kill(server)
    if tracer:
        tracer.wait(PATIENCE)
        tracer.stderr.close()
    return want


def every_call_fails_once():
    """What was answered is there, whichever call on the files failed; and at least what was answered is."""
    if not shutil.which("strace"):
        tap.skip("each call fails once", "no strace")
        return
    with Server(OURS, ALWAYS + ["--libos-files", "threads"]) as server:
        want, wrong, rounds = 0, [], 0
        kill(server)
        server.stop = lambda: server.process.poll() is None and kill(server)  # a start that is refused keeps its files
        cases = [(call, when, None) for call in ("fsync", "fdatasync", "rename", "openat", "pwritev", "writev", "unlink", "close") for when in FAULTS]
        cases += [("fsync", when, thread) for when in (1, 2, 3) for thread in range(3)]
        for call, when, thread in cases:
            fault = "%s:error=%s:when=%d" % (call, "ENOSPC" if call.endswith("writev") else "EIO", when)
            want = with_a_fault(server, fault, thread, want)
            server.wrap = []
            try:
                client = restart(server)
            except RuntimeError as error:
                wrong.append("%s, thread %s: no start afterwards: %s" % (fault, thread, str(error)[-300:]))
                break
            rounds += 1
            got = number(client, "counter")
            if got < want:
                wrong.append("%s, thread %s: %d of %d" % (fault, thread, got, want))
            want = got
            kill(server)
        del server.stop
        tap.ok(not wrong and rounds == len(cases), "each call on a file fails once: nothing acknowledged is lost", wrong or [rounds])


def slow_calls_are_events():
    """What the disk makes last longer than latency-monitor-threshold is seen by LATENCY, under Redis's names."""
    if not shutil.which("strace"):
        tap.skip("slow calls are events", "no strace")
        return
    calls = ("writev", "fdatasync", "rename", "fstat", "newfstatat", "unlink")
    slow = [word for call in calls for word in ("-e", "inject=%s:delay_enter=20000" % call)]
    with Server(OURS, ALWAYS + ["--libos-files", "threads", "--latency-monitor-threshold", "10"]) as server:
        kill(server)
        server.wrap = ["strace", "-qq", "-o", "/dev/null", "-D", "-f", "-e", "trace=" + ",".join(calls)] + slow
        client = restart(server)

        def events():
            return {entry.kids[0].text().decode() for entry in client.call("LATENCY", "LATEST").kids}
        client.call("SET", "key", "1")
        seen = wait_until(lambda: {"aof-write", "aof-write-alone", "aof-fsync-always"} <= events(), 10)
        tap.ok(seen, "slow writes and syncs of the log are events", [events()])
        client.call("BGREWRITEAOF")
        seen = rewritten(client) and {"aof-rename", "aof-fstat"} <= events()
        tap.ok(seen, "and what a rewrite does", [events()])
        client.call("DEBUG", "POPULATE", "100")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "10000000")
        client.call("BGSAVE")
        client.call("SET", "key", "2")
        during = "aof-write-active-child" in events()
        client.call("FLUSHALL")  # gives the save up
        seen = wait_until(lambda: "rdb-unlink-temp-file" in events(), 10)
        tap.ok(seen and during, "and what is left of a save, and writes beside one", [during, events()])
        kill(server)


def one_moment(seed):
    """Random commands of all kinds while the log is rewritten: base and increment together are the data."""
    rng = random.Random(seed)
    wild = wild_commands(seed, 3000)
    with Server(OURS, ON) as server:
        client, watcher = server.client(PATIENCE), server.client(PATIENCE)
        for db in range(3):
            client.call("SELECT", str(db))
            client.call("DEBUG", "POPULATE", "40000", "key", str(rng.randrange(10, 60)))
        watcher.call("BGREWRITEAOF") # DEBUG POPULATE is in no log
        rewritten(watcher)
        bursts = 0
        for _ in range(3):
            watcher.call("BGREWRITEAOF")
            while info(watcher, "aof_rewrite_in_progress") == "1":
                burst = [["SET", "key:%d" % rng.randrange(40000), "x"] for _ in range(100)]
                burst += rng.sample(wild, 30) + ([rng.choice(WHOLE)] if rng.randrange(3) == 0 else [])
                client.send(b"".join(encode(args) for args in burst))
                for _ in burst:
                    client.read()
                bursts += 1
        client.call("DISCARD")
        before = digest(watcher)
        time.sleep(0.3)
        kill(server)
        after = digest(restart(server))
        tap.ok(bursts > 0 and before == after, "seed %d: base and increment are the data, whatever was written meanwhile" % seed, [bursts, before, after])


every_command_comes_back()
killed_while_writing(6, 1)
replies_leave_at_once()
one_sync_for_many()
syncs_that_are_left_out()
layouts_cross()
old_layout()
ends_early()
switched()
history_is_kept()
first_log()
two_on_one_folder()
two_names_in_one_folder()
beside_a_replica()
every_call_fails_once()
slow_calls_are_events()
full_disk("everysec")
full_disk("always")
for seed in ([int(s) for s in sys.argv[1:]] or [1, 2]):
    one_moment(seed)
tap.done()
