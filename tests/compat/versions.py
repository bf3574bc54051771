# SPDX-License-Identifier: MIT
"""The differences between the version that ours is (7.2.4) and the one it is compared with: versions.txt; those that are wanted: ours.txt."""
import os
import re
import subprocess

from servers import REDIS

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def is_older():
    """Whether the reference is older than 7.2."""
    said = subprocess.run([REDIS, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return bool(found) and (int(found.group(1)), int(found.group(2))) < (7, 2)


KNOWN = load("versions.txt")
OURS_ONLY = load("ours.txt")
OLDER = is_older()
USED = set()


def expected(key):
    """Whether a difference for this reason is right; a key that is not in the list is an error of the case."""
    if key not in KNOWN:
        raise ValueError("versions.txt has no line for %r" % key)
    USED.add(key)
    return OLDER


def differs(key):
    """Whether ours is to answer otherwise than the reference, for a reason that ours.txt has."""
    if key not in OURS_ONLY:
        raise ValueError("ours.txt has no line for %r" % key)
    USED.add("ours " + key)
    return not OLDER


def unused_of_ours():
    """What no case has shown."""
    return sorted(key for key in OURS_ONLY if "ours " + key not in USED)


def unused(part=""):
    """What no case of a part (the word before a key's space) has shown."""
    return sorted(key for key in KNOWN if key not in USED and key.rpartition(" ")[0] == part)


def reason(args):
    """Of a random command: why the versions may answer it differently, or None."""
    name = args[0].upper()
    words = [a.upper() for a in args]
    if name in (b"XCLAIM", b"XAUTOCLAIM") or words[:2] in ([b"XGROUP", b"CREATECONSUMER"], [b"XGROUP", b"DELCONSUMER"], [b"XINFO", b"GROUPS"]):
        return "consumer"
    if name in (b"XREAD", b"XREADGROUP") and b"STREAMS" in words and (len(words) - words.index(b"STREAMS")) % 2 == 0:
        return "unbalanced"
    if name == b"XSETID":
        return "xsetid-deleted"
    if name in (b"ZRANK", b"ZREVRANK") and len(args) == 4:
        return "zrank"
    if name == b"LPOS" and b"-9223372036854775808" in args:
        return "lpos-rank"
    if args[-1].upper() == b"HELP":
        return "help"
    if name in (b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BZPOPMIN", b"BZPOPMAX") and len(args[-1]) > 15:
        return "timeout"
    return None


def reason_of_ours(args):
    """Of a random command: why ours may answer it otherwise than 7.2.4 (ours.txt), or None."""
    words = [a.upper() for a in args]
    return "zrangestore-by" if words[0] == b"ZRANGESTORE" and {b"BYSCORE", b"BYLEX"} & set(words) else None
