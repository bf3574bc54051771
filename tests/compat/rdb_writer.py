# SPDX-License-Identifier: MIT
"""RDB files made by hand, of what any version from 1 to 11 wrote: bytes by the format's description, no server asked."""
import struct


def crc64(data):
    crc = 0
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc


def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x95ac9329ac4bc9b5 if i & 1 else 0)
        table.append(i)
    return table


CRC_TABLE = crc_table()


# --- lengths and strings ---

def length(n, bits=0):
    """As short as it can be, or in so many bits: 6, 14, 32, 64."""
    bits = bits or (6 if n < 64 else 14 if n < 16384 else 32 if n < 1 << 32 else 64)
    if bits == 6:
        return bytes([n])
    if bits == 14:
        return bytes([0x40 | n >> 8, n & 255])
    return b"\x80" + struct.pack(">I", n) if bits == 32 else b"\x81" + struct.pack(">Q", n)


def string(data, bits=0):
    return length(len(data), bits) + data


def integer(n):
    """A string that is the text of a number."""
    for kind, form, limit in ((0, "<b", 1 << 7), (1, "<h", 1 << 15), (2, "<i", 1 << 31)):
        if -limit <= n < limit:
            return bytes([0xC0 | kind]) + struct.pack(form, n)
    return string(b"%d" % n)


def lzf(data):
    """A compressed string: literals, and references to what stood within the last 8 KiB."""
    out, at, literal = b"", 0, b""
    while at < len(data):
        best, before = 0, data.rfind(data[at:at + 3], max(0, at - 8192), at + 2)
        while before >= 0 and best < 264 and at + best < len(data) and data[at + best] == data[before + best]:
            best += 1
        back = at - before
        if best < 3:
            literal += data[at:at + 1]
            at += 1
        if literal and (best >= 3 or len(literal) == 32 or at == len(data)):
            out += bytes([len(literal) - 1]) + literal
            literal = b""
        if best >= 3:
            n, distance = best - 2, back - 1
            out += bytes([min(n, 7) << 5 | distance >> 8]) + (bytes([n - 7]) if n >= 7 else b"") + bytes([distance & 255])
            at += best
    return b"\xc3" + length(len(out)) + length(len(data)) + out


def score_text(text):
    """Of a sorted set before version 8."""
    special = {b"nan": 253, b"inf": 254, b"-inf": 255}
    return bytes([special[text]]) if text in special else bytes([len(text)]) + text


def score(value):
    return struct.pack("<d", value)


# --- blocks ---

def ziplist(elements, bits=0):
    """bits: how lengths of strings are written: 14 or 32; shortest by itself. Numbers take the smallest of their six forms."""
    out, last, before = b"", 0, 0
    for e in elements:
        last = len(out)
        entry = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + ziplist_element(e, bits)
        out += entry
        before = len(entry)
    return struct.pack("<IIH", 10 + len(out) + 1, 10 + last, min(len(elements), 65535)) + out + b"\xff"


def ziplist_element(e, bits):
    if isinstance(e, int):
        if 0 <= e <= 12:
            return bytes([0xF1 + e])
        for code, size in ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8)):
            if -(1 << size * 8 - 1) <= e < 1 << size * 8 - 1:
                return bytes([code]) + e.to_bytes(size, "little", signed=True)
    if len(e) < 64 and not bits:
        return bytes([len(e)]) + e
    if len(e) < 16384 and bits != 32:
        return bytes([0x40 | len(e) >> 8, len(e) & 255]) + e
    return b"\x80" + struct.pack(">I", len(e)) + e


def zipmap(pairs, spare=0, count=True):
    """spare: bytes left behind each value by one that was longer. count: False, as with 254 pairs and more."""
    out = bytes([len(pairs) if count and len(pairs) < 254 else 254])
    for field, value in pairs:
        out += zipmap_length(field) + field + zipmap_length(value) + bytes([spare]) + value + b"?" * spare
    return out + b"\xff"


def zipmap_length(s):
    return bytes([len(s)]) if len(s) < 254 else b"\xfe" + struct.pack("<I", len(s))


