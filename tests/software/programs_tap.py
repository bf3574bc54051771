# SPDX-License-Identifier: MIT
"""What the programs here share: TAP lines, the server's address, waiting."""
import os
import sys
import time
import traceback

PORT = int(os.environ["REDIS_PORT"])
URL = "redis://127.0.0.1:%d/0" % PORT
SEEN = {"count": 0, "failed": 0}


def ok(passed, claim, *notes):
    SEEN["count"] += 1
    SEEN["failed"] += not passed
    print("%sok %d - %s" % ("" if passed else "not ", SEEN["count"], claim))
    for note in notes if not passed else ():
        print("#   %r" % (note,))
    sys.stdout.flush()


def same(got, wanted, claim):
    ok(got == wanted, claim, got, wanted)


def until(what, seconds=60):
    """No test is decided by how long something takes."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def run(scenario):
    try:
        scenario()
    except Exception:  # whatever a library raises
        ok(False, "the scenario ends", traceback.format_exc())
    print("1..%d" % SEEN["count"])
    sys.stdout.flush()
    os._exit(1 if SEEN["failed"] else 0)
