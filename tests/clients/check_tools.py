#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""demikv-check-rdb and demikv-check-aof say what redis-check-rdb and redis-check-aof say, of files of both servers: good, cut short at any byte, with bits turned,
foreign; and what is right for the tool is right for the loader. Seeded.

The other tools are Debian's, or those beside $REDIS_SERVER."""
import os
import pty
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from here import OURS, REDIS, Server, Tap, need, need_server

from dump import fill  # noqa: E402

need_server()
tap = Tap()
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
folder = tempfile.TemporaryDirectory(prefix="demikv-test-")
HERE = folder.name
PATIENCE = 60
CUTS, FLIPS, LOADS = (40, 100, 10) if len(sys.argv) > 1 else (20, 50, 5)  # a seed of its own: make soak, which has time
MEMORY_MAX = 300 << 20  # a sanitizer takes a part of that


def other_tool(name):
    beside = os.path.join(os.path.dirname(REDIS), name)
    return beside if os.access(beside, os.X_OK) else need(name)


def our_tool(name):
    """The build's link, or one of our own to the server that is tested."""
    link = os.path.join(HERE, name)
    if not os.path.lexists(link):
        os.symlink(os.path.abspath(OURS), link)
    return link


RDB, AOF = our_tool("demikv-check-rdb"), our_tool("demikv-check-aof")
THEIR_RDB, THEIR_AOF = other_tool("redis-check-rdb"), other_tool("redis-check-aof")


def run(tool, *args, answer=""):
    done = subprocess.run([tool, *args], input=answer.encode(), capture_output=True, timeout=PATIENCE, cwd=HERE)
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace"), done.stderr.decode("utf-8", "backslashreplace")


def put(name, data):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(data)
    return name


