# SPDX-License-Identifier: MIT
"""How redis-server 7.0, which Debian 12 has, differs in encodings and in the RDB format from 7.2.4, which we are like.

Sets never lie in listpacks there: ours is kept from that by OUR_ARGS (the two sides' sets are then alike). Small lists are
quicklists there, and where a list's first node ends differs by a few bytes. Values and files have version 10 there, not 11.
Doubles have 17 digits there, in replies and in sorted sets that are listpacks. What is refused to a user is told in other words, and
that payloads are sanitized is not said of a new user. Compared with a 7.2 none of this applies.
"""
import re

from resp import AGGREGATES, Node
from servers import OURS, REDIS, Server
from versions import OLDER, expected

OUR_ARGS = ["--set-max-listpack-entries", "0"] if OLDER and OURS != REDIS else []
VALUE_FOOTER = 10 # version and checksum
FILE_FOOTER = 8
LIST, ONE_PACKED_NODE = b"\x12", b"\x01\x02"
ZSET_LISTPACK = b"\x11"


def our_server(args=(), **options):
    """Our server, as like the other one as it can be."""
    expected("set-listpack")
    return Server(OURS, OUR_ARGS + list(args), **options)


def is_dump(node):
    return node.kind == b"$" and node.text()[-VALUE_FOOTER:-VALUE_FOOTER + 2] in (b"\x0a\x00", b"\x0b\x00")


def with_doubles_read(node):
    """A reply with each text that is a double replaced by what it reads as."""
    if node.kids:
        return Node(node.head, node.body, [with_doubles_read(kid) for kid in node.kids])
    try:
        return Node(node.kind + b"\r\n", repr(float(node.text())).encode()) if node.kind in b"$," else node
    except ValueError:
        return node


def dump_without_ends(theirs, payload):
    """What of a value's payload the versions agree in: not where nodes end, not the digits of a score."""
    text = theirs.text()
    other_nodes = text[:1] == LIST and text[1:3] != ONE_PACKED_NODE
    other_digits = text[:1] == ZSET_LISTPACK and b"." in text and expected("double")
    return payload[:1] if other_nodes or other_digits else payload[:-VALUE_FOOTER]


# What both versions say of a user, made alike: "acl-texts", "acl-sanitize" and "acl-rules" in versions.txt.
ACL_WORDS = [(re.compile(pattern), alike) for pattern, alike in (
    (rb"ERR (?:ACL failure in script: .*|The user executing the script can't .*)", b"ERR refused to the user of the script"),
    (rb"(?:User \S+|[Tt]his user) has no permissions to (run|access) the ", rb"this user has no permissions to \1 the "),
    (rb"NOPERM this user has no permissions to access one of the (key|channel)s used as arguments", rb"NOPERM No permissions to access a \1"),
    (rb"(?<![a-z-])sanitize-payload ?", b""), (rb"([+-]@all)(?: [+-][^ ()]+)+", rb"\1"))]


def with_acl_words(node):
    """A reply with each of ACL_WORDS made alike."""
    if node.kids:
        kids = [with_acl_words(kid) for kid in node.kids if kid.text() != b"sanitize-payload"]
        return Node(b"%s%d\r\n" % (node.kind, len(kids) // AGGREGATES.get(node.kind, 1)), node.body, kids)
    text = node.text()
    for pattern, alike in ACL_WORDS:
        text = pattern.sub(alike, text)
    if text == node.text():
        return node
    return Node(b"$%d\r\n" % len(text), text + b"\r\n") if node.body else Node(node.kind + text + b"\r\n")


def bridge(args, theirs, ours):
    """Both replies to a command without what these versions differ in."""
    words = [a.upper() for a in args[:2]]
    if words[:1] == [b"ACL"] and expected("acl-sanitize") and expected("acl-rules") or re.search(b"NOPERM | executing the script ", theirs.raw()) and expected("acl-texts"):
        return with_acl_words(theirs), with_acl_words(ours)
    if words == [b"OBJECT", b"ENCODING"] and expected("list-listpack"):
        return (theirs, theirs) if theirs.text() == b"quicklist" and ours.text() == b"listpack" else (theirs, ours)
    if words[:1] == [b"DUMP"] and expected("rdb") and is_dump(theirs) and is_dump(ours):
        return [Node(b"$\r\n", dump_without_ends(theirs, node.text())) for node in (theirs, ours)]
    if words[:1] and words[0].lstrip(b"B")[:1] == b"Z" and expected("double"):
        return with_doubles_read(theirs), with_doubles_read(ours)
    return theirs, ours


def value_for_old(payload):
    """A DUMP of ours under the older version; its checksum must not be looked at."""
    return payload[:-VALUE_FOOTER] + b"\x0a\x00" + payload[-FILE_FOOTER:] if OLDER else payload


def file_for_old(data):
    """An RDB file of ours under the older version, with the checksum of 0 that says that there is none."""
    return data.replace(b"REDIS0011", b"REDIS0010", 1)[:-FILE_FOOTER] + bytes(FILE_FOOTER) if OLDER else data


def set_with_pxat(words):
    """SET ... PXAT as 7.0 tells it: rewritten."""
    upper = [w.upper() for w in words]
    if upper[0] != b"SET" or b"PXAT" not in upper[3:] or not expected("stream pxat"):
        return words
    return words[:3] + [b"PXAT", words[upper.index(b"PXAT", 3) + 1]]


def bridge_stream(commands):
    """A stream of effects, either's, without what these versions differ in."""
    if not OLDER:
        return commands
    out = [words[:3] + [w.upper() for w in words[3:]] if words[0].upper() == b"LMOVE" and expected("stream lmove") else words for words in commands]
    for i in range(1, len(out)):
        out[i] = set_with_pxat(out[i])
        if out[i][0] == b"UNLINK" and expected("stream unlink"):
            out[i] = [b"DEL"] + out[i][1:]
        if out[i] == [b"MULTI"] and out[i - 1][0] == b"SELECT" and expected("stream select"):
            out[i - 1:i + 1] = out[i], out[i - 1]
    return out
