#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every folder says what lies in it: it has a README, or is one of those that the README of its parent tells of. Every link of
every page leads to a file, and to a heading that is there.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap, skip_all  # noqa: E402

# One kind of file each, whose names say it all: scripts, inputs and cases, told of above.
TOLD_ABOVE = re.compile(r"tests/packets/.+|tests/fuzz/corpus(/.+)?|tests/compat/cases|packaging/man|packaging/debian/source|demi/bindings/.+|demi/examples/(dns|http|memcache)|\.ci")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def tracked():
    try:
        done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        skip_all("no git, or not a clone")
    return [path for path in done.stdout.split("\0") if path]


def anchors(path):
    """As GitHub makes them: lower case, what is no letter, digit, space or hyphen left out, spaces as hyphens."""
    with open(path, encoding="utf-8") as page:
        heads = re.findall(r"^#+ (.*)$", page.read(), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower()).replace(" ", "-") for head in heads}


def broken(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as page:
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read(), flags=re.S | re.M)
    for link in LINK.findall(text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        to = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), file)) if file else os.path.join(ROOT, path)
        if not os.path.exists(to):
            yield "%s: no %s" % (path, link)
        elif anchor and anchor not in anchors(to):
            yield "%s: no heading for %s" % (path, link)


files = tracked()
tap = Tap()
folders = {os.path.dirname(path) for path in files} - {""}
without = sorted(f for f in folders if not TOLD_ABOVE.fullmatch(f) and not os.path.exists(os.path.join(ROOT, f, "README.md")))
tap.ok(not without, "every folder has a README", without)
pages = [path for path in files if path.endswith(".md") and os.path.exists(os.path.join(ROOT, path))]
wrong = [problem for path in pages for problem in broken(path)]
tap.ok(len(pages) > 20 and not wrong, "every link of a page leads somewhere", wrong)
tap.done()
