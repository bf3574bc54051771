# SPDX-License-Identifier: MIT
"""libdemikernel for asyncio: queues whose operations are awaited, in a loop that sleeps in the library.

    async def main():
        q = demikernel.Queue.stream()
        await q.connect("127.0.0.1", 7000)
        await q.push(b"hello")
        print(await q.pop())            # b"" is the end of the stream

    demikernel.run(main())              # as LIBOS says; or run(main(), libos="uring", settings={...})

The loop is asyncio's own, over a selector that asks the library as well: sockets, timers and subprocesses of asyncio work beside.
What fails is an OSError with the errno (ConnectionResetError and its kin). A cancelled task cancels its operation, and what that
brings all the same is given back. pop() gives bytes; pop_array() gives the memory itself, which close(), `with` or the end of the
object gives back, and which must not be looked at afterwards. One thread, one run().

The C calls are `lib`, their types `ffi` (cffi; _demikernel.py is made by ./generate). DEMI_LIBRARY names another libdemikernel.so.1.
"""
import asyncio
import errno
import os
import selectors
import socket
import threading
import time

from _demikernel import ffi

lib = ffi.dlopen(os.environ.get("DEMI_LIBRARY", "libdemikernel.so.1"))
BATCH = 64
TURNS = 16  # batches that are taken before others have their turn
_here = threading.local()


def _must(code, what):
    if code:
        raise OSError(code, os.strerror(code), what)


def _runtime():
    runtime = getattr(_here, "runtime", None)
    if runtime is None:
        raise OSError(errno.ENOSYS, "no demikernel.run() on this thread")
    return runtime


def version():
    return ffi.string(lib.demi_version()).decode()


def feature(name):
    return lib.demi_feature(name.encode())


# --- addresses --------------------------------------------------------------------------------------------------------

def _sockaddr(host, port):
    """A C address, and its length."""
    if not 0 <= port <= 65535:
        raise ValueError("port %d" % port)
    if ":" in host:
        a = ffi.new("struct sockaddr_in6 *")
        a.sin6_family, a.sin6_port = socket.AF_INET6, socket.htons(port)
        ffi.memmove(ffi.addressof(a.sin6_addr), socket.inet_pton(socket.AF_INET6, host), 16)
    else:
        a = ffi.new("struct sockaddr_in *")
        a.sin_family, a.sin_port = socket.AF_INET, socket.htons(port)
        ffi.memmove(ffi.addressof(a.sin_addr), socket.inet_pton(socket.AF_INET, host), 4)
    return ffi.cast("struct sockaddr *", a), ffi.sizeof(a[0]), a


def _told(address):
    """(host, port) of what lies at a struct sockaddr *."""
    if address.sa_family == socket.AF_INET6:
        a = ffi.cast("struct sockaddr_in6 *", address)
        return socket.inet_ntop(socket.AF_INET6, bytes(ffi.buffer(ffi.addressof(a.sin6_addr), 16))), socket.ntohs(a.sin6_port)
    a = ffi.cast("struct sockaddr_in *", address)
    return socket.inet_ntop(socket.AF_INET, bytes(ffi.buffer(ffi.addressof(a.sin_addr), 4))), socket.ntohs(a.sin_port)


# --- arrays and queues ------------------------------------------------------------------------------------------------

class Array:
    """A scatter-gather array; `size` bytes, or the C array that it owns from here on."""

    def __init__(self, size=None, owned=None):
        self._c = ffi.new("demi_sgarray_t *")
        self._c[0] = lib.demi_sgaalloc_large(size) if owned is None else owned
        if not self._c.sga_buf:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def __len__(self):
        return self._c.sga_segs[0].sgaseg_len if self._c.sga_buf else 0

    def view(self):
        """Its memory, for as long as it is open."""
        if not self._c.sga_buf:
            raise ValueError("a closed array")
        return memoryview(ffi.buffer(self._c.sga_segs[0].sgaseg_buf, len(self)))

    def __bytes__(self):
        return bytes(self.view()) if len(self) else b""

    def sender(self):
        return _told(ffi.cast("struct sockaddr *", ffi.addressof(self._c.sga_addr)))

    def close(self):
        if self._c.sga_buf:
            lib.demi_sgafree(self._c)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_c", None) is not None:
            self.close()


