#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""demi/bindings/python, made by Debian's python3-cffi: its tests, and the echo of Python with those of C at the other end."""
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import echoes, pairs, run_tests, sanitized_build  # noqa: E402
from rig import BUILD, ROOT  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's cffi


def main():
    if subprocess.run([PYTHON, "-c", "import cffi, pycparser"], stderr=subprocess.DEVNULL).returncode:
        skip_all("no cffi (Debian package python3-cffi)")
    if not os.path.exists(os.path.join(BUILD, "libdemikernel.so")) or sanitized_build():
        skip_all("no library without a sanitizer")
    tap = Tap()
    binding = os.path.join(ROOT, "demi/bindings/python")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([PYTHON, os.path.join(binding, "generate"), folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if not tap.ok(done.returncode == 0, "Python: the binding is made", [] if done.returncode == 0 else [done.stdout]):
            tap.done()
        env = {"PYTHONPATH": folder + ":" + binding, "PYTHONDONTWRITEBYTECODE": "1", "DEMI_LIBRARY": os.path.join(BUILD, "libdemikernel.so")}
        for libos in ("posix", "uring", "loop"):  # of which the last cannot sleep
            run_tests(tap, "Python", [PYTHON, "-W", "error", os.path.join(ROOT, "tests/demi/python_test.py")], libos, env)
        mine = [PYTHON, os.path.join(binding, "echo.py")]
        echoes(tap, "Python", mine, env)
        pairs(tap, "Python", mine, env)
    tap.done()


main()
