#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How tools/run-tests counts: what a program says and how it ends against what that comes to."""
import importlib.machinery
import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("run_tests_tool", os.path.join(ROOT, "tools", "run-tests"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(tool)

# claim, output, exit status (None: out of time), passed, failed, skipped
CASES = (
    ("all is well", "ok 1 - a\nok 2 - b\n1..2\n", 0, 2, 0, 0),
    ("a failed case", "ok 1 - a\nnot ok 2 - b\n1..2\n", 1, 1, 1, 0),
    ("a case that is skipped", "ok 1 - a\nok 2 - b # SKIP no tool\n1..2\n", 0, 1, 0, 1),
    ("skipped as a whole", "1..0 # SKIP no tool\n", 77, 0, 0, 1),
    ("skipped by its exit status alone", "no tool here\n", 77, 0, 0, 1),
    ("given up after results, with a plan of none", "ok 1 - a\nok 2 - b\n1..0 # SKIP no tool\n", 77, 2, 0, 1),
    ("given up after results, without a plan", "ok 1 - a\nno tool here\n", 77, 1, 0, 1),
    ("given up in the middle of its plan", "1..5\nok 1 - a\n", 77, 1, 0, 1),
    ("given up after a failure, which stays one", "not ok 1 - a\n1..0 # SKIP no tool\n", 77, 0, 1, 1),
    ("a planned case that did not run", "1..3\nok 1 - a\nok 2 - b\n", 0, 2, 1, 0),
    ("more cases than planned", "1..1\nok 1 - a\nok 2 - b\n", 0, 2, 1, 0),
    ("an exit status without a failed case", "ok 1 - a\n1..1\n", 1, 1, 1, 0),
    ("death after all cases", "ok 1 - a\n1..1\n", -11, 1, 1, 0),
    ("out of time", "1..2\nok 1 - a\n", None, 1, 1, 0),
    ("no TAP, exit status 0", "hello\n", 0, 1, 0, 0),
    ("no TAP, exit status 1", "hello\n", 1, 0, 1, 0),
    ("it bails out", "ok 1 - a\nBail out! no server\n", 1, 1, 1, 0),
    ("a group's tear-down that fails", "1..1\nok 1 - a\nnot ok 0 - group\n", 1, 1, 1, 0),
    ("a group's tear-down that fails before it gives up", "1..1\nok 1 - a\nnot ok 0 - group\n", 77, 1, 1, 0),
)

tap = Tap()
for claim, output, status, passed, failed, skipped in CASES:
    result = tool.Result(claim)
    result.output = output
    tool.judge(result, status, 60)
    got = (result.passed, len(result.failed), len(result.skipped))
    tap.ok(got == (passed, failed, skipped), claim, [] if got == (passed, failed, skipped) else
           ["%d passed, %d failed, %d skipped" % got, result.failed, result.skipped])
tap.done()