def get(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


def peak_memory(tool, *args):
    """Of a run, in bytes."""
    with open(os.devnull, "wb") as nowhere:
        child = subprocess.Popen([tool, *args], stdin=subprocess.DEVNULL, stdout=nowhere, stderr=nowhere, cwd=HERE)
        return os.wait4(child.pid, 0)[2].ru_maxrss * 1024


def check(passed, claim, *notes):
    tap.ok(passed, claim, [] if passed else notes)


def turned(data, bit):
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


# --- RDB ---------------------------------------------------------------------------------------------------------------


def rdb_of(binary, args=()):
    with Server(binary, args) as server:
        client = server.client(PATIENCE)
        fill(client, rng, 120)
        client.call("SELECT", "0")
        client.call("SET", "expired", "1", "PX", "1")
        client.call("SET", "expires", "1", "EX", "1000000")
        if binary == REDIS:
            for i in range(30):
                client.call("XADD", "stream", "%d-1" % (i + 1), "field", "%d" % i)
            client.call("XGROUP", "CREATE", "stream", "group", "5")
            client.call("XREADGROUP", "GROUP", "group", "consumer", "COUNT", "4", "STREAMS", "stream", ">")
            client.call("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
        client.call("SAVE")
        with open(os.path.join(server.dir, "dump.rdb"), "rb") as file:
            return file.read()


def facts(text):
    """What both tools must agree on where a file is broken: the step, the key, the counts, and whether it ended early. What
    Redis calls the type is left out where it has not read one."""
    step = re.search(r"While doing: (\S+)", text)
    key = re.search(r"Reading key '(.*)'", text)
    return [step and step.group(1), key and key.group(1), re.findall(r"\[info\] (\d+ [a-z ]+)", text)[-3:], "Unexpected EOF" in text]


def good_rdb(name, data):
    put(name, data)
    ours, theirs = run(RDB, name), run(THEIR_RDB, name)
    check(ours == theirs and ours[0] == 0 and "RDB looks OK" in ours[1] and "Checksum OK" in ours[1], name + ": the same output", ours, theirs)
    unsummed = put("unsummed-" + name, data[:-8] + bytes(8))
    ours, theirs = run(RDB, unsummed), run(THEIR_RDB, unsummed)
    check(ours == theirs and ours[0] == 0 and "checksum disabled" in ours[1], name + ": the same without a checksum", ours, theirs)


def cut_rdb(name, data):
    wrong = []
    for size in sorted({0, 1, 8, 9, 10, len(data) - 1, len(data) - 8} | {rng.randrange(len(data)) for _ in range(CUTS)}):
        cut = put("cut.rdb", data[:size])
        ours, theirs = run(RDB, cut), run(THEIR_RDB, cut)
        same = facts(ours[1])[:3] == facts(theirs[1])[:3] or not printable(theirs[1])  # Redis has other words for the end in streams and functions
        if ours[0] != 1 or theirs[0] != 1 or not same or "Unexpected EOF" not in ours[1] or "[offset %d]" % size not in ours[1]:
            wrong.append((size, ours, theirs))
    tap.ok(not wrong, name + ": cut short at any byte, refused with the same step, key and counts", wrong[:3])


def printable(text):
    """Redis prints a key as it is, up to a zero byte."""
    key = re.search(r"Reading key '(.*)", text)
    return not key or all(" " <= c <= "~" for c in key.group(1)) and key.group(1).endswith("'")


def turned_rdb(name, data, client, where):
    """The checksum finds every bit; without it, the tool and the loader are of one mind."""
    missed, differ, loud, seen = [], [], [], set()
    for _ in range(FLIPS):
        bit = rng.randrange(9 * 8, (len(data) - 8) * 8)
        bad = put("bad.rdb", turned(data, bit))
        status, text, _ = run(RDB, bad)
        if status != 1 or "--- RDB ERROR DETECTED ---" not in text or not re.search(r"\n\[offset \d+\] \S", text.split("DETECTED")[1]):
            missed.append((bit, status, text))
        unsummed = put("bad.rdb", turned(data, bit)[:-8] + bytes(8))
        status, text, errors = run(RDB, unsummed)
        shutil.copy(os.path.join(HERE, unsummed), where)
        loaded = client.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE").text()
        client.call("FLUSHALL")
        seen.add(status)
        if (status == 0) != (loaded == b"OK"):
            differ.append((bit, status, text[-600:], loaded))
        if errors:
            loud.append(errors)
    tap.ok(not missed, name + ": every bit that is turned is found", missed[:3])
    tap.ok(not differ and seen == {0, 1}, name + ": without a checksum, what the tool passes is what the loader takes", differ[:3])
    tap.ok(not loud, name + ": nothing goes to standard error", loud[:3])


def wrong_rdb(data):
    for name, content, says in (("empty.rdb", b"", "Unexpected EOF"), ("foreign.rdb", b"\x7fELF" + bytes(2000), "Wrong signature"),
                                ("text.rdb", b"*1\r\n$4\r\nPING\r\n", "Wrong signature"), ("future.rdb", b"REDIS9999" + data[9:], "Can't handle RDB format version 9999"),
                                ("crc.rdb", turned(data, len(data) * 8 - 3), "RDB CRC error")):
        ours, theirs = run(RDB, put(name, content)), run(THEIR_RDB, name)
        check(ours[0] == theirs[0] == 1 and says in ours[1] and says in theirs[1] and facts(ours[1]) == facts(theirs[1]), name + ": refused in the same words", ours, theirs)
    # Announced: a string of 2^60 bytes, a list of 2^60 elements, a compressed string of 2^62. None gets memory.
    for name, op in (("string", b"\x00\x01k\x81\x10" + bytes(7)), ("list", b"\x01\x01k\x81\x10" + bytes(7)), ("set", b"\x02\x01k\x81\x10" + bytes(7)),
                     ("lzf", b"\x00\x01k\xc3\x05\x81\x40" + bytes(7) + b"abcde")):
        put("huge.rdb", b"REDIS0011\xfe\x00" + op)
        (status, text, _), memory = run(RDB, "huge.rdb"), peak_memory(RDB, "huge.rdb")
        check(status == 1 and "read-object-value" in text and "Reading key 'k'" in text and memory < MEMORY_MAX,
              "a %s that announces far too much: refused, and gets no memory" % name, text, memory)
    put("empty-list.rdb", b"REDIS0009\xfe\x00\x01\x01k\x00\xff" + bytes(8))
    status, text, _ = run(RDB, "empty-list.rdb")
    check(status == 0 and "Empty key 'k'" in text, "a list without elements is named, and left out as loading does", text)
    status, text, _ = run(RDB, "nowhere.rdb")
    tap.ok(status == 1 and "No such file" in text, "a file that is not there")
    status, text, errors = run(RDB)
    tap.ok(status == 1 and not text and errors.startswith("Usage: " + RDB + " <rdb-file-name>"), "no file: usage")
    tap.ok(run(RDB, "-v") == run(RDB, "--version") and run(RDB, "-v")[0] == 0, "-v")
    os.symlink(os.path.abspath(OURS), os.path.join(HERE, "redis-check-rdb"))
    tap.ok(run(os.path.join(HERE, "redis-check-rdb"), "crc.rdb") == run(RDB, "crc.rdb"), "by the name redis-check-rdb, too")
    put("secret.rdb", b"REDIS0011\xfa\x01\x1b\x03\x00\x9bA\xff" + bytes(8))
    tap.ok("AUX FIELD \\x1b = '\\x00\\x9bA'" in run(RDB, "secret.rdb")[1], "what a terminal would obey is shown as numbers")


def check_rdb():
    theirs = rdb_of(REDIS)
    ours = rdb_of(OURS, ["--rdb-version", "10"])
    good_rdb("theirs.rdb", theirs)
    good_rdb("ours.rdb", ours)
    cut_rdb("theirs.rdb", theirs)
    cut_rdb("ours.rdb", ours)
    # As many databases as a byte's turned bit may name; members that are there twice are looked for, as the tools do.
    with Server(OURS, ["--databases", "16400", "--sanitize-dump-payload", "yes"]) as server:
        client = server.client(PATIENCE)
        turned_rdb("theirs.rdb", theirs, client, os.path.join(server.dir, "dump.rdb"))
        turned_rdb("ours.rdb", ours, client, os.path.join(server.dir, "dump.rdb"))
    wrong_rdb(ours)


# --- AOF ---------------------------------------------------------------------------------------------------------------

MANIFEST = "appendonly.aof.manifest"


def aof_of(binary, preamble):
    """A folder of append-only files: name -> bytes. The last has transactions and marks of the time."""
    version = ["--rdb-version", "10"] if binary == OURS else []
    with Server(binary, version + ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes"]) as server:
        client = server.client(PATIENCE)
        fill(client, rng, 60)
        client.call("BGREWRITEAOF")
        end = time.monotonic() + PATIENCE
        while b"aof_rewrite_in_progress:1" in client.call("INFO", "persistence").text() and time.monotonic() < end:
            time.sleep(0.02)
        for i in range(3):
            for k in range(5):
                client.call("SET", "k%d" % k, bytes(rng.randrange(256) for _ in range(rng.randrange(60))))
                client.call("RPUSH", "l", "\r\n*1\r\n", "a file", "")
            client.call("MULTI")
            client.call("INCR", "n")
            client.call("SADD", "s", "%d" % i)
            client.call("EXEC")
            time.sleep(1.1)
        client.call("SET", "last", "1")
        server.process.terminate()
        server.process.wait(PATIENCE)
        files = {}
        where = os.path.join(server.dir, "appendonlydir")
        for name in os.listdir(where):
            with open(os.path.join(where, name), "rb") as file:
                files[name] = file.read()
        return files


def last_of(files):
    return max((name for name in files if ".incr." in name), key=lambda name: int(name.split(".")[-3]))


def base_of(files):
    return next(name for name in files if ".base." in name)


def lay(files):
    """Two folders with the same files, one for each tool."""
    for side in ("a", "b"):
        shutil.rmtree(os.path.join(HERE, side), ignore_errors=True)
        os.mkdir(os.path.join(HERE, side))
        for name, data in files.items():
            put(os.path.join(side, name), data)


def plain(text):
    """Without what may differ: folder, the tool's name, the time of the run, Redis's name of the file after MULTI and EXEC."""
    text = re.sub(r"(?<![\w/.])[ab]/", "", text.replace("demikv-check-aof", "redis-check-aof"))
    text = re.sub(r"(Unexpected (?:MULTI|EXEC) in AOF) \S+", r"\1", text)
    return text


def both(name, *options, answer=""):
    """What the tools say of the same file in a folder of their own, and leave of it."""
    ours = run(AOF, *options, "a/" + name, answer=answer)
    theirs = run(THEIR_AOF, *options, "b/" + name, answer=answer)
    return (ours[0], plain(ours[1]), ours[2]), (theirs[0], plain(theirs[1]), theirs[2])


def left(side, files):
    return {name: get(os.path.join(side, name)) for name in files if os.path.exists(os.path.join(HERE, side, name))}


def good_aof(title, files):
    lay(files)
    ours, theirs = both(MANIFEST)
    check(ours == theirs and ours[0] == 0 and "All AOF files and manifest are valid" in ours[1], title + ": the same output", ours, theirs)
    check(left("a", files) == files, title + ": nothing is written")
    single = {"one.aof": files[base_of(files)] + files[last_of(files)]}
    lay(single)
    ours, theirs = both("one.aof")
    check(ours == theirs and ours[0] == 0 and "AOF one.aof is valid" in ours[1], title + ": the same of one file, as Redis 6 has it", ours, theirs)


def cut_aof(title, files):
    """Cut anywhere: the same is whole; --fix cuts there if the answer is yes and only then."""
    last, differ, unfixed, written = last_of(files), [], [], []
    whole = files[last]
    for size in sorted({0, 1, len(whole) - 1, len(whole) - 2} | {rng.randrange(len(whole)) for _ in range(CUTS)}):
        cut = dict(files, **{last: whole[:size]})
        lay(cut)
        ours, theirs = both(MANIFEST)
        mark = whole.rfind(b"#TS:", 0, size + 3)
        torn = 0 <= mark < size and b"\n" not in whole[mark:size]
        if not torn and without_line(ours) != without_line(theirs):
            differ.append((size, ours, theirs))
        answer = rng.choice(["", "n\n", "no\n", "\n", "x"])
        status, text, _ = run(AOF, "--fix", "a/" + MANIFEST, answer=answer)
        if left("a", files) != cut or ("Continue?" in text) != (ours[0] == 1) or status != ours[0]:
            written.append((size, answer, status, text))
        ours, theirs = both(MANIFEST, "--fix", answer=rng.choice(["y\n", "Y", "yes\n"]))
        if not torn and (without_line(ours) != without_line(theirs) or left("a", files) != left("b", files)):
            differ.append((size, ours, theirs))
        again = run(AOF, "a/" + MANIFEST)
        if ours[0] != 0 or again[0] != 0 or not cut[last].startswith(get("a/" + last)):
            unfixed.append((size, ours, again))
    check(not differ, title + ": cut short at any byte, the same output, and --fix leaves the same", *differ[:2])
    check(not written, title + ": --fix asks where something is wrong, and writes nothing but for a yes", *written[:3])
    check(not unfixed, title + ": what --fix leaves is valid, and the beginning of what was there", *unfixed[:3])


def without_line(result):
    """Where Redis's tool shows bytes that it never read, of a line that the file's end cuts."""
    return result[0], re.sub(r"got: [0-9a-f]+", "got: XX", result[1])


def turned_aof(title, files):
    """A bit anywhere: what is whole is never more than what Redis's tool says, and mostly as much."""
    last, beyond, fewer, crashed = last_of(files), [], 0, []
    for _ in range(FLIPS):
        bit = rng.randrange(len(files[last]) * 8)
        lay(dict(files, **{last: turned(files[last], bit)}))
        ours, theirs = both(MANIFEST)
        mine, other = (re.findall(r"ok_up_to=(\d+)", text)[-1] for text in (ours[1], theirs[1]))
        if ours[0] not in (0, 1) or ours[2]:
            crashed.append((bit, ours))
        if int(mine) > int(other) or (ours[0] == 0) > (theirs[0] == 0):
            beyond.append((bit, ours, theirs))
        fewer += int(mine) < int(other)
    check(not crashed, title + ": a turned bit ends no tool", *crashed[:3])
    check(not beyond, title + ": with a bit turned, no more is called whole than Redis calls so", *beyond[:3])
    check(fewer < FLIPS // 10, title + ": and hardly ever less", fewer)


def timed_aof(title, files):
    last, differ = last_of(files), []
    times = sorted({int(t) for t in re.findall(rb"#TS:(\d+)\r", files[last])})
    for at in [0, 1] + times + [times[-1] + 1, times[0] - 1]:
        lay(files)
        ours, theirs = both(MANIFEST, "--truncate-to-timestamp", str(at))
        if ours != theirs or left("a", files) != left("b", files):
            differ.append((at, ours, theirs))
    check(len(times) > 2 and not differ, title + ": cut to a time, the same output and the same left", times, *differ[:2])
    base = base_of(files)
    lay(dict(files, **{base: b"*1\r\n$8\r\nFLUSHALL\r\n" + b"#TS:%d\r\n" % times[-1]}))
    before = left("a", files)
    ours, theirs = both(MANIFEST, "--truncate-to-timestamp", str(times[0]))
    check(ours == theirs and ours[0] == 1 and "is not the last file" in ours[1] and left("a", files) == before, title + ": only the last file is cut to a time", ours, theirs)


def loaded_aof(title, files):
    """What the tool calls whole is what the server keeps of a log that ends early."""
    last, differ = last_of(files), []
    whole = files[last]
    with Server(OURS) as server:
        for size in [0, 1] + [rng.randrange(len(whole)) for _ in range(LOADS)]:
            server.process.kill()
            server.process.wait()
            where = os.path.join(server.dir, "appendonlydir")
            shutil.rmtree(where, ignore_errors=True)
            os.mkdir(where)
            for name, data in dict(files, **{last: whole[:size]}).items():
                put(os.path.join(where, name), data)
            text = run(AOF, os.path.join(where, MANIFEST))[1]
            kept = int(re.findall(r"ok_up_to=(\d+)", text)[-1]) if size else 0
            server.args = ["--appendonly", "yes"]
            server.start()
            if os.path.getsize(os.path.join(where, last)) != kept:
                differ.append((size, os.path.getsize(os.path.join(where, last)), text))
    check(not differ, title + ": what is whole to the tool is what the server keeps", *differ[:3])


def broken_sets(files):
    base, last = base_of(files), last_of(files)
    text = files[MANIFEST].decode()
    lay(dict(files, **{base: files[base][:-30]}))
    ours, theirs = both(MANIFEST, "--fix", answer="y\n")
    check(ours[0] == theirs[0] == 1 and left("a", files)[base] == files[base][:-30], "a base cut short: --fix leaves it alone", ours, theirs)
    for lost in (base, last):
        lay({name: data for name, data in files.items() if name != lost})
        ours, theirs = both(MANIFEST)
        check(ours[0] == theirs[0] == 1 and "Cannot open file" in ours[1] and lost in ours[1], "%s is missing: named" % lost, ours, theirs)
    for what, manifest in (("no format", text + "file x\n"), ("a path", text + "file ../x seq 9 type i\n"), ("a base twice", text + "file x seq 9 type b\n"),
                           ("a sequence that falls", text + "file x seq 1 type i\n"), ("a kind that is none", text + "file x seq 9 type q\n"),
                           ("no end of its line", text + "file x seq 9 type i"), ("a line of 2,000 bytes", text + "file " + "x" * 2000 + " seq 9 type i\n"), ("an empty line", text + "\n")):
        lay(dict(files, **{MANIFEST: manifest.encode()}))
        ours, theirs = both(MANIFEST)
        check(ours[0] == theirs[0] == 1 and "FATAL AOF MANIFEST FILE ERROR" in ours[1] and "Reading the manifest file, at line %d" % (text.count("\n") + 1) in ours[1],
              "a manifest with %s: refused, and the line named" % what, ours, theirs)
    lay(dict(files, **{MANIFEST: b"# of a restore\n" + files[MANIFEST]}))
    ours, theirs = both(MANIFEST)
    check(ours == theirs and ours[0] == 0, "a manifest with a comment", ours, theirs)


PING = b"*1\r\n$4\r\nPING\r\n"
FILE = b"*2\r\n$4\r\nECHO\r\n$9\r\nx\nfile yz\r\n"


def single_files():
    """name, bytes, whether Redis's tool says the same, how much is whole"""
    for name, data, same, whole in (
            ("empty", b"", True, None), ("ping", PING, True, 14), ("zeroes", PING + bytes(4096), True, 14), ("foreign", b"\x7fELF" + bytes(99), True, 0),
            ("inline", b"PING\r\n", True, 0), ("multi", b"*1\r\n$5\r\nmulti\r\n" + PING, True, 0),
            ("multi-multi", PING + b"*1\r\n$5\r\nMULTI\r\n" * 2, True, 14), ("exec", PING + b"*1\r\n$4\r\neXec\r\n", True, 14),
            ("multi-cut", PING + b"*1\r\n$5\r\nMULTI\r\n" + PING + b"*1\r\n$4\r\nEX", True, 14), ("negative", PING + b"*1\r\n$-1\r\n", True, 14),
            ("prefix", PING + b"*1\r\n:1\r\n", True, 14), ("long", PING + b"*1\r\n$5\r\nPING\r\n\r\n", True, 14), ("short", PING + b"*1\r\n$3\r\nPING\r\n", True, 14),
            ("mark", b"#TS:1\r\n" + PING, True, 21), ("note", b"# of a restore\n" + PING, True, 29), ("overflow", PING + b"*1\r\n$9999999999999999999999\r\n", False, 14),
            ("like a manifest", FILE, False, len(FILE)), ("none", PING + b"*0\r\n", False, 14), ("below none", PING + b"*-1\r\n", False, 14),
            ("torn mark", PING + b"#TS:17", False, 14), ("endless mark", PING + b"#" * 5000 + b"\n", False, 14), ("huge", PING + b"*1\r\n$4611686018427387904\r\nx", None, 14),
            ("many", PING + b"*2147483647\r\n$4\r\nECHO\r\n", True, 14)):
        name += ".aof"
        lay({name: data})
        ours = run(AOF, "a/" + name)
        said = [int(n) for n in re.findall(r"ok_up_to=(\d+)", ours[1])]
        valid = whole in (None, len(data))
        check(ours[0] == (0 if valid else 1) and said == ([] if whole is None else [whole]) and ("is valid\n" in ours[1]) == (valid and whole is not None),
              name + ": whole up to where it is", ours)
        if same:
            ours, theirs = both(name)
            check(without_line(ours) == without_line(theirs), name + ": the same output", ours, theirs)
        if peak_memory(AOF, "a/" + name) > MEMORY_MAX:
            check(False, name + ": takes a bounded memory")
    put("half.aof", b"#TS:10\r\n" + PING + b"*1\r\n$5\r\nMULTI\r\n#TS:20\r\n" + PING + b"*1\r\n$4\r\nEXEC\r\n")
    status, text, _ = run(AOF, "--truncate-to-timestamp", "15", "half.aof")
    check(status == 0 and get("half.aof") == b"#TS:10\r\n" + PING, "a time in the middle of a transaction: nothing of it is left", text, get("half.aof"))
    put("stamp.aof", PING + b"#TS:x\r\n")
    check(run(AOF, "--truncate-to-timestamp", "15", "stamp.aof")[:2] == (1, "Start checking Old-Style AOF\nInvalid timestamp annotation\n"), "a mark without a time")


def aof_words():
    for words in ([], ["--fix"], ["--mend", "x"], ["--fix", "x", "y"], ["--truncate-to-timestamp", "x"], ["a", "b", "c", "d"]):
        ours, theirs = run(AOF, *words), run(THEIR_AOF, *words)
        same = ours[1].replace(AOF, "T") == theirs[1].replace(THEIR_AOF, "T") and ours[0] == theirs[0]
        check(ours[0] == 1 and (same or len(words) == 1), "words %s: %s" % (words, "usage" if "Usage" in ours[1] else "no such file"), ours, theirs)
    for time_text in ("", "x", "1x", "99999999999999999999"):
        check(run(AOF, "--truncate-to-timestamp", time_text, "ping.aof")[:2] == (1, "Invalid timestamp, aborting...\n"), "no time: %r" % time_text)
    status, text, _ = run(AOF, HERE)
    check(status == 1 and "Is a directory" in text, "a folder: refused", text)
    os.symlink(os.path.abspath(OURS), os.path.join(HERE, "redis-check-aof"))
    put("cut.aof", PING + b"*1\r\n")
    check(run(os.path.join(HERE, "redis-check-aof"), "cut.aof") == run(AOF, "cut.aof"), "by the name redis-check-aof, too")


def written_meanwhile():
    """Somebody writes while the question stands: nothing is cut."""
    put("busy.aof", PING + b"*1\r\n$4\r\nPI")
    child = subprocess.Popen([AOF, "--fix", "busy.aof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE)
    said = b""
    while not said.endswith(b"[y/N]: "):
        byte = child.stdout.read(1)
        if not byte:
            break
        said += byte
    put("busy.aof", PING + b"*1\r\n$4\r\nPING\r\n" + PING)
    said += child.communicate(b"y\n", timeout=PATIENCE)[0]
    check(child.returncode == 1 and b"is being written to" in said and get("busy.aof") == PING * 3, "a file that grew while the question stood is left alone", said)


def on_terminal(tool, name):
    """Standard output by a pipe, standard error by a terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([tool, name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, cwd=HERE)
    os.close(theirs)
    shown, text = b"", []
    reader = threading.Thread(target=lambda: text.append(child.stdout.read()))
    reader.start()
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # nobody has its other end any more
            break
        if not part:
            break
        shown += part
    reader.join()
    os.close(ours)
    return child.wait(PATIENCE), text[0].decode(), shown


def bars(data):
    """On a terminal a long file has a bar, which is gone at the end; elsewhere, and for a short one, there is none."""
    value = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n" + bytes(100000) + b"\r\n"
    put("long.aof", value * 180)
    put("long.rdb", data[:9] + b"\xfe\x00" + b"".join(b"\x00\x05%05d\x80\x00\x01\x86\xa0" % i + bytes(100000) for i in range(180)) + b"\xff" + bytes(8))
    for tool, name, short in ((AOF, "long.aof", "ping.aof"), (RDB, "long.rdb", "theirs.rdb")):
        put("ping.aof", PING)
        status, text, shown = on_terminal(tool, name)
        drawn = [int(n) for n in re.findall(rb"(\d+)%", shown)]
        check(status == 0 and drawn == sorted(drawn) and len(drawn) > 20 and 99 <= drawn[-1] <= 100 and shown.endswith(b"\r\x1b[K"), name + ": a bar on the terminal", drawn, shown[-80:])
        check(run(tool, name) == (0, text, ""), name + ": none without, and the same output")
        check(on_terminal(tool, short)[2] == b"", name + ": none for a short one")


def check_aof():
    for binary, preamble in ((REDIS, "yes"), (REDIS, "no"), (OURS, "yes"), (OURS, "no")):
        title, files = "%s, preamble %s" % ("ours" if binary == OURS else "theirs", preamble), aof_of(binary, preamble)
        good_aof(title, files)
        cut_aof(title, files)
        timed_aof(title, files)
        loaded_aof(title, files)
        if (binary, preamble) == (REDIS, "no"):
            turned_aof(title, files)
            broken_sets(files)
    single_files()
    aof_words()
    written_meanwhile()


check_rdb()
check_aof()
bars(get("theirs.rdb"))
tap.done()
