#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The book's form: what can be run is run, by a link of each chapter's name beside this file; what is not run says why, and is little."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "compat")]
import pages  # noqa: E402
from tap import Tap  # noqa: E402

ROOT = pages.ROOT
# Of the sessions, one in so many may be left to the reader at most.
NOT_RUN_ONE_IN = 8

tap = Tap()
chapters = pages.chapters()
there = sorted("docs/" + name for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md"))
tap.ok(sorted(chapters) == sorted(["README.md"] + [page for page in there if page != "docs/README.md"]), "the table of contents has every chapter once",
       ["in it: " + " ".join(chapters), "there: " + " ".join(there)])
ran, not_run, slow, wrong, unlinked = 0, [], [], [], []
links = {name[:-3] for name in os.listdir(HERE) if os.path.islink(os.path.join(HERE, name))}
for page in chapters + ["docs/README.md"]:
    name = os.path.splitext(os.path.basename(page))[0]
    try:
        with open(os.path.join(ROOT, page), encoding="utf-8") as text:
            consoles = [block for block in pages.blocks(page, text.read()) if block.kind == "console"]
        for block in consoles:
            pages.steps(block)
    except (pages.Malformed, OSError) as error:
        wrong.append(str(error))
        continue
    not_run += ["%s: %s" % (block, block.why_not) for block in consoles if block.why_not]
    slow += ["%s: %s" % (block, block.slow) for block in consoles if block.slow]
    run_here = [block for block in consoles if not block.why_not]
    ran += len(run_here)
    if page.startswith("docs/") and bool(run_here) != (name in links):
        unlinked.append("%s: %s" % (page, "ln -s chapter.py tests/docs/%s.py" % name if run_here else "nothing of it is run"))
    links.discard(name)
tap.ok(not wrong, "every page is well formed", wrong)
tap.ok(not unlinked and not links, "every chapter with sessions has its test, and no other", unlinked + sorted(links))
print("# %d sessions are run, %d of them by `make docs-test` alone; %d are not:" % (ran, len(slow), len(not_run)))
for line in not_run:
    print("#   " + line)
tap.ok(ran > 0 and len(not_run) * NOT_RUN_ONE_IN <= ran + len(not_run), "few are not run", not_run)
tap.done()
