#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""demikv-check-rdb says what redis-check-rdb says, of files of both servers: good, cut short at any byte, with bits turned,
foreign; and what is right for the tool is right for the loader. Seeded.

The other tools are Debian's, or those beside $REDIS_SERVER."""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from here import OURS, REDIS, Server, Tap, need, need_server

from dump import fill  # noqa: E402

need_server()
tap = Tap()
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
folder = tempfile.TemporaryDirectory(prefix="demikv-test-")
HERE = folder.name
PATIENCE = 60
CUTS, FLIPS = 60, 150
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


RDB = our_tool("demikv-check-rdb")
THEIR_RDB = other_tool("redis-check-rdb")


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
        same = facts(ours[1]) == facts(theirs[1]) or not printable(theirs[1])
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
    with Server(OURS, ["--databases", "16400"]) as server:  # as many as a byte's turned bit may name
        client = server.client(PATIENCE)
        turned_rdb("theirs.rdb", theirs, client, os.path.join(server.dir, "dump.rdb"))
        turned_rdb("ours.rdb", ours, client, os.path.join(server.dir, "dump.rdb"))
    wrong_rdb(ours)


check_rdb()
tap.done()
