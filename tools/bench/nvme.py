# SPDX-License-Identifier: MIT
"""Section nvme: instructions of the driver of NVMe for a write of 4 KiB, by callgrind over a controller in memory, whose own are not
counted (tests/bench/nvme_bench.c)."""
import os
import re
import shutil
import subprocess
import tempfile

import rig
from rig import Failed
from table import Table

PROGRAM = os.path.join(rig.BUILD, "bench/nvme_bench")
GOAL = 300
DEPTHS = [(1, "alone"), (64, "64 at a time")]


def count(depth):
    """Instructions a write."""
    out = tempfile.mktemp(prefix="demikv-callgrind-")
    try:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=nvme_post", "--toggle-collect=nvme_turn",
                               "--toggle-collect=nvme_poll", "--callgrind-out-file=" + out, PROGRAM, str(depth)], capture_output=True, text=True, timeout=180)
        writes = re.search(r"^(\d+) writes, (\d+) out", done.stdout, re.M)
        collected = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or not writes or not collected or int(writes.group(2)) != depth:
            raise Failed((done.stdout + done.stderr)[-300:])
    finally:
        if os.path.exists(out):
            os.unlink(out)
    return int(collected.group(1)) / int(writes.group(1))


def section_nvme(bench):
    table = Table("NVMe: instructions of the driver for a write of 4 KiB, from its posting to its completion (callgrind, without the controller)",
                  ["", "instructions", "goal", ""])
    if not shutil.which("valgrind"):
        table.note("valgrind is not installed")
    for depth, what in DEPTHS if shutil.which("valgrind") else []:
        n = count(depth)
        table.judged(what, n, value=n, at_most=GOAL)
    yield table
