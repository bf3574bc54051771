# SPDX-License-Identifier: MIT
"""Section rdma: instructions of libos/rdma and its plug-in for a message of 64 bytes, by callgrind over the double of libibverbs
(tests/bench/rdma_bench.c). The double's own are subtracted: whatever is called in it from outside, with all that it calls. Then what
rdma_guest.py measures."""
import collections
import os
import re
import shutil
import subprocess
import tempfile

import rdma_guest
import rig
from rig import Failed
from table import Table

ROUNDS = 200
HALVES = [("receive", "completion to completed token", 150), ("send", "push to posted request", 120),
          ("valkey-receive", "the same in Valkey's framing", None), ("valkey-send", "the same in Valkey's framing", None)]
NAME = re.compile(r"^(?:(fl|fi|fe|cfi|cfl|fn|cfn|ob|cob))=\((\d+)\)(?: (.*))?$")
DOUBLE = re.compile(r"tests/rdma/double")


def costs(path):
    """Instructions of a callgrind file, by function: its own, and those of calls into the double."""
    names = collections.defaultdict(dict)
    own, inside = collections.Counter(), 0
    where = function = called_in = None
    calls = False
    with open(path) as lines:
        for line in lines:
            line = line.strip()
            found = NAME.match(line)
            if found:
                kind, number, name = found.groups()
                space = "file" if kind in ("fl", "fi", "fe", "cfi", "cfl") else "fn" if kind in ("fn", "cfn") else "ob"
                if name:
                    names[space][number] = name
                name = names[space].get(number, "")
                if kind == "fl":
                    where = name
                elif kind == "fn":
                    function = name
                    called_in = None
                elif kind in ("cfi", "cfl"):
                    called_in = name
                continue
            if line.startswith("calls="):
                calls = True
                continue
            words = line.split()
            if len(words) == 2 and re.match(r"^[+*-]?\d*$|^\*$", words[0]) and words[1].isdigit():
                cost = int(words[1])
                if calls:
                    if called_in and DOUBLE.search(called_in) and not DOUBLE.search(where or ""):
                        inside += cost
                    calls, called_in = False, None
                else:
                    own[(where, function)] += cost
    return own, inside


def count(half):
    """Instructions a message."""
    program, plugins = os.path.join(rig.BUILD, "bench/rdma_bench"), os.path.join(rig.BUILD, "double")
    if not os.path.exists(os.path.join(plugins, "libdemikernel-rdma.so")):
        raise Failed("built without RDMA (Debian packages libibverbs-dev, librdmacm-dev)")
    out = tempfile.mktemp(prefix="demikv-callgrind-")
    try:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=measured", "--callgrind-out-file=" + out, program, str(ROUNDS), half],
                              env=dict(os.environ, DEMI_PLUGIN_PATH=plugins, DEVICE="double_rxe0"), capture_output=True, text=True, timeout=180)
        messages = re.search(r"^(\d+) messages", done.stdout, re.M)
        if done.returncode or not messages:
            raise Failed((done.stdout + done.stderr)[-300:])
        own, inside = costs(out)
    finally:
        if os.path.exists(out):
            os.unlink(out)
    return (sum(own.values()) - inside) / int(messages.group(1))


def section_rdma(bench):
    table = Table("RDMA: instructions a message of 64 bytes (callgrind; library and plug-in, without the double of libibverbs)",
                  ["", "instructions", "goal", ""])
    if not shutil.which("valgrind"):
        table.note("valgrind is not installed")
        yield table
        return
    for half, what, goal in HALVES:
        try:
            n = count(half)
        except (Failed, OSError, subprocess.TimeoutExpired) as problem:
            table.note("%s: %s" % (half, problem))
            continue
        table.judged("%s: %s" % (half, what), n, value=n, at_most=goal)
    yield table
    try:
        yield from rdma_guest.tables()
    except (Failed, RuntimeError, OSError, SystemExit) as problem:
        missing = Table("RDMA in a guest", ["", ""])
        missing.note("not measured: %s" % problem)
        yield missing
