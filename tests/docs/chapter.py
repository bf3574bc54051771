#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A chapter of the book: every session in it is run, and what is printed compared with what it says.

Links to this file beside it are the chapters: `security.py` runs docs/security.md. By its own name it runs README.md. By hand:

    tests/docs/chapter.py docs/devices.md      tests/docs/chapter.py --slow docs/installing.md      tests/docs/chapter.py - < a page
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:] = [HERE, os.path.join(ROOT, "tests", "compat")] + [p for p in sys.path if os.path.abspath(p or ".") != HERE]
import pages  # noqa: E402
import sessions  # noqa: E402
from programs import WHERE, need  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ROOM = "/tmp/.room"


def outside(arguments):
    """Goes into a room; as nobody, into one where he is root."""
    for program in ("unshare", "redis-cli", "ip"):
        need(program)
    if not os.access(os.path.join(ROOT, "build", "demikv-server"), os.X_OK):
        skip_all("build/demikv-server is not built")
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        unshare[1:1] = ["--user", "--map-root-user"]
    if subprocess.run(unshare + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        skip_all("name spaces are not to be had")
    os.execvp("unshare", unshare + ["sh", os.path.join(HERE, "room.sh"), ROOT, sys.executable, os.path.join("tests/docs/chapter.py"), "--inside"] + arguments)


def inside(page, slow):
    env = {name: value for name, value in os.environ.items() if name in ("DOCS_SECONDS", "TERM", "USER", "CC", "CCACHE_DIR")}
    # Debian's programs first: what somebody has installed besides may want his home folder.
    env.update(HOME="/tmp/home", LC_ALL="C.UTF-8", PATH="%s/bin:%s" % (ROOM, WHERE))
    if page == "-":
        page, text = "stdin", sys.stdin.read()
    else:
        with open(page, encoding="utf-8") as file:
            text = file.read()
    try:
        blocks = pages.blocks(page, text)
    except pages.Malformed as wrong:
        sys.exit(str(wrong))
    tap = Tap()
    sessions.run_page(tap, page, blocks, ROOM, env, slow)
    tap.done()


def page_of(name):
    """Without a link it is README's test."""
    return "README.md" if name == "chapter" else "docs/%s.md" % name


arguments = sys.argv[1:]
if not arguments:
    arguments = [page_of(os.path.splitext(os.path.basename(sys.argv[0]))[0])] + (["--slow"] if os.environ.get("DOCS_SLOW") else [])
if "--inside" in arguments:
    arguments.remove("--inside")
    inside([a for a in arguments if a != "--slow"][0], "--slow" in arguments)
else:
    outside(arguments)
