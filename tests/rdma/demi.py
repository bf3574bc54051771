# SPDX-License-Identifier: MIT
"""A client of the library for tests, by ctypes: one thread, streams, RESP. LIBOS and its kin say over what.

    c = Client("10.77.0.1", 6379)            # valkey=True: in Valkey's framing; a path in place of the address: shared memory
    c.call("SET", "k", b"v")                 # a reply: bytes, int, list, None; an error is raised
    c.send("BLPOP", "list", 0); ...; c.reply()
"""
import ctypes
import os
import socket
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOL_RDMA, RDMA_VALKEY, LENT = 0x7244, 1, 1 << 20
HANDED_OVER = 1
POP, CONNECT, FAILED = 2, 4, 6


class Segment(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("buf", ctypes.c_void_p), ("len", ctypes.c_uint32)]


class Array(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("handle", ctypes.c_void_p), ("count", ctypes.c_uint32), ("seg", Segment), ("addr", ctypes.c_char * 16)]


class Result(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("opcode", ctypes.c_int), ("qd", ctypes.c_int32), ("token", ctypes.c_uint64), ("ret", ctypes.c_int64), ("sga", Array)]


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]


class Gone(Exception):
    """The connection has ended: the errno, or 0 after an orderly end."""


lib = ctypes.CDLL(os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "libdemikernel.so"))
lib.demi_malloc.restype = ctypes.c_void_p
lib.demi_malloc.argtypes = [ctypes.c_size_t]
lib.demi_free.argtypes = [ctypes.c_void_p]
running = False


def must(error):
    if error:
        raise OSError(error, os.strerror(error))


class Client:
    def __init__(self, address, port, valkey=False, patience=60):
        global running
        if not running:
            must(lib.demi_init(None))
            running = True
        self.patience, self.bytes, self.pop = patience, b"", None
        qd, local = ctypes.c_int(), address.startswith("/")
        must(lib.demi_socket(ctypes.byref(qd), socket.AF_UNIX if local else socket.AF_INET, socket.SOCK_STREAM, 0))
        self.qd = qd.value
        lent = ctypes.c_int(LENT)
        if valkey:
            must(lib.demi_setsockopt(self.qd, SOL_RDMA, RDMA_VALKEY, ctypes.byref(lent), 4))
        if local:
            to = struct.pack("=H108s", socket.AF_UNIX, address.encode())
        else:
            to = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(address))
        token = ctypes.c_uint64()
        must(lib.demi_connect(ctypes.byref(token), self.qd, to, len(to)))
        self.wait(token, patience)

    def wait(self, token, patience):
        result = Result()
        error = lib.demi_wait(ctypes.byref(result), token, ctypes.byref(Timespec(int(patience), int(patience % 1 * 1e9))))
        if error == 110:
            return None
        must(error)
        if result.opcode == FAILED:
            raise Gone(result.ret)
        return result

    def push(self, data):
        p = lib.demi_malloc(len(data))
        ctypes.memmove(p, data, len(data))
        token, iov = ctypes.c_uint64(), Iovec(p, len(data))
        error = lib.demi_pushv(ctypes.byref(token), self.qd, ctypes.byref(iov), 1, HANDED_OVER)
        lib.demi_free(ctypes.c_void_p(p))
        must(error)
        self.wait(token, self.patience)

    def more(self, patience):
        """False: nothing has come so long."""
        if self.pop is None:
            self.pop = ctypes.c_uint64()
            must(lib.demi_pop(ctypes.byref(self.pop), self.qd))
        result = self.wait(self.pop, patience)
        if result is None:
            return False
        self.pop = None
        data = ctypes.string_at(result.sga.seg.buf, result.sga.seg.len)
        must(lib.demi_sgafree(ctypes.byref(result.sga)))
        if not data:
            raise Gone(0)
        self.parts.append(data)
        return True

    def take(self, n=None):
        """So many bytes, or a line without its end."""
        self.parts = [self.bytes]
        have = len(self.bytes)
        while have < n if n is not None else b"\r\n" not in self.parts[-1]:
            if not self.more(self.patience):
                raise TimeoutError("no reply")
            have += len(self.parts[-1])
            if n is None:
                self.parts = [b"".join(self.parts)]
        data = b"".join(self.parts)
        if n is None:
            n = data.index(b"\r\n")
            self.bytes = data[n + 2:]
        else:
            self.bytes = data[n:]
        return data[:n]

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.push(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def reply(self):
        line = self.take()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.take(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return rest

    def call(self, *words):
        self.send(*words)
        return self.reply()

    def is_silent(self, seconds):
        """Whether nothing comes for so long."""
        if self.bytes:
            return False
        self.parts = []
        if self.more(seconds):
            self.bytes = b"".join(self.parts)
            return False
        return True

    def close(self):
        must(lib.demi_close(self.qd))
