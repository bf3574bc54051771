#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""The library is compatible with its last release (tools/abi, demi/abi/), and a library that is not is found out: copies of the
public part are changed, one thing each, and what is said must name the thing.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
LIBRARY = os.path.join(BUILD, "libdemikernel.so")
FLAGS = "-std=gnu11 -O0 -g -fPIC -fvisibility=hidden -DDEMI_LIBRARY=1 -D_GNU_SOURCE -w".split()


def check(library, headers=os.path.join(ROOT, "demi")):
    done = subprocess.run([os.path.join(ROOT, "tools/abi"), "check", "--library", library, "--headers", headers],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=50)
    return done.returncode, done.stdout


class Copy:
    """A copy of the library's public part, which is all that another program sees of it: demi/*.c by themselves. Only what is
    changed is compiled again."""

    def __init__(self, folder):
        self.folder, self.objects = folder, {}
        for top in ("demi", "libos", "tcp", "alloc"):
            shutil.copytree(os.path.join(ROOT, top), os.path.join(folder, top), ignore=shutil.ignore_patterns("*_test.c", "examples", "man"))
        self.sources = sorted(name for name in os.listdir(os.path.join(folder, "demi")) if name.endswith(".c"))
        self.build(self.sources)

    def build(self, names):
        jobs = [subprocess.Popen([os.environ.get("CC", "cc")] + FLAGS + ["-I.", "-c", "demi/" + name, "-o", name + ".o"], cwd=self.folder, stderr=subprocess.PIPE)
                for name in names]
        for name, job in zip(names, jobs):
            if job.wait():
                raise RuntimeError("%s: %s" % (name, job.stderr.read().decode()))
            job.stderr.close()

    def link(self):
        out = os.path.join(self.folder, "libdemikernel.so")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-Wl,-soname,libdemikernel.so.1", "-Wl,--version-script=demi/libdemikernel.map", "-o", out]
                       + [name + ".o" for name in self.sources], cwd=self.folder, check=True, timeout=50)
        return out

    def changed(self, edits, rebuild):
        """What tools/abi says when edits = {file: (pattern, text)} are made; the files are as before afterwards."""
        before = {}
        try:
            for name, (pattern, text) in edits.items():
                path = os.path.join(self.folder, name)
                with open(path, encoding="utf-8") as file:
                    before[path] = file.read()
                after, count = re.subn(pattern, text, before[path], count=1)
                if not count:
                    raise RuntimeError("%s: %s is not there" % (name, pattern))
                with open(path, "w", encoding="utf-8") as file:
                    file.write(after)
            self.build(rebuild)
            return check(self.link(), os.path.join(self.folder, "demi"))
        finally:
            for path, text in before.items():
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            self.build(rebuild)


# What is changed, what must be compiled again, and the words by which it must be named.
CHANGES = (
    ("a field between two others", {"demi/tls.h": (r"bool is_resumed;", "long more; bool is_resumed;")}, ["tls.c"], ["demi_tls_info", "more"]),
    ("another type of a parameter", {"demi/ext.h": (r"int demi_timer\(demi_qtoken_t \*qt_out, uint64_t ns\)", "int demi_timer(demi_qtoken_t *qt_out, unsigned ns)"),
                                     "demi/tasks.c": (r"int demi_timer\(demi_qtoken_t \*qt_out, uint64_t ns\)", "int demi_timer(demi_qtoken_t *qt_out, unsigned ns)")},
     ["tasks.c"], ["demi_timer", "unsigned"]),
    ("a call that has gone", {"demi/libdemikernel.map": (r" demi_flush;", "")}, [], ["demi_flush"]),
    ("a call moved to another version", {"demi/libdemikernel.map": (r"( demi_flush;)([^}]*\}[^{]*\{\s*global:)", r"\2\1")}, [], ["demi_flush", "DEMIKERNEL_1.1"]),
    ("a constant with another number", {"demi/ext.h": (r"DEMI_PUSH_MORE 4u", "DEMI_PUSH_MORE 16u")}, [], ["DEMI_PUSH_MORE", "was 4, is 16"]),
    ("a word with another number", {"demi/tls.h": (r"DEMI_TLS_OWN,", "DEMI_TLS_NEW, DEMI_TLS_OWN,")}, ["tls.c"], ["DEMI_TLS_OWN"]),
    ("a new call among a release's", {"demi/libdemikernel.map": (r" demi_flush;", " demi_flush; demi_added;"),
                                      "demi/move.c": (r"\nint demi_flush\(", '\n__attribute__((visibility("default"))) int demi_added(void) { return 0; }\nint demi_flush(')},
     ["move.c"], ["demi_added", "belongs into the node"]),
    ("a new call without a new version", {"demi/version.h": (r"MINOR 1", "MINOR 0")}, [], ["DEMI_VERSION_MINOR 1"]),
)


def main():
    need("abidw")
    if not os.path.exists(LIBRARY):
        skip_all("no " + LIBRARY)
    with open(LIBRARY, "rb") as library:
        if b"__asan_init" in library.read():
            skip_all("built for a sanitizer")
    tap = Tap()
    status, said = check(LIBRARY)
    tap.ok(status == 0, "the library is compatible with its last release", [said] if status else [])
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder)
        status, said = check(copy.link())
        tap.ok(status == 0, "so is a copy of what is public of it", [said] if status else [])
        for claim, edits, rebuild, words in CHANGES:
            status, said = copy.changed(edits, rebuild)
            found = status == 1 and all(word in said for word in words)
            tap.ok(found, "found: " + claim, [] if found else [said])
        status, said = copy.changed({"demi/libdemikernel.map": (r" demi_feature;", " demi_feature; demi_added;"),
                                     "demi/move.c": (r"\nint demi_flush\(", '\n__attribute__((visibility("default"))) int demi_added(void) { return 0; }\nint demi_flush(')}, ["move.c"])
        tap.ok(status == 0 and "demi_added" in said, "a new call in a node of its own is none", [said] if status else [])
    tap.done()


main()
