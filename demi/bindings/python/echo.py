#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tcp-echo in Python: echo.py --server|--client ADDR PORT [SIZE] [COUNT]"""
import asyncio
import sys

import demikernel


async def echo(connection):
    with connection:
        try:
            while True:
                with await connection.pop_array() as array:  # what came in goes out as it lies
                    if not len(array):
                        return
                    await connection.push(array)
        except OSError as error:
            print("connection: %s" % error, file=sys.stderr)


async def serve(host, port):
    connections = set()
    with demikernel.Queue.stream() as listener:
        listener.bind(host, port)
        listener.listen()
        while True:
            try:
                connection, _ = await listener.accept()
            except OSError:  # a client that went before it was accepted
                continue
            task = asyncio.create_task(echo(connection))
            connections.add(task)
            task.add_done_callback(connections.discard)


async def ask(host, port, size, count):
    with demikernel.Queue.stream() as connection:
        await connection.connect(host, port)
        for i in range(count):
            message, got = bytes([i % 256]) * size, b""
            pushed = connection.push(message)
            while len(got) < size:
                some = await connection.pop()
                if not some:
                    raise ConnectionResetError("the server has gone")
                got += some
            if got != message:
                raise ValueError("the echo is another")
            await pushed
    print("%d echoes of %d bytes" % (count, size))


def main(words):
    if len(words) not in (4, 5, 6) or words[1] not in ("--server", "--client"):
        sys.exit("usage: %s --server|--client ADDR PORT [SIZE] [COUNT]" % words[0])
    host, port, size, count = words[2], int(words[3]), int(words[4]) if len(words) > 4 else 64, int(words[5]) if len(words) > 5 else 1000
    if size < 1 or count < 1:
        sys.exit("SIZE and COUNT are at least 1")
    try:
        demikernel.run(serve(host, port) if words[1] == "--server" else ask(host, port, size, count))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


main(sys.argv)
