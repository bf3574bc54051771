#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The runner of the book's sessions finds what is wrong in a page: pages with one fault each, and the same without it."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "compat")]
import pages  # noqa: E402
from tap import Tap, skip_all  # noqa: E402


def run(claims):
    """Pages as one, in an order of their own terminals: {claim: its cases passed, or None if it has none}, and all that was printed."""
    text, starts = "", []
    for claim, page in claims.items():
        starts.append((text.count("\n") + 1, claim))
        text += page.replace("```console", "```console in=t%d" % len(starts)) if "in=" not in page else page
    done = subprocess.run([os.path.join(HERE, "chapter.py"), "-"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=100, env=dict(os.environ, DOCS_SECONDS="3"))
    if done.returncode == 77:
        skip_all(done.stdout.split("# SKIP ")[-1].strip())
    passed = dict.fromkeys(claims)
    for bad, line in re.findall(r"^(not )?ok \d+ - stdin:(\d+):", done.stdout, re.M):
        claim = [name for start, name in starts if start <= int(line)][-1]
        passed[claim] = passed[claim] is not False and not bad
    return passed, done.returncode, done.stdout


def session(lines, words="", before=""):
    return "%s\n\n```console%s\n%s\n```\n" % (before, " " + words if words else "", lines)


# claim: the page.
HOLD = {
    "what is printed as it stands there": session("$ echo one; echo two\none\ntwo"),
    "a part of a line that varies": session("$ echo pid 1234 runs\npid ... runs"),
    "lines that vary": session("$ seq 5\n1\n...\n5"),
    "no line where some may be": session("$ seq 2\n1\n...\n2"),
    "a shell that remembers": session("$ cd /tmp\n$ x=5") + session("$ pwd; echo $x\n/tmp\n5"),
    "a command over two lines": session("$ echo a \\\n    b\na b"),
    "a command that fails, and is said to": session("$ ls /nowhere\nls: ...\n", "fails"),
    "what is printed on either output": session("$ echo out; echo err >&2\nout\nerr"),
    "redis-cli as at a terminal, and into a pipe": session(
        "$ build/demikv-server --port 26700 --save \"\" --logfile s.log &\n$ until redis-cli -p 26700 ping >/dev/null 2>&1; do sleep 0.05; done\n"
        "$ redis-cli -p 26700\n127.0.0.1:26700> INCR a\n(integer) 1\n127.0.0.1:26700> MULTI\nOK\n127.0.0.1:26700(TX)> INCR a\nQUEUED\n127.0.0.1:26700(TX)> EXEC\n"
        "1) (integer) 2\n127.0.0.1:26700> GET a\n\"2\"\n$ redis-cli -p 26700 get a\n\"2\"\n$ redis-cli -p 26700 get a | cat\n2"),
    "two terminals, one of which is busy": session("$ sh -c 'while :; do echo waiting; sleep 0.1; done'\nwaiting", "in=two stays") + session("$ echo here\nhere")
    + session("^C\n$ echo free\nfree", "in=two"),
    "a file that the reader saves": "```c file=some/where.c\nint x;\n```\n" + session("$ cat some/where.c\nint x;"),
    "a session that is not run, with its reason": session("$ false", before="*Not run here: a card is needed.*"),
    "a session for which something is missing": session("$ no-such-program", "needs=no-such-program"),
    "a slow session, left out": session("$ false", before="*Takes minutes: run by `make docs-test` alone.*"),
}
ONLY_SHOWN = ("a session that is not run, with its reason", "a slow session, left out")  # which are no cases
FAULTS = {
    "another word": session("$ echo one\ntwo"),
    "a line that is not printed": session("$ echo one\none\ntwo"),
    "a line that is printed and stands nowhere": session("$ seq 2\n1"),
    "anything at all where nothing stands": session("$ echo one"),
    "a varying part that would have to be of two lines": session("$ echo a; echo b\na...b"),
    "lines in another order": session("$ echo a; echo b\nb\na"),
    "an error that is not told": session("$ false"),
    "a command that is not there": session("$ no-such-program\n..."),
    "a command that should fail and does not": session("$ true", "fails"),
    "a command that should stay and does not": session("$ echo hello\nhello", "stays"),
    "a command that does not end": session("$ sleep 100"),
    "an end of what does not run": session("^C"),
    "a reply of redis-cli's": session("$ build/demikv-server --port 26700 --save \"\" --logfile s.log &\n$ until redis-cli -p 26700 ping >/dev/null 2>&1; do sleep 0.05; done\n"
                                      "127.0.0.1:26700> INCR a\n(integer) 2"),
    "a shell that is ended": session("$ exit 0"),
}
MALFORMED = {
    "a command in an indented block": "text\n\n    $ make run\n",
    "a prompt of redis-cli in an indented block": "text\n\n    127.0.0.1:6379> PING\n    PONG\n",
    "a command in a block that nothing runs": "```text\n$ make run\n```\n",
    "a kind that is not known": "```bash\nmake run\n```\n",
    "a word that is not known": session("$ true", "skip"),
    "a block that does not end": "```console\n$ true\n",
    "a reason in front of what is not run anyway": "*Not run here: why not.*\n\n```conf\nx\n```\n",
}

tap = Tap()
passed, status, words = run(HOLD)
for claim, good in passed.items():
    good = good is None if claim in ONLY_SHOWN else good
    tap.ok(good, "holds: " + claim, [] if good else words.splitlines())
tap.ok(status == 0, "a page that holds passes")
tap.ok(": not run here: a card is needed." in words and ": make docs-test runs it" in words, "what is not run is told, with the reason", words.splitlines())
passed, status, words = run(FAULTS)
for claim, good in passed.items():
    tap.ok(good is False, "found: " + claim, [] if good is False else words.splitlines())
tap.ok(status == 1, "a page with faults does not")
for claim, page in MALFORMED.items():
    try:
        pages.blocks("stdin", page)
        tap.ok(False, "refused: " + claim)
    except pages.Malformed:
        tap.ok(True, "refused: " + claim)

mark = "docs-runner-%d" % os.getpid()
passed, status, words = run({"marks": session("$ touch /tmp/%s %s\n$ sh -c 'sleep 77; : %s' &" % (mark, mark, mark))})
left = [f for f in ("/tmp/" + mark, os.path.join(ROOT, mark)) if os.path.exists(f)]
running = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout.count(mark)
tap.ok(status == 0 and not left and not running, "nothing is left of a page: no file, no process", left + [words])
tap.done()
