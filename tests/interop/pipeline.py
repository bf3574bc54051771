#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""demi/examples/pipeline: threads that hand pieces of a file on through pipes of shared memory; its sums against Python's."""
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import EXAMPLES  # noqa: E402
from rig import PATIENCE, die_with_parent  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PROGRAM = os.path.join(EXAMPLES, "pipeline")
PIECE = 32768


def run(*words):
    done = subprocess.run([PROGRAM] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, preexec_fn=die_with_parent)
    return done.returncode, done.stdout


def said_of(data, workers):
    total = 0
    pieces = [data[i:i + PIECE] for i in range(0, len(data), PIECE)]
    for piece in pieces:
        total = zlib.crc32(struct.pack("<II", total, zlib.crc32(piece)))
    return "%d pieces, %d bytes, %08x, by %d workers\n" % (len(pieces), len(data), total, workers)


def main():
    if not os.path.exists(PROGRAM):
        skip_all("no " + PROGRAM)
    tap, rng = Tap(), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        for size, workers in ((0, 1), (1, 3), (PIECE, 2), (PIECE + 1, 2), (5 * PIECE - 1, 16), (20 << 20, 1), (20 << 20, 4)):
            data = rng.randbytes(size)
            with open(path, "wb") as out:
                out.write(data)
            try:
                got = run(path, str(workers), "--check")
            except subprocess.TimeoutExpired:
                got = "it hangs"
            good = got == (0, said_of(data, workers))
            tap.ok(good, "%d bytes by %d workers" % (size, workers), [] if good else [got])
        for words in ([], [path, "0"], [path, "17"], [path, "x"], [path, "2", "--other"], [os.path.join(folder, "none")], [folder, "2"]):
            status, said = run(*words)
            good = status == 1 and said.strip()
            tap.ok(good, "refused: %s" % " ".join(word.replace(folder, "FOLDER") for word in words), [] if good else [status, said])
    tap.done()


main()
