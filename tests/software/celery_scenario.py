# SPDX-License-Identifier: MIT
"""Celery with a worker of its own: queues with priorities, results by channels, retries, groups, chords, remote control."""
import os
import subprocess
import sys
import time

from celery import chain, chord, group

from celery_app import add, app, fails, hard, total
from programs_tap import ok, run, same, until

PATIENCE = 60


def scenario():
    here = os.path.dirname(os.path.abspath(__file__))
    worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency=2", "--pool=threads",
                               "--loglevel=ERROR", "--without-gossip", "--without-mingle"], cwd=here, stderr=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, env=dict(os.environ, C_FORCE_ROOT="1", PYTHONDONTWRITEBYTECODE="1"))
    try:
        same(add.delay(2, 3).get(timeout=PATIENCE), 5, "celery: a task returns its result")
        same(group(add.s(i, i) for i in range(20))().get(timeout=PATIENCE), [2 * i for i in range(20)], "celery: a group does")
        same(chord((add.s(i, 1) for i in range(10)), total.s())().get(timeout=PATIENCE), 55, "celery: a chord waits for all its tasks")
        same(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=PATIENCE), 10, "celery: a chain hands results on")
        same(hard.delay().get(timeout=PATIENCE), 2, "celery: a task is tried again")
        lost = fails.delay()
        try:
            lost.get(timeout=PATIENCE)
            ok(False, "celery: a failure reaches who waits")
        except ValueError as error:
            same(str(error), "never", "celery: a failure reaches who waits")
        began = time.monotonic()
        late = add.apply_async((1, 1), countdown=0.3)
        same(late.get(timeout=PATIENCE), 2, "celery: a delayed task runs")
        ok(time.monotonic() - began >= 0.25, "celery: and not at once")
        done = [add.apply_async((i, 0), priority=i % 10) for i in range(20)]
        same(sorted(r.get(timeout=PATIENCE) for r in done), list(range(20)), "celery: all priorities are served")
        ok(until(lambda: app.control.ping(timeout=2)), "celery: the worker answers to its control")
        same(sum(app.control.purge() for _ in range(1)), 0, "celery: nothing is left in the queue")
    finally:
        worker.terminate()
        worker.wait(PATIENCE)


run(scenario)
