#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""A file system that fills up under load, with a log of each policy and without one: writes are refused by MISCONF (or, under
`always`, the server ends before it answers), reading is not, saves and rewrites fail and leave nothing behind; a start needs
no room; and with room again all goes on, with all that was acknowledged. The file system is a small tmpfs in a namespace
of mounts of this process's own.

    full_disk.py [--rounds N] [--seed N]
"""
import argparse
import os
import random
import subprocess
import tempfile
import time

from here import OURS, Server, Tap, info, need_server, private_mounts, skip_all, text_of, wait_until
from history import History
from resp import Closed, Silent

PATIENCE = 60
SMALL, LARGE = "6m", "200m"


def leftovers(place):
    return [os.path.join(where, name) for where, _, names in os.walk(place) for name in names if name.startswith("temp-")]


def resize(place, size):
    subprocess.run(["mount", "-o", "remount,size=" + size, place], check=True)


def kill(server):
    server.process.kill()
    server.process.wait()


def is_full(place):
    return os.statvfs(place).f_bavail < 64


def fill_up(server, history, rng, place, policy):
    """Writers until the disk is full; their refusals. Under `always` the server is gone then."""
    writers = history.begin(server.path, rng, insists=True)
    full = wait_until(lambda: any(writer.refusals for writer in writers) or not server.alive(), PATIENCE)
    if policy is None:
        full = wait_until(lambda: is_full(place) or any(writer.refusals for writer in writers), PATIENCE)
    for writer in writers:
        writer.stop()
    return full, {refusal.split(b" ")[0] for writer in writers for refusal in writer.refusals}


def grow(client):
    """More than the disk holds, so that no save fits."""
    for i in range(40):
        if client.call("SET", "large:%d" % i, os.urandom(200000)).is_error():
            return


def with_log(tap, policy, seed):
    rng, history, place = random.Random(seed), History(3), tempfile.mkdtemp(prefix="demikv-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + SMALL, "none", place], check=True)
    with Server(OURS, ["--appendonly", "yes", "--appendfsync", policy, "--dir", place, "--auto-aof-rewrite-percentage", "0"]) as server:
        full, refusals = fill_up(server, history, rng, place, policy)
        client = None
        if policy == "always":
            ended = wait_until(lambda: not server.alive(), PATIENCE) and server.process.returncode == 1
            tap.ok(full and ended and refusals <= {b"-MISCONF", b"-EXECABORT"}, "always: the server ends before it answers", [refusals])
            floor = history.acknowledged()
        else:
            client = server.client(PATIENCE)
            tap.ok(full and refusals and refusals <= {b"-MISCONF", b"-EXECABORT"}, policy + ": writes are refused by MISCONF", [refusals])
            tap.ok(not client.call("GET", "clock").is_error() and info(client, "aof_last_write_status") == "err", policy + ": reading is not")
            text_of(client, "BGREWRITEAOF")
            wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0", PATIENCE)
            text_of(client, "BGSAVE")
            wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0", PATIENCE)
            tap.ok(server.alive() and not leftovers(place), policy + ": rewrites and saves leave nothing behind", leftovers(place))
            resize(place, LARGE)
            fine = wait_until(lambda: not client.call("SET", "probe", "1").is_error(), PATIENCE)
            state = history.acknowledged()
            fine = fine and wait_until(lambda: info(client, "aof_buffer_length") == "0", PATIENCE)
            tap.ok(fine and info(client, "aof_last_write_status") == "ok", policy + ": with room again writes are taken")
            floor = state
            resize(place, str(used(place)))  # as large as what is in it: full again
        if server.alive():
            kill(server)
        started = True
        try:
            server.stop, stop = lambda: None, server.stop
            server.start()
        except RuntimeError as error:
            started = str(error)[-600:]
        finally:
            server.stop = stop
        tap.ok(started is True, policy + ": a start on a full disk needs no room", [started])
        if started is True and policy == "always":  # a key that expires is written, too, and ends it at any moment
            resize(place, LARGE)
            time.sleep(0.2)
            if not server.alive():
                server.start()
        if started is True:
            client = server.client(PATIENCE)
            wrong = history.compare(client, floor)
            tap.ok(not wrong, policy + ": and all that was acknowledged is there", wrong[:5])
            resize(place, LARGE)
            fine = wait_until(lambda: not client.call("SET", "probe", "2").is_error(), PATIENCE)
            tap.ok(fine, policy + ": with room it goes on")
            text_of(client, "BGREWRITEAOF")
            fine = wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0" and info(client, "aof_last_bgrewrite_status") == "ok", PATIENCE)
            tap.ok(fine and text_of(client, "GET", "probe") == b"2", policy + ": and is rewritten")
    subprocess.run(["umount", "-l", place], check=True)
    os.rmdir(place)


def used(place):
    stat = os.statvfs(place)
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def fill(place):
    """To the last byte."""
    try:
        with open(os.path.join(place, "filler"), "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass


def without_log(tap, seed):
    rng, history, place = random.Random(seed), History(3), tempfile.mkdtemp(prefix="demikv-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + SMALL, "none", place], check=True)
    with Server(OURS, ["--save", "3600 100000", "--dir", place]) as server:
        client = server.client(PATIENCE)
        writers = history.begin(server.path, rng, insists=True)
        wait_until(lambda: min(history.acknowledged()) >= 5, PATIENCE)
        for writer in writers:
            writer.stop()
        state = history.acknowledged()
        saved = text_of(client, "SAVE") == b"OK"
        grow(client)
        text_of(client, "BGSAVE")
        wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0", PATIENCE)
        refused = client.call("SET", "probe", "1").raw()
        tap.ok(saved and refused.startswith(b"-MISCONF") and not leftovers(place), "no log: a save fails and leaves nothing, writes are refused", [refused, leftovers(place)])
        fill(place)
        kill(server)
        server.start()
        client = server.client(PATIENCE)
        wrong = history.compare(client, state)
        tap.ok(not wrong, "no log: a start on a full disk has what was saved", wrong[:5])
        resize(place, LARGE)
        tap.ok(text_of(client, "SET", "probe", "2") == b"OK" and text_of(client, "SAVE") == b"OK" and not leftovers(place), "no log: and goes on when there is room")
    subprocess.run(["umount", "-l", place], check=True)
    os.rmdir(place)


def main():
    parser = argparse.ArgumentParser(description="A file system that fills up.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    need_server()
    if not private_mounts():
        skip_all("no right to mount a file system here")
    tap = Tap()
    print("# full_disk.py --rounds %d --seed %d" % (options.rounds, options.seed))
    for seed in range(options.seed, options.seed + options.rounds):
        for policy in ("everysec", "always", "no"):
            with_log(tap, policy, seed)
        without_log(tap, seed)
    tap.done()


main()
