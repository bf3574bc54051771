#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""server/conf/README.md names the options that have no effect: those whose field nobody outside of the configuration reads.
An option that gets its effect leaves the list, and none is added without one in silence.
"""
import fnmatch
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402

ROW = re.compile(r'^    (?:BOOL|NUMBER|STRING|ANY_BYTES|ENUM\w*)\("([\w-]+)",\s*(?:NULL|"[\w-]+"),\s*([^,]*),\s*(\w+)', re.M)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def readers():
    """What may read an option's field: all of the server but the table's own machinery, and what there gives an effect."""
    paths = [p for p in glob.glob(os.path.join(ROOT, "server", "**", "*.[ch]"), recursive=True)
             if not p.endswith("_test.c") and not os.path.relpath(p, ROOT).startswith("server/conf/conf_table")
             and not p.endswith("server/conf/config.h")]
    return "".join(re.sub(r"/\*.*?\*/", " ", read(p), flags=re.S) for p in paths)


tap = Tap()
rows = [(name, field) for name, flags, field in ROW.findall(read("server/conf/conf_table.c")) if "CONF_FIXED" not in flags]
text = readers()
idle = [name for name, field in rows if not re.search(r"(?:->|\.)%s\b" % field, text)]
page = read("server/conf/README.md")
patterns = re.findall(r"`([\w*-]+)`", page[page.index("## Options without effect"):])
exact = [p for p in patterns if "*" not in p]


def told(name):
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


untold = [name for name in idle if not told(name)]
tap.ok(len(rows) > 150 and len(idle) > 20 and not untold, "every option without effect is named", untold)
names = {name for name, _ in rows}
wrong = sorted(p for p in exact if p in names and p not in idle)
tap.ok(not wrong, "what is named has none", wrong)
strange = sorted(p for p in patterns if not any(fnmatch.fnmatchcase(name, p) for name in names) and p != "yes")
tap.ok(not strange, "what is named is there", strange)
# demikv-check-conf says the same.
notes = read("server/check_conf/notes.c")
said = set(re.findall(r'\{"([\w*-]+)", NULL, VERDICT_NO_EFFECT', notes))
tap.ok(said == {p for p in patterns if p != "yes"}, "demikv-check-conf knows them", sorted(said ^ set(patterns)))
tap.done()