def intset(numbers, size):
    return struct.pack("<II", size, len(numbers)) + b"".join(n.to_bytes(size, "little", signed=True) for n in sorted(numbers))


def listpack(elements):
    out = b"".join(e + backlen(len(e)) for e in map(listpack_element, elements))
    return struct.pack("<IH", 6 + len(out) + 1, min(len(elements), 65535)) + out + b"\xff"


def listpack_element(e):
    if isinstance(e, int):
        if 0 <= e < 128:
            return bytes([e])
        if -4096 <= e < 4096:
            return struct.pack(">H", 0xC000 | e & 0x1FFF)
        for code, size in ((0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8)):
            if -(1 << size * 8 - 1) <= e < 1 << size * 8 - 1:
                return bytes([code]) + e.to_bytes(size, "little", signed=True)
    if len(e) < 64:
        return bytes([0x80 | len(e)]) + e
    if len(e) < 4096:
        return struct.pack(">H", 0xE000 | len(e)) + e
    return b"\xf0" + struct.pack("<I", len(e)) + e


def backlen(n):
    out = []
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([n] + out[::-1])


# --- values ---

def many(parts):
    return length(len(parts)) + b"".join(parts)


def stream_id(ms, seq):
    return struct.pack(">QQ", ms, seq)


def stream_node(ms, seq, entries):
    """entries: (ms, seq, deleted, [(field, value)]); the first one's fields are those that others may share."""
    shared = [f for f, _ in entries[0][3]]
    out = [sum(not e[2] for e in entries), sum(e[2] for e in entries), len(shared)] + shared + [0]
    for ms_at, seq_at, deleted, pairs in entries:
        same = [f for f, _ in pairs] == shared
        out += [2 * same + deleted, ms_at - ms, seq_at - seq]
        if not same:
            out += [len(pairs)] + [x for pair in pairs for x in pair]
        else:
            out += [v for _, v in pairs]
        out += [3 + len(pairs) if same else 4 + 2 * len(pairs)]
    return string(stream_id(ms, seq)) + string(listpack(out))


def stream(kind, nodes, entries, last, groups):
    """groups: (name, (ms, seq), [(ms, seq)] pending, [(consumer, [(ms, seq)])]). kind: 15, 19, 21."""
    out = many(nodes) + length(entries) + length(last[0]) + length(last[1])
    if kind >= 19:
        out += length(1) + length(1) + length(0) + length(0) + length(entries + 3)
    out += length(len(groups))
    for name, delivered, pending, consumers in groups:
        out += string(name) + length(delivered[0]) + length(delivered[1]) + (length(2) if kind >= 19 else b"")
        out += many([stream_id(*i) + struct.pack("<Q", 1700000000000) + length(3) for i in pending])
        out += length(len(consumers))
        for consumer, own in consumers:
            out += string(consumer) + struct.pack("<Q", 1700000000001) + (struct.pack("<Q", 1700000000002) if kind == 21 else b"")
            out += many([stream_id(*i) for i in own])
    return out


# --- the file ---

def aux(name, value):
    return b"\xfa" + string(name) + string(value)


def select(db):
    return b"\xfe" + length(db)


def resize(keys, expires):
    return b"\xfb" + length(keys) + length(expires)


def expire_s(seconds):
    return b"\xfd" + struct.pack("<i", seconds)


def expire_ms(ms):
    return b"\xfc" + struct.pack("<Q", ms)


def idle(seconds):
    return b"\xf8" + length(seconds)


def freq(counter):
    return b"\xf9" + bytes([counter])


def library(source):
    return b"\xf5" + string(source)


def pair(kind, key, value):
    return bytes([kind]) + string(key) + value


def file(version, parts, checksum=None):
    """checksum: None, the right one (from version 5 on; before, there is none); else the number."""
    body = b"REDIS%04d" % version + b"".join(parts) + b"\xff"
    if version < 5:
        return body
    return body + struct.pack("<Q", crc64(body) if checksum is None else checksum)


def module_id(name, version=1):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number = 0
    for letter in name:
        number = number << 6 | letters.index(letter)
    return number << 10 | version