def _popped(result):
    """As bytes, which are Python's."""
    with Array(owned=result.qr_value.sga) as array:
        return bytes(array)


def _datagram(result):
    with Array(owned=result.qr_value.sga) as array:
        return bytes(array), array.sender()


def _accepted(result):
    address = ffi.cast("char *", ffi.addressof(result.qr_value.ares)) + ffi.sizeof("int32_t")
    return Queue(result.qr_value.ares.qd), _told(ffi.cast("struct sockaddr *", address))


class Queue:
    """A socket or a queue in memory; closed by close(), `with`, or the end of the object."""

    def __init__(self, owned):
        self.qd = owned

    @classmethod
    def make(cls, domain, kind):
        out = ffi.new("int *")
        _must(lib.demi_socket(out, domain, kind, 0), "demi_socket")
        return cls(out[0])

    @classmethod
    def stream(cls, domain=socket.AF_INET):
        return cls.make(domain, socket.SOCK_STREAM)

    @classmethod
    def datagram(cls, domain=socket.AF_INET):
        return cls.make(domain, socket.SOCK_DGRAM)

    @classmethod
    def memory(cls):
        out = ffi.new("int *")
        _must(lib.demi_queue(out), "demi_queue")
        return cls(out[0])

    @classmethod
    def pipe(cls):
        out = ffi.new("int[2]")
        _must(lib.demi_pipe(out), "demi_pipe")
        return cls(out[0]), cls(out[1])

    def bind(self, host, port):
        address, size, _kept = _sockaddr(host, port)
        _must(lib.demi_bind(self.qd, address, size), "demi_bind")

    def listen(self, backlog=128):
        _must(lib.demi_listen(self.qd, backlog), "demi_listen")

    def name(self):
        """(host, port) of our end."""
        out, size = ffi.new("struct sockaddr_in6 *"), ffi.new("socklen_t *", ffi.sizeof("struct sockaddr_in6"))
        _must(lib.demi_getsockname(self.qd, ffi.cast("struct sockaddr *", out), size), "demi_getsockname")
        return _told(ffi.cast("struct sockaddr *", out))

    def shutdown(self, how=socket.SHUT_WR):
        _must(lib.demi_shutdown(self.qd, how), "demi_shutdown")

    def accept(self):
        """A future: (queue, (host, port))."""
        return _runtime().start(_accepted, lib.demi_accept, self.qd)

    def connect(self, host, port):
        address, size, _kept = _sockaddr(host, port)
        return _runtime().start(None, lib.demi_connect, self.qd, address, size)

    def pop(self):
        """A future: bytes."""
        return _runtime().start(_popped, lib.demi_pop, self.qd)

    def pop_from(self):
        """A future of a datagram socket: bytes, (host, port)."""
        return _runtime().start(_datagram, lib.demi_pop, self.qd)

    def pop_array(self):
        """A future: an Array."""
        return _runtime().start(lambda result: Array(owned=result.qr_value.sga), lib.demi_pop, self.qd)

    def push(self, data, flags=0):
        """A future. Bytes are copied before this returns; an Array may be closed at once, and must not change before it is done."""
        if isinstance(data, Array):
            return _runtime().start(None, lib.demi_push, self.qd, data._c)
        kept = ffi.from_buffer(data)
        piece = ffi.new("struct iovec *", {"iov_base": ffi.cast("void *", kept), "iov_len": len(kept)})
        return _runtime().start(None, lib.demi_pushv, self.qd, piece, 1, flags & ~lib.DEMI_PUSH_NO_TOKEN)

    def push_to(self, data, host, port):
        address, size, _kept = _sockaddr(host, port)
        with Array(len(data)) as array:
            array.view()[:] = bytes(data)
            return _runtime().start(None, lib.demi_pushto, self.qd, array._c, address, size)

    def close(self):
        qd, self.qd = self.qd, -1
        if qd >= 0:
            lib.demi_close(qd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "qd", -1) >= 0:
            self.close()


# --- the loop ------------------------------------------------------------------------------------------------------------

