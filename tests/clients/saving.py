#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""What is saved is there after a restart, and what cannot be saved or loaded harms nothing: SAVE, BGSAVE, save points,
SHUTDOWN, SIGTERM, loading with LOADING, a full disk, files cut short, and redis-server's own reading of ours. Seeded."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from here import OURS, REDIS, Server, Tap, digest, info, log_has, need, need_server, text_of, wait_until

from dump import fill  # noqa: E402
from generated import sequence  # noqa: E402
from one_moment import FORBIDDEN, WHOLE  # noqa: E402
from resp import encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
POINTS = ["--save", "3600 100000"]
MISCONF = b"-MISCONF Redis is configured to save RDB snapshots"


def saved(client):
    return wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0")


def path(server, name="dump.rdb"):
    return os.path.join(server.dir, name)


def leftovers(server):
    return [name for name in os.listdir(server.dir) if name.startswith("temp-")]


def restart(server, *args):
    """Ends it by SIGTERM and starts it with other arguments in the same folder; a client."""
    server.process.terminate()
    server.process.wait(PATIENCE)
    server.args = list(args)
    server.start()
    return server.client(PATIENCE)


def ends(server):
    try:
        return server.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return None


def restarts():
    with Server(OURS, POINTS) as server:
        client = server.client(PATIENCE)
        fill(client, random.Random(1), 120)
        before = digest(client)
        client = restart(server, *POINTS)
        tap.ok(digest(client) == before, "SIGTERM saves where there are save points, and the start loads")
        client.call("SET", "later", "1")
        after = digest(client)
        client.send(encode(["SHUTDOWN", "NOSAVE"]))
        tap.ok(ends(server) == 0, "SHUTDOWN NOSAVE ends it")
        server.start()
        client = server.client(PATIENCE)
        tap.ok(digest(client) == before, "and saves nothing")
        client.call("SET", "later", "1")
        client = restart(server, "--save", "")
        tap.ok(digest(client) == after, "its save points were those of its start")
        client.call("SET", "later", "2")
        client = restart(server, "--save", "")
        tap.ok(digest(client) == after, "without save points SIGTERM saves nothing")
        client.call("SET", "later", "3")
        last = digest(client)
        client.send(encode(["SHUTDOWN", "SAVE"]))
        tap.ok(ends(server) == 0, "SHUTDOWN SAVE ends it")
        server.start()
        client = server.client(PATIENCE)
        tap.ok(digest(client) == last, "and saves")
        tap.ok(info(client, "rdb_last_load_keys_loaded") == text_of(client, "DBSIZE").decode() or int(info(client, "rdb_last_load_keys_loaded")) > 0,
               "INFO says how many keys were loaded")
        client.call("SELECT", "0")
        client.call("SET", "short", "1", "PX", "1")
        time.sleep(0.01)
        client.call("SHUTDOWN", "ABORT")
        client.call("DEBUG", "PAUSE-CRON", "1")
        server.process.send_signal(signal.SIGTERM)
        aborted = wait_until(lambda: text_of(client, "SHUTDOWN", "ABORT") == b"OK", 10) and log_has(server, "Shutdown manually aborted.")
        client.call("DEBUG", "PAUSE-CRON", "0")
        time.sleep(0.3)
        tap.ok(aborted and server.alive(), "SHUTDOWN ABORT takes a SIGTERM back that was not obeyed yet")
        tap.ok(text_of(client, "SHUTDOWN", "SAVE", "NOSAVE") == b"ERR syntax error" and text_of(client, "SHUTDOWN", "ABORT", "NOW") == b"ERR syntax error"
               and text_of(client, "SHUTDOWN", "ABORT") == b"ERR No shutdown in progress.", "SHUTDOWN's words are looked at")


