#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every program that a test or a gate calls is in tests/programs.txt, so that it is installed where tests run.

A word counts as a call where it may be one: the first word of a string in Python, any word of a shell script, what C
gives to system() or an exec: if it is the name of a program of this machine that not every Debian system has. Words that
are programs' names by accident are in NOT_CALLED; in capitals alone they are a protocol's (libwww-perl has a GET).
"""
import ast
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import WHERE, packages  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

# The tools by which people look at speed and write code are asked for where they are used.
NOT_FOR_TESTS = ("tools/bench/", "tools/demi-top", "tools/fresh-machine", "tools/install-deps", "tools/deb", "tools/container-root", "tools/systemd-root",
                 "tests/packaging/fresh.py")
# What every Debian system with a compiler has, beside the essential.
COMPILER = {"binutils", "cpp", "cpp-12", "dpkg-dev", "g++", "g++-12", "gcc", "gcc-12", "make", "patch"}
NOT_CALLED = {"GET", "HEAD", "POST", "as", "busybox", "file", "free", "host", "init", "kill", "kvm", "less", "man", "opt", "rdma", "shutdown", "systemd", "time", "w", "watch", "write"}
# Called where they are; nothing is lost without.
OPTIONAL = {"clang", "clang++", "clang-format", "cppcheck", "python3"}
# Node.js as its makers package it has npm in it.
ELSEWHERE = {"npm": "nodejs"}
PROGRAM = re.compile(r"(?:/usr)?/s?bin/([^/]+)$")


def owners():
    """Program -> its package, for all that dpkg knows but what every system has."""
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Essential} ${Priority}\n"], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    everywhere = {row[0] for row in rows if "yes" in row[1:] or "required" in row[1:]} | COMPILER
    found = {}
    for path in glob.glob("/var/lib/dpkg/info/*.list"):
        package = os.path.basename(path)[:-len(".list")].split(":")[0]
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                match = PROGRAM.match(line.strip())
                if match and package not in everywhere:
                    found[match.group(1)] = package
    return found


def words_of_python(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield from node.value.split()[:1]


def words_of_shell(text):
    for line in text.splitlines():
        yield from re.findall(r"[\w.+-]+", re.sub(r"(^|\s)#.*", "", line))


def words_of_c(text):
    return re.findall(r"\b(?:system|popen|exec[lv]p?e?)\(\s*\"([^\" ]+)", text)


def words(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        text = source.read()
    first = text.split("\n", 1)[0]
    if path.endswith(".py") or "python" in first:
        return set(words_of_python(text))
    if path.endswith(".sh") or first.startswith("#!/bin/") or os.path.basename(path) == "Makefile":
        return set(words_of_shell(text))
    return set(words_of_c(text)) if path.endswith(".c") else set()


def asked_for(path):
    """What is given to need()."""
    with open(path, encoding="utf-8", errors="replace") as source:
        return set(re.findall(r"\bneed\(\"([^\"]+)\"\)", source.read()))


def sources():
    yield "Makefile"
    for top in ("tests", "tools", ".ci", "libos", "demi"):
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                path = os.path.join(folder, name)
                in_code = top in ("libos", "demi")
                if "corpus" not in path and not path.startswith(NOT_FOR_TESTS) and (not in_code or name.endswith("_test.c")):
                    yield path


os.chdir(ROOT)
if not os.path.isdir("/var/lib/dpkg/info"):
    skip_all("not a Debian system")
tap = Tap()
known, listed = owners(), packages()
called = {}
for source in sources():
    for word in words(source):
        name = os.path.basename(word)
        if name in known and name not in NOT_CALLED | OPTIONAL and not name.isupper():
            called.setdefault(name, set()).add(source)
    for name in asked_for(source):  # may be missing here; what is here and not known has every system
        if name in known or not shutil.which(name, path=WHERE):
            called.setdefault(name, set()).add(source)
missing = ["%s (package %s): %s" % (name, known.get(name, "?"), " ".join(sorted(called[name])[:4]))
           for name in sorted(called) if name not in listed]
tap.ok(not missing, "every program that is called is in tests/programs.txt", missing)
idle = sorted(set(listed) - set(called))
tap.ok(not [name for name in idle if name in known], "and every program there is called", idle)
wrong = ["%s is in package %s" % (name, known[name]) for name in sorted(listed)
         if known.get(name, listed[name]) not in (listed[name], ELSEWHERE.get(name))]
tap.ok(not wrong, "in the package that is named", wrong)
tap.done()