class _Runtime:
    """The thread's library OS, and whom each operation's result is for."""

    def __init__(self, libos, settings):
        texts = [ffi.new("char[]", word.encode()) for pair in (settings or {}).items() for word in pair]
        pairs = ffi.new("struct demi_setting[]", max(len(texts) // 2, 1))
        for i in range(len(texts) // 2):
            pairs[i].key, pairs[i].value = texts[2 * i], texts[2 * i + 1]
        name, why = ffi.new("char[]", libos.encode()) if libos else ffi.NULL, ffi.new("char[]", 256)
        options = ffi.new("struct demi_init_options *", {"libos": name, "settings": pairs, "setting_count": len(texts) // 2, "why": why, "why_size": 256})
        code = lib.demi_init_options(options)
        if code:
            raise OSError(code, ffi.string(why).decode(errors="replace") or os.strerror(code))
        self.waiting = {}  # token -> future, and what makes its value of the result
        self.results, self.count = ffi.new("demi_qresult_t[]", BATCH), ffi.new("int *")
        self.poll, self.fd = ffi.new("struct timespec *", (0, 0)), ffi.new("int *", -1)

    def start(self, value, call, qd, *more):
        """Starts an operation; a future of value(result)."""
        token, future = ffi.new("demi_qtoken_t *"), asyncio.get_running_loop().create_future()
        _must(call(token, qd, *more), "operation on queue %d" % qd)
        self.waiting[token[0]] = future, value
        future.add_done_callback(lambda f: f.cancelled() and lib.demi_cancel(token[0]))
        return future

    def complete(self, result):
        future, value = self.waiting.pop(result.qr_qt, (None, None))
        if future is None or future.done():
            if result.qr_opcode == lib.DEMI_OPC_POP:
                Array(owned=result.qr_value.sga).close()
            elif result.qr_opcode == lib.DEMI_OPC_ACCEPT:
                lib.demi_close(result.qr_value.ares.qd)
        elif result.qr_opcode == lib.DEMI_OPC_FAILED:
            future.set_exception(OSError(result.qr_ret, os.strerror(result.qr_ret)))
        else:
            future.set_result(value(result) if value else None)

    def take(self):
        """What has completed; whether anything has."""
        took = 0
        for _ in range(TURNS):
            code = lib.demi_wait_batch(self.results, BATCH, self.count, self.poll)
            if code == errno.ETIMEDOUT:
                break
            _must(code, "demi_wait_batch")
            for i in range(self.count[0]):
                self.complete(self.results[i])
            took += self.count[0]
        return took > 0

    def close(self):
        self.waiting.clear()
        lib.demi_exit()


class _Selector(selectors.DefaultSelector):
    """asyncio's, which sleeps on the library's descriptor too; over a device that can only be polled it does not sleep."""

    def __init__(self, runtime):
        super().__init__()
        self.runtime, self.fd = runtime, None

    def select(self, timeout=None):
        if self.runtime.take():
            return self.others(0)
        code = lib.demi_event_fd(self.runtime.fd)
        if code == errno.EOPNOTSUPP:
            return self.polled(timeout)
        _must(code, "demi_event_fd")
        if self.fd is None:
            self.fd = self.runtime.fd[0]
            self.register(self.fd, selectors.EVENT_READ)
        events = self.others(timeout)
        self.runtime.take()
        return events

    def others(self, timeout):
        return [event for event in super().select(timeout) if event[0].fd != self.fd]

    def polled(self, timeout):
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            events = self.others(0)
            if self.runtime.take() or events or (until is not None and time.monotonic() >= until):
                return events


def run(main, libos=None, settings=None):
    """asyncio.run() on a library OS: starts it (None: as LIBOS and CONFIG_PATH say), ends it, and gives what main gives."""
    if getattr(_here, "runtime", None):
        main.close()
        raise OSError(errno.EEXIST, "demikernel.run() is running on this thread")
    try:
        runtime = _Runtime(libos, settings)
    except OSError:
        main.close()
        raise
    _here.runtime = runtime
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector(runtime))) as runner:
            return runner.run(main)
    finally:
        _here.runtime = None
        runtime.close()