def of_one_moment(seed):
    """DEBUG DIGEST, BGSAVE and then commands of every kind on the same connection: the file has what the digest is of."""
    rng = random.Random(seed)
    wild = [args for _, args in sequence(seed, 3000)
            if args[0].upper() not in FORBIDDEN and not args[0].upper().startswith((b"B", b"P", b"S")) and b"BLOCK" not in args]
    with Server(OURS) as server:
        client, watcher = server.client(PATIENCE), server.client(PATIENCE) # the first may be inside of MULTI
        for db in range(3):
            client.call("SELECT", str(db))
            client.call("DEBUG", "POPULATE", "60000", "key", str(rng.randrange(10, 60)))
        fill(client, rng, 200)
        client.call("SET", "large", rng.randbytes(3 << 20))
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
        before, begun, bursts = client.read().text(), client.read().text(), 0
        client.call("APPEND", "large", "changed")
        while info(watcher, "rdb_bgsave_in_progress") == "1":
            burst = [rng.choice((["SET", "key:%d" % rng.randrange(60000), "x"], ["DEL", "key:%d" % rng.randrange(60000)])) for _ in range(100)]
            burst += rng.sample(wild, 30) + ([rng.choice(WHOLE)] if rng.randrange(3) == 0 else [])
            client.send(b"".join(encode(args) for args in burst))
            for _ in burst:
                client.read()
            bursts += 1
        good = info(watcher, "rdb_last_bgsave_status") == "ok"
        with Server(OURS) as other:
            shutil.copy(path(server), path(other))
            fresh = restart(other)
            got = digest(fresh)
        fine = good and bursts > 0 and got == before
        tap.ok(fine, "seed %d: BGSAVE's file is of its moment, whatever was written meanwhile" % seed, [begun, bursts, before, got] if not fine else [])


def one_at_a_time():
    with Server(OURS) as server:
        client = server.client(PATIENCE)
        client.call("DEBUG", "POPULATE", "1000")
        client.call("SAVE")
        with open(path(server), "rb") as file:
            old = file.read()
        client.call("CONFIG", "SET", "rdb-key-save-delay", "1000000")
        tap.ok(text_of(client, "BGSAVE") == b"Background saving started" and info(client, "rdb_bgsave_in_progress") == "1", "BGSAVE begins")
        busy = b"ERR Background save already in progress"
        tap.ok(text_of(client, "BGSAVE") == busy and text_of(client, "SAVE") == busy and text_of(client, "BGSAVE", "SCHEDULE") == busy, "one at a time")
        tap.ok(int(info(client, "current_save_keys_total")) == 1000, "INFO shows what there is to do")
        with open(path(server), "rb") as file:
            tap.ok(file.read() == old, "the old file is there until the new one is whole")
        client.call("FLUSHALL")
        tap.ok(info(client, "rdb_bgsave_in_progress") == "0" and wait_until(lambda: not leftovers(server), 10), "FLUSHALL ends it, and nothing is left")
        tap.ok(info(client, "rdb_last_bgsave_status") == "ok", "which is no failure")
        client.call("CONFIG", "SET", "save", "3600 1000000")
        client.call("SET", "k", "v")
        client.call("FLUSHALL")
        tap.ok(info(client, "rdb_changes_since_last_save") == "0", "with save points FLUSHALL saves that there is nothing")
        client.call("DEBUG", "POPULATE", "1000")
        client.call("BGSAVE")
        client.call("SHUTDOWN", "NOSAVE") if False else client.send(encode(["SHUTDOWN", "NOSAVE"]))
        tap.ok(ends(server) == 0 and not leftovers(server), "a shutdown in the middle leaves nothing either")
        server.start()
        client = server.client(PATIENCE)
        tap.ok(text_of(client, "DBSIZE") == b"0", "and the file is that of FLUSHALL")
        client.send(b"".join(encode(w) for w in (["MULTI"], ["SET", "a", "1"], ["BGSAVE"], ["SET", "b", "1"], ["EXEC"])))
        replies = [client.read() for _ in range(5)]
        tap.ok(replies[-1].kids[1].text() == b"Background saving scheduled", "inside of a transaction it is put off")
        tap.ok(wait_until(lambda: info(client, "rdb_saves") == "1") and saved(client), "until a moment later")
        before = digest(client)
        client = restart(server, "--save", "")
        tap.ok(digest(client) == before, "so that all of the transaction is in it")


def points():
    with Server(OURS, ["--save", "1 2"]) as server:
        client = server.client(PATIENCE)
        began = int(text_of(client, "LASTSAVE"))
        client.call("SET", "a", "1")
        time.sleep(2.5)
        tap.ok(not os.path.exists(path(server)), "one change is not two")
        client.call("SET", "b", "1")
        tap.ok(wait_until(lambda: os.path.exists(path(server)), 10) and saved(client), "a save point is kept")
        tap.ok(info(client, "rdb_changes_since_last_save") == "0" and int(text_of(client, "LASTSAVE")) > began, "and counted from")
        tap.ok(log_has(server, "2 changes in 1 seconds. Saving..."), "the log says which")


