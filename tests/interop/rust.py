#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""demi/bindings/rust, made by Debian's bindgen and rustc: its tests, and the echo of Rust with those of C at the other end."""
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import echoes, pairs, run_tests, sanitized_build  # noqa: E402
from programs import need  # noqa: E402
from rig import BUILD, ROOT  # noqa: E402
from tap import Tap, skip_all  # noqa: E402


def call(words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, **more)
    return [] if done.returncode == 0 and not done.stdout.strip() else [done.stdout]


def main():
    need("bindgen")
    rustc = need("rustc")
    if not os.path.exists(os.path.join(BUILD, "libdemikernel.so")) or sanitized_build():
        skip_all("no library without a sanitizer")
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        wrong = call([os.path.join(ROOT, "demi/bindings/rust/generate"), folder], env=dict(os.environ, RUSTC=rustc))
        tap.ok(not wrong, "Rust: the binding is made, without a word", wrong)
        for source, program in (("demi/bindings/rust/echo.rs", "echo"), ("tests/demi/rust_test.rs", "test")):
            wrong = call([rustc, "--edition", "2021", "-O", "-D", "warnings", os.path.join(ROOT, source), "--extern", "demikernel=%s/libdemikernel.rlib" % folder,
                          "-L", BUILD, "-ldemikernel", "-C", "link-arg=-Wl,-rpath," + BUILD, "-o", os.path.join(folder, program)])
            if not tap.ok(not wrong, "Rust: %s compiles without a warning" % source, wrong):
                tap.done()
        for libos in ("posix", "uring", "loop"):
            run_tests(tap, "Rust", [os.path.join(folder, "test")], libos)
        mine = [os.path.join(folder, "echo")]
        echoes(tap, "Rust", mine)
        pairs(tap, "Rust", mine)
    tap.done()


main()
