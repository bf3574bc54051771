# SPDX-License-Identifier: MIT
"""demi/bindings/python: who gives back what, and what asyncio has beside. tests/interop/python.py runs it; TAP."""
import asyncio
import errno
import gc
import os
import socket
import sys

import demikernel
from demikernel import Array, Queue, ffi, lib

LIBOS = os.environ.get("LIBOS", "posix")


def error_of(call):
    try:
        call()
    except OSError as error:
        return error.errno
    return 0


async def failure_of(future):
    try:
        await future
    except OSError as error:
        return error.errno
    return 0


def the_layouts_are_cs():
    assert ffi.sizeof("demi_qresult_t") == 64 and ffi.sizeof("demi_sgarray_t") == 40 and ffi.sizeof("struct demi_args") == 20
    assert ffi.sizeof("struct demi_tls_options") == 104 and lib.DEMI_PUSH_MORE == 4 and lib.DEMI_OPC_FAILED == 6
    assert demikernel.version().startswith("1.") and demikernel.feature("libos.posix") and not demikernel.feature("libos.none")


def what_is_not_started_says_so():
    assert error_of(lambda: Queue.memory()) == errno.ENOSYS

    async def nothing():
        pass
    assert error_of(lambda: demikernel.run(nothing(), libos="none")) == errno.ENOTSUP

    async def twice():
        return error_of(lambda: demikernel.run(nothing()))
    assert demikernel.run(twice()) == errno.EEXIST
    assert error_of(lambda: demikernel.run(nothing(), settings={"no_such_key": "1"})) == errno.EINVAL


async def echo_once(listener):
    connection, peer = await listener.accept()
    assert peer[0] == "127.0.0.1"
    with connection:
        while True:
            with await connection.pop_array() as array:
                if not len(array):
                    return
                await connection.push(array)


def a_stream_goes_both_ways():
    async def main():
        with Queue.stream() as listener, Queue.stream() as client:
            listener.bind("127.0.0.1", 0)
            listener.listen()
            serving = asyncio.create_task(echo_once(listener))
            await client.connect(*listener.name())
            data, got = os.urandom(1 << 19), b""
            pushed = client.push(data)
            while len(got) < len(data):
                got += await client.pop()
            assert got == data
            await pushed
            client.shutdown()
            assert await client.pop() == b""
            await serving
    demikernel.run(main())


def datagrams_say_who_sent_them():
    async def main():
        with Queue.datagram() as a, Queue.datagram() as b:
            a.bind("127.0.0.1", 0)
            b.bind("127.0.0.1", 0)
            await a.push_to(b"datagram", *b.name())
            assert await b.pop_from() == (b"datagram", a.name())
    demikernel.run(main())


def what_is_cancelled_is_given_back():
    async def main():
        with Queue.memory() as q:
            async def one():
                for _ in range(20):
                    task = asyncio.create_task(wait(q))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    await q.push(b"x" * 10000)
                    late = q.pop_array()
                    await asyncio.sleep(0.002)
                    assert late.done()
                    del late
            await one()
            gc.collect()
            before = lib.demi_mem_used()
            for _ in range(5):
                await one()
            gc.collect()
            assert lib.demi_mem_used() <= before + 4096, lib.demi_mem_used() - before

    async def wait(q):
        await q.pop()
    demikernel.run(main())


def errors_are_oserrors():
    async def main():
        with Queue.stream() as listener, Queue.stream() as client, Queue.memory() as q:
            listener.bind("127.0.0.1", 0)
            at = listener.name()
            listener.close()
            assert await failure_of(client.connect(*at)) == errno.ECONNREFUSED
            outstanding = q.pop()
            q.close()
            assert await failure_of(outstanding) == errno.ECANCELED
            assert error_of(lambda: q.push(b"x")) == errno.EBADF
            assert error_of(lambda: Array(0)) == errno.ENOMEM
    demikernel.run(main())


def an_array_is_closed_once():
    async def main():
        array = Array(5)
        array.view()[:] = b"bytes"
        assert bytes(array) == b"bytes" and len(array) == 5
        array.close()
        array.close()
        assert len(array) == 0 and bytes(array) == b""
        try:
            array.view()
        except ValueError:
            return
        raise AssertionError("a closed array has a view")
    demikernel.run(main())


def asyncio_goes_on_beside():
    """A socket, a timer and a thread of asyncio's own, while an operation of ours is on its way."""
    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with Queue.memory() as q:
            popped = q.pop()
            theirs.sendall(b"line\n")
            assert await reader.readline() == b"line\n"
            await asyncio.sleep(0.01)
            assert await asyncio.to_thread(lambda: 7) == 7
            await q.push(b"at last")
            assert await popped == b"at last"
        writer.close()
        theirs.close()
    demikernel.run(main())


def tasks_that_are_left_end_with_run():
    async def waits():
        with Queue.memory() as q:
            await q.pop()

    async def main():
        for _ in range(5):
            asyncio.ensure_future(waits())
        await asyncio.sleep(0.001)
    for _ in range(3):
        demikernel.run(main())


TESTS = (the_layouts_are_cs, what_is_not_started_says_so, a_stream_goes_both_ways, datagrams_say_who_sent_them, what_is_cancelled_is_given_back,
         errors_are_oserrors, an_array_is_closed_once, asyncio_goes_on_beside, tasks_that_are_left_end_with_run)
bad = 0
for number, test in enumerate(TESTS, 1):
    try:
        test()
        print("ok %d - %s" % (number, test.__name__.replace("_", " ")))
    except Exception as error:  # noqa: BLE001
        bad += 1
        print("not ok %d - %s\n#   %s: %s line %s" % (number, test.__name__.replace("_", " "), type(error).__name__, error, error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno))
print("1..%d" % len(TESTS))
sys.exit(bad > 0)
