#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The committed figures: the tables of README and the book and the chart are those of figures.json, and `make bench BENCHARGS=--keep` writes them."""
import os
import re
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402
# This file has the name of what it tests, and its folder comes first in sys.path.
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, os.path.join(ROOT, "tools", "bench"))
import chart  # noqa: E402
import figures  # noqa: E402
from table import Table  # noqa: E402

PAGES = ("README.md", "docs/figures.md", "tools/bench/FIGURES.md", "tools/bench/figures.json", "tools/bench/chart.svg", "tools/bench/ratios.svg")
SVG = "{http://www.w3.org/2000/svg}"
OLD = {"measured": "2030-01-02", "machine": "an old machine", "rounds": 5, "redis": "7.0.1"}
BEFORE = {"p1": dict(OLD, figures={"cpu_p1_get": [4.5, 3.5, 3.25], "cpu_p1_set": [5, 4, None]}),
          "memory": dict(OLD, figures={"bytes_plain": [120, 50, None], "bytes_expiry": [160, 60, None]}),
          "one": dict(OLD, figures={"p50_one": [70, 20, 65]})}
tap = Tap()


def copies(root, before):
    for page in PAGES:
        os.makedirs(os.path.dirname(os.path.join(root, page)), exist_ok=True)
    for page in PAGES[:3]:
        shutil.copy(os.path.join(ROOT, page), os.path.join(root, page))
    figures.write(os.path.join(root, "tools/bench/figures.json"), figures.as_json(before))


def pages(root):
    """The pages; None: there is no such page."""
    paths = {page: os.path.join(root, page) for page in PAGES}
    return {page: figures.read(path) if os.path.exists(path) else None for page, path in paths.items()}


def table(name, *triple):
    t = Table("A title", ["test", "figure"])
    t.row("GET", 1.0)
    t.keep(name, *triple)
    return t


def keep(root, found, day="2031-05-06"):
    figures.keep(found, day, "a machine & more", 3, "7.0.99", root=root)
    return pages(root)


def check(claim, passed, *notes):
    tap.ok(passed, claim, [] if passed else notes)


committed = pages(ROOT)
kept = figures.json.loads(committed["tools/bench/figures.json"])
for page, names in figures.SHOWN:
    check("the table of %s is that of figures.json" % page, figures.short_table(kept, page, names) in committed[page], figures.short_table(kept, page, names))
known = {row[1] for row in figures.ROWS}
check("README's rows are some of the book's", set(figures.FEW) < known, set(figures.FEW) - known)
check("so are the charts", chart.draw(figures.all_figures(kept), figures.all_spreads(kept)) == committed["tools/bench/chart.svg"]
      and chart.draw_ratios(figures.ROWS, figures.all_figures(kept)) == committed["tools/bench/ratios.svg"])

# The sections of `make bench`, and each figure that a row or a panel asks for.
run = figures.read(os.path.join(ROOT, "tools/bench/run"))
sections = re.findall(r'"(\w+)": \w+\.section_', run)
unmarked = [s for s in sections if "<!-- %s:begin -->" % s not in committed["tools/bench/FIGURES.md"]]
check("FIGURES.md has a place for every section", len(sections) > 10 and not unmarked, unmarked)
sources = "".join(figures.read(os.path.join(ROOT, "tools/bench", name)) for name in ("speed.py", "size.py", "net.py", "snapshot.py", "journal.py"))
asked = {row[1] for row in figures.ROWS} | {name for panel in chart.PANELS for _, name in panel[4]}
unmade = [a for a in asked if '"%s"' % a not in sources and 'keep="%s' % re.sub(r"(get|set)$", "", a) not in sources]
check("every figure that is shown is taken", not unmade, unmade)

# A run of two sections.
with tempfile.TemporaryDirectory() as root:
    copies(root, BEFORE)
    now = keep(root, {"p1": [table("cpu_p1_get", 4.0, 1.0, 2.0)], "echo": [Table("Echo", ["a"])]})
    check("what was measured is in README and in the book", all("| 4.00 us | 1.00 us | 2.00 us | 0.25 |" in now[page] for page in PAGES[:2]))
    check("with its day and machine", all("(2) Measured 2031-05-06, redis-server 7.0.99, on a machine & more." in now[page] for page in PAGES[:2]))
    rows = [line for line in now["docs/figures.md"].splitlines() if re.match(r"\| .* \(\d\) \|", line)]
    check("and only its own row is of that day", ["CPU time" in row for row in rows if "(2)" in row] == [True] and len(rows) == 3, rows)
    check("and in FIGURES.md", "Measured 2031-05-06 on a machine & more; rounds: 3" in now["tools/bench/FIGURES.md"])
    again = figures.json.loads(now["tools/bench/figures.json"])
    check("figures of other sections stay", all(again[s] == BEFORE[s] for s in BEFORE if s != "p1") and len(again) == len(BEFORE), again)
    # Only the rows of the figures and the line below them differ.
    for page in PAGES[:2]:
        before, after = (re.sub(r"<!-- figures:begin -->.*<!-- figures:end -->", "", p[page], flags=re.S) for p in (committed, now))
        check("nothing else in %s changes" % page, before == after)
    check("writing the same again changes nothing", keep(root, {"p1": [table("cpu_p1_get", 4.0, 1.0, 2.0)]}) == now)