def full_disk():
    """A file system of one megabyte."""
    folder = tempfile.mkdtemp(prefix="demikv-full-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        tap.skip("a full disk", "no right to mount a file system here")
        return
    try:
        with Server(OURS, ["--save", "3600 1000000", "--dir", folder]) as server:
            client = server.client(PATIENCE)
            client.call("SET", "small", "1")
            tap.ok(text_of(client, "SAVE") == b"OK", "there is room")
            with open(os.path.join(folder, "dump.rdb"), "rb") as file:
                old = file.read()
            client.call("SET", "large", random.Random(1).randbytes(2 << 20))
            client.call("BGSAVE")
            saved(client)
            tap.ok(info(client, "rdb_last_bgsave_status") == "err", "there is not: the save fails")
            for words in (("SET", "k", "v"), ("PING",), ("DEL", "large"), ("MSET", "a", "1")):
                reply = client.call(*words)
                tap.ok(reply.head.startswith(MISCONF), " ".join(words) + " is refused", [reply.head])
            client.call("MULTI")
            client.call("GET", "small")
            tap.ok(client.call("EXEC").kids[0].text() == b"1" and text_of(client, "GET", "small") == b"1", "reading is not")
            with open(os.path.join(folder, "dump.rdb"), "rb") as file:
                tap.ok(file.read() == old, "the file that was there is there")
            tap.ok(os.listdir(folder) == ["dump.rdb"], "no temporary file stays", [os.listdir(folder)])
            tap.ok(text_of(client, "SHUTDOWN") == b"ERR Errors trying to SHUTDOWN. Check logs.", "SHUTDOWN does not lose the data")
            server.process.terminate()
            time.sleep(0.5)
            tap.ok(server.alive() and text_of(client, "GET", "small") == b"1", "nor does SIGTERM")
            client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
            tap.ok(text_of(client, "SET", "k", "v") == b"OK", "stop-writes-on-bgsave-error no")
            client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
            tap.ok(client.call("SET", "k", "v").head.startswith(MISCONF), "and yes again")
            subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)
            client.call("BGSAVE")
            saved(client)
            tap.ok(text_of(client, "SET", "k", "v") == b"OK" and info(client, "rdb_last_bgsave_status") == "ok", "with room again all is well")
            client.send(encode(["SHUTDOWN"]))
            tap.ok(ends(server) == 0, "and it can go")
    finally:
        subprocess.run(["umount", folder])
        shutil.rmtree(folder, ignore_errors=True)


def loading():
    with Server(OURS) as server:
        client = server.client(PATIENCE)
        client.call("DEBUG", "POPULATE", "100000")
        client.call("SET", "k", "v")
        before = digest(client)
        client.call("SAVE")
        server.process.terminate()
        ends(server)
        with open(path(server), "rb") as file:
            whole = file.read()
        slow = ["--save", "3600 1", "--key-load-delay", "1000", "--enable-protected-configs", "yes"]
        server.process = popen(server, *slow)
        wait_until(lambda: os.path.exists(server.path))
        client = server.client(PATIENCE)
        tap.ok(text_of(client, "GET", "k") == b"LOADING Redis is loading the dataset in memory", "LOADING is the answer while the data are loaded")
        tap.ok(text_of(client, "FLUSHALL").startswith(b"LOADING") and text_of(client, "SAVE").startswith(b"LOADING") and text_of(client, "PING").startswith(b"LOADING"),
               "to whatever needs them")
        tap.ok(info(client, "loading") == "1" and int(info(client, "loading_total_bytes")) == len(whole), "INFO is answered, and shows it")
        client.call("MULTI")
        client.call("INFO")
        tap.ok(client.call("EXEC").kids, "EXEC of what may run may run")
        tap.ok(all(text_of(client, "CONFIG", "SET", *words).startswith(b"LOADING") for words in (("dir", "/nosuch"), ("appendonly", "yes"), ("hz", "11", "dir", "/")))
               and client.call("CONFIG", "GET", "hz").kids[1].text() != b"11", "and to options that are not to change then")
        client.call("CONFIG", "SET", "key-load-delay", "0")
        tap.ok(wait_until(lambda: info(client, "loading") == "0") and text_of(client, "GET", "k") == b"v" , "it ends")
        tap.ok(log_has(server, "Done loading RDB, keys loaded: 100001"), "the log says how")
        server.process.terminate()
        ends(server)
        server.process = popen(server, *slow)
        time.sleep(0.3)
        with open(path(server), "rb") as file:
            held = file.read()
        server.process.terminate()
        tap.ok(ends(server) == 0, "SIGTERM in the middle ends it")
        with open(path(server), "rb") as file:
            tap.ok(file.read() == held, "and does not save what is there in part")
        for size, claim in ((len(held) // 2, "cut short"), (len(held) - 9, "without its end"), (0, "that is empty")):
            with open(path(server), "wb") as file:
                file.write(held[:size])
            done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir], capture_output=True, text=True, timeout=PATIENCE)
            said = "Error loading the DB from disk at byte" in done.stdout and "Fatal error loading the DB, check server logs. Exiting." in done.stdout
            tap.ok(done.returncode == 1 and said and os.path.getsize(path(server)) == size, "a file %s: refused, and left alone" % claim, [] if said else [done])
        for at in (9, 40, len(held) // 3, len(held) - 4):
            wrong = bytearray(held)
            wrong[at] ^= 0x55
            with open(path(server), "wb") as file:
                file.write(wrong)
            done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir], capture_output=True, text=True, timeout=PATIENCE)
            tap.ok(done.returncode == 1, "a wrong byte at %d: refused" % at, [] if done.returncode == 1 else [done])
        os.unlink(path(server))
        os.mkdir(path(server))
        done = subprocess.run([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir], capture_output=True, text=True, timeout=PATIENCE)
        tap.ok(done.returncode == 1 and "Is a directory" in done.stdout, "a folder in its place: refused", [done.stdout[-300:]])
        del before


