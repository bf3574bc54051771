#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""README's table of what is missing is what tools/missing-table makes of the sources."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402

tap = Tap()
done = subprocess.run([os.path.join(ROOT, "tools", "missing-table"), "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
tap.ok(done.returncode == 0, "README's table is that of the sources", done.stdout.splitlines())
tap.done()
