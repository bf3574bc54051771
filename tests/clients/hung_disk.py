#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""A disk that takes nothing for a while: who reads is served, who writes waits where it must, and what waits goes on."""
from here import OURS, Server, Tap, info, log_has, need_server, skip_all, text_of, wait_until
from tampering import Tampering, can_attach

from resp import encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
THREADS = ["--libos-files", "threads"]  # strace does not see what io_uring does
HANGS = "delay_enter=%d" % (8 * 1000000)


def a_save_that_writers_wait_for():
    with Server(OURS, THREADS) as server:
        client, writer = server.client(PATIENCE), server.client(PATIENCE)
        if not can_attach(server):
            skip_all("strace cannot attach here")
        client.call("DEBUG", "POPULATE", "60000", "wide", "1000")
        client.call("CONFIG", "SET", "snapshot-memory-limit", "1mb", "save", "3600 100000000", "rdbcompression", "no")
        with Tampering(server, "pwritev", HANGS, ["temp-%d-1.rdb" % server.pid]):
            client.call("BGSAVE")
            writer.send(b"".join(encode(["SET", "wide:%d" % i, "short"]) for i in range(60000)))
            sizes = [0]  # how far beyond the limit, at which who writes waits, is a matter of how much the walk shows at a time
            tap.ok(wait_until(lambda: sizes.append(int(info(client, "current_cow_size"))) or max(sizes) > 1 << 20), "the disk takes nothing, and old values pile up", [max(sizes)])
            tap.ok(text_of(client, "GET", "wide:59999").startswith(b"value:59999"), "who reads is served")
            tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0", 30) and info(client, "rdb_last_bgsave_status") == "err"
                   and log_has(server, "it is given up"), "such a save is given up, which is a failure")
            replies = [writer.read() for _ in range(60000)]
            tap.ok(all(not r.is_error() or r.text().startswith(b"MISCONF") for r in replies), "and the writers go on, or hear of it")
            tap.ok(client.call("BGSAVE").is_error() and log_has(server, "waits for the disk"), "no other begins while the disk has it")
        tap.ok(wait_until(lambda: text_of(client, "BGSAVE").startswith(b"Background saving started"), 30), "but when that is over")
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok"
               and text_of(client, "SET", "k", "v") == b"OK", "all is well again")


def a_log_that_is_not_written():
    value = "x" * 100000
    with Server(OURS, THREADS + ["--appendonly", "yes", "--appendfsync", "no"]) as server:
        client, writer = server.client(PATIENCE), server.client(PATIENCE)
        client.call("SET", "before", "1")
        with Tampering(server, "writev", "delay_enter=8000000:when=1", ["appendonlydir/appendonly.aof.1.incr.aof"]):
            writer.send(b"".join(encode(["SET", "k%d" % (i % 50), value]) for i in range(1500)))
            tap.ok(wait_until(lambda: log_has(server, "commands that write wait")), "the log cannot be written, and becomes long")
            tap.ok(text_of(client, "GET", "before") == b"1" and text_of(client, "PING") == b"PONG", "who reads is served")
            waits = server.client(PATIENCE)
            waits.send(encode(["SET", "after", "1"]))
            tap.ok(int(info(client, "mem_aof_buffer", "memory")) < 72 << 20, "it does not become longer")
            tap.ok(all(not writer.read().is_error() for _ in range(1500)) and not waits.read().is_error(), "who writes goes on when the disk does")
        tap.ok(int(info(client, "aof_delayed_fsync")) >= 1 and log_has(server, "is written again"), "and both are told of", [info(client, "aof_delayed_fsync")])


a_save_that_writers_wait_for()
a_log_that_is_not_written()
tap.done()