def interrupted():
    """A second signal, if it is SIGINT, ends a save that is to end it."""
    for first in (signal.SIGINT, signal.SIGTERM):
        with Server(OURS, ["--save", "3600 1"]) as server:
            client = server.client(PATIENCE)
            client.call("MSET", "a", "1", "b", "2")
            client.call("CONFIG", "SET", "rdb-key-save-delay", "60000000")
            server.process.send_signal(first)
            temporary = os.path.join(server.dir, "temp-%d.rdb" % server.pid)
            wait_until(lambda: os.path.exists(temporary))
            server.process.send_signal(signal.SIGINT)
            tap.ok(ends(server) == 1 and not os.path.exists(temporary), "SIGINT behind %s ends it at once, and nothing is left" % first.name)


def popen(server, *args):
    with open(server.log, "ab") as log:
        return subprocess.Popen([OURS, "--port", "0", "--unixsocket", server.path, "--dir", server.dir] + list(args), cwd=server.dir, stdout=log, stderr=log)


def loaded_in_a_moment():
    """As with redis-server nobody is told LOADING where there is little to load: who connects waits."""
    with Server(OURS) as server:
        client = server.client(PATIENCE)
        for i in range(5):
            client.call("SET", "k%d" % i, "v")
        client.call("SAVE")
        server.process.terminate()
        ends(server)
        server.process = popen(server, "--save", "", "--key-load-delay", "10000")
        wait_until(lambda: os.path.exists(server.path))
        reply = text_of(server.client(PATIENCE), "GET", "k4")
        with open(server.log) as file:
            took = float(file.read().split("DB loaded from disk: ")[-1].split()[0])
        tap.ok(took >= 0.05 and (reply == b"v" or took > 1), "who connects while little is loaded waits and is not told LOADING", [reply, took])


def more_than_maxmemory():
    """What a server with more memory has saved or logged is loaded whole; what maxmemory says is said afterwards."""
    for log in ("no", "yes"):
        with Server(OURS, ["--appendonly", log] + POINTS) as server:
            client = server.client(PATIENCE)
            for i in range(200):
                client.call("SET", "k%d" % i, "x" * 50000)
            before = digest(client)
            args = ["--appendonly", log, "--maxmemory", "3mb", "--save", ""]
            client = restart(server, *args)
            refused = text_of(client, "SET", "more", "1")
            tap.ok(digest(client) == before and refused.startswith(b"OOM "), "appendonly %s: more data than maxmemory are loaded whole" % log, [refused])
            client = restart(server, *args, "--maxmemory-policy", "allkeys-lru")
            tap.ok(wait_until(lambda: 0 < int(text_of(client, "DBSIZE")) < 100), "appendonly %s: and keys leave afterwards where the policy says so" % log)


TWO = "another server saves to dump.rdb in the same folder"


def told(server, text=TWO):
    with open(server.log, errors="replace") as file:
        return file.read().count(text)


