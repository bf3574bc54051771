#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""demi/demi.hpp: its tests under the address sanitizer, by GCC and by clang, on several library OSes; and the echo of C++ with
those of C at the other end, on kernel sockets and on our own stack.
"""
import os
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import echoes, pairs, run_tests, sanitized_build  # noqa: E402
from programs import WHERE  # noqa: E402
from rig import BUILD, ROOT  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

LIBRARY = os.path.join(BUILD, "libdemikernel.a")
# clang 14 cannot put the mark of that check before a function that is a coroutine.
COMPILERS = {"g++": ["-fsanitize=address,undefined"], "clang++-14": ["-fsanitize=address,undefined", "-fno-sanitize=function"]}


def built(compiler, out):
    words = [compiler, "-std=c++20", "-O0", "-g1", "-Wall", "-Wextra", "-Werror"] + COMPILERS[compiler] + ["-I", ROOT, os.path.join(ROOT, "tests/demi/cpp_test.cpp"),
             LIBRARY, "-lpthread", "-ldl"] + uring() + ["-o", out]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)


def uring():
    return ["-l:liburing.a"] if subprocess.run(["pkg-config", "--exists", "liburing"]).returncode == 0 else []


def main():
    if not os.path.exists(LIBRARY) or sanitized_build():
        skip_all("no " + LIBRARY + " without a sanitizer")
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        for compiler in COMPILERS:
            if not shutil.which(compiler, path=WHERE):
                tap.skip(compiler, "no %s (Debian package clang-14)" % compiler)
                continue
            program = os.path.join(folder, compiler)
            done = built(compiler, program)
            if not tap.ok(done.returncode == 0, compiler + ": compiles without a warning", [] if done.returncode == 0 else [done.stdout]):
                continue
            for libos in ("posix", "uring", "shm", "loop") if compiler == "g++" else ("posix", "loop"):
                run_tests(tap, compiler, [program], libos)
    mine = [os.path.join(BUILD, "examples/cpp-echo")]
    echoes(tap, "C++", mine)
    pairs(tap, "C++", mine)
    tap.done()


main()
