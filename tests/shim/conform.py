#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The conformance program (conform.c) with and without the shim: each answer and errno is the kernel's.

conform.h says how a check is written.
"""
import os
import subprocess

from matrix import BUILD, SHIM, Tap, need_shim, skip_all

PROGRAM = os.path.join(BUILD, "shim", "conform")


def answers(libos=None):
    """Check -> answer, in order; how the program ended."""
    env = {k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH", "LD_PRELOAD")}
    if libos:
        env.update(LIBOS=libos, LD_PRELOAD=SHIM)
    done = subprocess.run([PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
    rows, seen = [], {}
    for line in done.stdout.splitlines():
        name, result, error = line.rsplit(" ", 2)
        seen[name] = seen.get(name, 0) + 1
        rows.append((name if seen[name] == 1 else "%s (%d)" % (name, seen[name]), (result, error)))
    return dict(rows), done


def main():
    need_shim()
    if not os.path.exists(PROGRAM):
        skip_all("no " + PROGRAM)
    tap = Tap()
    kernel, done = answers()
    tap.ok(done.returncode == 0, "the kernel alone answers", [done.stderr])
    for libos in ("posix",):
        ours, done = answers(libos)
        tap.ok(done.returncode == 0, "%s: the program ends" % libos, [done.returncode, done.stderr] if done.returncode else [])
        for name, answer in kernel.items():
            tap.ok(ours.get(name) == answer, "%s: %s" % (libos, name), ["%s instead of %s" % (ours.get(name), answer)] if ours.get(name) != answer else [])
    tap.done()


main()