def two_on_one_file():
    """The second says so before it overwrites what the first has saved, and so does the first; nobody is kept out."""
    args = POINTS + ["--enable-protected-configs", "yes"]
    with Server(OURS, args) as first, Server(OURS, args) as other:
        client = first.client(PATIENCE)
        tap.ok(told(first) == 0 and told(other) == 0, "a folder each: nothing is said")
        second = restart(other, "--dir", first.dir, *args)
        tap.ok(told(other) == 1 and not os.path.exists(path(first)), "a second server on the file is told at its start")
        client.call("SET", "k", "first")
        client.call("BGSAVE")
        tap.ok(saved(client) and told(first) == 1, "the first when it saves")
        second.call("SAVE")
        second.call("BGSAVE")
        client.call("SAVE")
        tap.ok(saved(second) and told(first) == 1 and told(other) == 1, "once each")
        second.call("CONFIG", "SET", "dbfilename", "other.rdb")
        second.call("SAVE")
        client.call("SAVE")
        tap.ok(os.path.exists(path(first, "other.rdb")) and told(first) == 1 and told(other) == 1, "with a name each there is nothing to say")
        client.call("CONFIG", "SET", "dbfilename", "other.rdb")
        client.call("SAVE")
        said = "another server saves to other.rdb in the same folder"
        tap.ok(told(first, said) == 1 and told(other, said) == 0, "until one takes the other's")
        client.call("CONFIG", "SET", "dir", other.dir)
        client.call("SAVE")
        second.call("SAVE")
        tap.ok(told(first, said) == 1 and told(other, said) == 0, "and not in another folder")
        client.call("CONFIG", "SET", "dir", first.dir)
        first.process.kill()
        first.process.wait()
        second.call("SAVE")
        tap.ok(told(other, said) == 0, "who has died saves no more")
        pure = restart(first, "--dbfilename", "other.rdb")
        tap.ok(told(first, said) == 1, "without save points nothing is said at the start")
        pure.call("SAVE")
        tap.ok(told(first, said) == 2, "but by SAVE")


def what_a_crash_has_left():
    gone, dead = ["temp-99999999.rdb", "temp-4711-3.rdb"], ["temp-.rdb", "temp-1.rdb.old", "temp-12x.rdb", "temp-5-1-2.rdb", "xtemp-5-1.rdb", "temp--5.rdb"]
    with Server(OURS) as server, Server(OURS, ["--dir", server.dir, "--dbfilename", "other.rdb"]) as other:
        for name in gone + dead + ["temp-%d.rdb" % os.getpid()]:
            with open(path(server, name), "w") as file:
                file.write("x")
        restart(server)
        tap.ok(all(os.path.exists(path(server, name)) for name in gone), "beside another server temporary files are left alone: they may be its own")
        other.process.kill()
        other.process.wait()
        restart(server)
        stay = [name for name in gone if os.path.exists(path(server, name))]
        tap.ok(not stay and log_has(server, "Removed temp-4711-3.rdb"), "what saves have left that a crash ended is removed by a start", stay)
        lost = [name for name in dead + ["temp-%d.rdb" % os.getpid()] if not os.path.exists(path(server, name))]
        tap.ok(not lost, "and nothing else, nor that of a process that is there", lost)


def for_redis_server():
    """rdb-version 10 is what Debian's 7.0 reads, and its checker has nothing to say against either."""
    check = need("redis-check-rdb")
    for version in ("10", "11"):
        with Server(OURS, ["--rdb-version", version]) as server:
            client = server.client(PATIENCE)
            fill(client, random.Random(7), 150)
            client.call("SADD", "packed", "a", "17", "-3", "b" * 50)
            client.call("SAVE")
            before = digest(client)
            payload = text_of(client, "DUMP", "packed")
            tap.ok(payload[-10:-8] == bytes([int(version), 0]) and payload[0] == (2 if version == "10" else 20), "version %s: DUMP has it, too" % version)
            if version == "11":
                continue
            done = subprocess.run([check, path(server)], capture_output=True, text=True, timeout=PATIENCE)
            tap.ok(done.returncode == 0 and "Checksum OK" in done.stdout, "redis-check-rdb passes it", [] if done.returncode == 0 else [done.stdout])
            with Server(REDIS) as theirs:
                shutil.copy(path(server), path(theirs))
                fresh = restart(theirs)
                tap.ok(digest(fresh) == before, "redis-server starts with it and has the same data")


restarts()
for number in ([int(s) for s in sys.argv[1:]] or [1, 2, 3]):
    of_one_moment(number)
one_at_a_time()
points()
full_disk()
interrupted()
loading()
loaded_in_a_moment()
more_than_maxmemory()
two_on_one_file()
what_a_crash_has_left()
for_redis_server()
tap.done()