# The first run of all, section by section: one day and one machine everywhere.
with tempfile.TemporaryDirectory() as root:
    copies(root, {})
    nothing = keep(root, {"echo": [Table("Echo", ["a"])]})
    check("without figures the pages say so, and there is no chart",
          all(figures.UNMEASURED in nothing[page] for page in PAGES[:2]) and nothing["tools/bench/chart.svg"] is nothing["tools/bench/ratios.svg"] is None)
    triples = {name: (8.0, 2.0, 1.0) for name in sorted(asked)}
    names, everything = list(triples), {}
    for i, section in enumerate(sections):
        tables = [table(name, *triples[name]) for name in names[i::len(sections)]]
        everything[section] = tables or [Table("A title", ["test"])]
    now = keep(root, everything)
    for page, rows in (("README.md", figures.FEW), ("docs/figures.md", figures.ROWS)):
        inside = now[page].split("<!-- figures:begin -->")[1].split("<!-- figures:end -->")[0]
        check("a run of all sections fills every row of %s" % page, inside.count("| 0.25 |") == len(rows), inside)
        check("all of one day and machine in %s" % page, inside.count("Measured 2031-05-06") == 1 and "(1)" not in inside, inside)
    check("and shows the chart that it draws",
          "(tools/bench/chart.svg)" in now["README.md"] and "(../tools/bench/chart.svg)" in now["docs/figures.md"] and now["tools/bench/chart.svg"] == chart.draw(triples))
    page = now["tools/bench/FIGURES.md"]
    check("every section of FIGURES.md is measured", "Not measured yet" not in page and page.count("Measured 2031-05-06") == len(sections), page)
    check("and says which redis-server", page.count("R7 is redis-server 7.0.99.") == len(sections))

# A page without its marks is refused, before anything is written.
for page, mark in (("README.md", "figures"), ("docs/figures.md", "figures"), ("tools/bench/FIGURES.md", "p1")):
    with tempfile.TemporaryDirectory() as root:
        copies(root, BEFORE)
        path = os.path.join(root, page)
        figures.write(path, figures.read(path).replace("<!-- %s:end -->" % mark, ""))
        before = pages(root)
        try:
            keep(root, {"p1": [table("cpu_p1_get", 4.0, 1.0, 2.0)]})
            refused = False
        except figures.Unkept:
            refused = True
        check("%s without its marks is refused, and nothing is written" % page, refused and pages(root) == before)

# The chart.
made = {"rps_p16_get": (1e6, 2e6, 4e6), "bytes_plain": (120.0, 60.0, None)}
drawn = ElementTree.fromstring(chart.draw(made))
bars = {kind: [float(r.get("width")) for r in drawn.iter(SVG + "rect") if r.get("class") == kind] for kind in ("redis", "demikv", "null")}
lengths = {kind: widths[1:] for kind, widths in bars.items()}  # the first is the legend's
check("bars are as long as their figures", [abs(lengths["redis"][0] * n - lengths[k][0]) < 1 for n, k in ((2, "demikv"), (4, "null"))] == [True, True],
      lengths)
check("each panel has its own scale", abs(lengths["redis"][1] - lengths["null"][0]) < 1 and abs(lengths["demikv"][1] * 2 - lengths["redis"][1]) < 1, lengths)
check("what was not measured has no bar", len(lengths["null"]) == 1 and len(lengths["redis"]) == 2, lengths)
words = [t.text for t in drawn.iter(SVG + "text")]
check("each bar has its figure beside it", all(w in words for w in ("1.00", "2.00", "4.00", "120.0", "60.0")), words)
height, width = float(drawn.get("height")), float(drawn.get("width"))
outside = [r.attrib for r in drawn.iter(SVG + "rect") if float(r.get("x", 0)) + float(r.get("width")) > width or float(r.get("y", 0)) + float(r.get("height")) > height]
check("nothing lies outside", not outside, outside)
check("without figures there is no chart", chart.draw({"other": (1, 2, 3)}) is None)
tap.done()
