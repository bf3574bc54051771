#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Spin looks at every interleaving of arm.pml: the plug-in's order of going to sleep loses no wake-up, and the wrong order does."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
from tap import Tap  # noqa: E402

spin = need("spin")
tap = Tap()


def explore(*options):
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(ROOT, "tests", "rdma", "arm.pml")
        subprocess.run([spin, "-a", *options, model], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"], cwd=folder, check=True)
        done = subprocess.run([os.path.join(folder, "pan"), "-E", "-m20000"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout


out = explore()
tap.ok("errors: 0" in out and "unreached in proctype library" in out, "no completion is slept over, whatever comes when", [out[-1500:]] if "errors: 0" not in out else [])
out = explore("-DLOOK_FIRST")
tap.ok("errors: 1" in out, "Spin finds the one that is, where the queue is looked at before asking", [] if "errors: 1" in out else [out[-1500:]])
tap.done()
