#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/bench: a column has one number, tables know the least and the most of their medians, charts show them, the progress of a run. TAP on stdout."""
import io
import json
import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, os.path.join(ROOT, "tools", "bench"))
import chart  # noqa: E402
import figures  # noqa: E402
from progress import Progress  # noqa: E402
from table import Table, median  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
tap = Tap()


def check(claim, passed, *notes):
    tap.ok(passed, claim, [] if passed else notes)


def crowded(markdown):
    """Cells of tables with more than one number, but for names of tests."""
    found, head = [], None
    for line in markdown.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells and head and len(cells) != len(head) and line.count("|") != head_bars:
            found.append("not as wide as its head: " + line)
        if cells and head is None:
            head, head_bars = cells, line.count("|")
        if cells and cells is not head:
            found += [line for title, c in list(zip(head, cells))[1:] if title != "test" and len(NUMBER.findall(c)) > 1]
        head = head if cells else None
    return found


def tables():
    page = figures.read(os.path.join(ROOT, "tools/bench/FIGURES.md"))
    check("every column of FIGURES.md has one number, and every row all columns", not crowded(page), *crowded(page)[:10])
    check("which is seen where it is not so", len(crowded("| a | b |\n|---|---|\n| x | 1/2 |\n| y | 3 |\n")) == 1)
    t = Table("A title", ["test", "rps R7", "rps demikv", "x R7", "target", ""])
    t.judged("GET", median([9.0, 10.0, 12.0]), median([20.0, None, 30.0]), 2.5, value=2.5, at_least=2.0)
    t.judged("SET", median([1.0, 2.0, 9.0]), median([5.0]), 2.5, value=2.5, at_least=3.0)
    t.keep("rps_p16_get", median([9.0, 10.0, 12.0]), median([20.0, 30.0]), 40.0)
    t.keep("bytes_plain", 1.0, 2.0)
    check("a median stays a number", t.rows[0][1:4] == ["10.00", "25.00", "2.50"] and t.missed == 1, t.rows)
    said = t.text()
    check("the terminal is told of the row that varied most", "rps R7: least 1.00, median 2.00, most 9.00 (SET, the widest)" in said and "rps demikv: least 20.00" in said, said)
    lines = t.markdown().splitlines()
    check("the page of all of them", "| GET | rps R7 | 9.00 | 10.00 | 12.00 |" in lines and "| SET | rps R7 | 1.00 | 2.00 | 9.00 |" in lines and not any("SET | rps demikv" in line for line in lines), lines)
    check("figures are kept with their spread", t.kept == {"rps_p16_get": [10, 25, 40], "bytes_plain": [1, 2, None]} and t.spreads == {"rps_p16_get": [[9, 12], [20, 30], None]}, t.kept, t.spreads)
    check("without rounds nothing is said of a spread", "least" not in Table("x", ["a"]).markdown() + Table("x", ["a"]).text() and median([None]) is None)
    return t


def boxes(drawn):
    """(x, y, width, height) of bars and lines."""
    rects = [tuple(float(r.get(k, 0)) for k in ("x", "y", "width", "height")) for r in drawn.iter(SVG + "rect")]
    ends = [tuple(float(e.get(k)) for k in ("x1", "y1", "x2", "y2")) for e in drawn.iter(SVG + "line")]
    return rects + [(a, b, c - a, d - b) for a, b, c, d in ends]


def fits(drawn):
    width, height = float(drawn.get("width")), float(drawn.get("height"))
    texts = [(float(t.get("x")), float(t.get("y"))) for t in drawn.iter(SVG + "text")]
    return all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes(drawn)) and all(0 <= x <= width and 0 <= y <= height for x, y in texts)


def charts(t):
    plain, spread = chart.draw(t.kept), chart.draw(t.kept, t.spreads)
    drawn = ElementTree.fromstring(spread)
    marks = [e for e in drawn.iter(SVG + "line") if e.get("class") == "spread"]
    check("bars show the least and the most where rounds were kept", "spread\" x" not in plain and len(marks) == 6, len(marks))
    flat = [e for e in marks if e.get("y1") == e.get("y2")]
    bars = [float(r.get("width")) for r in drawn.iter(SVG + "rect") if r.get("class") == "demikv"][1:]
    ends = [(float(e.get("x1")), float(e.get("x2"))) for e in flat]
    left = min(float(r.get("x")) for r in drawn.iter(SVG + "rect") if r.get("class") == "redis" and float(r.get("y")) > 50)
    check("as long as they are", any(abs((a - left) / (b - left) - 20 / 30) < 0.02 and a - left < bars[0] < b - left for a, b in ends), ends, bars, left)
    check("nothing lies outside", fits(drawn))
    check("charts are drawn the same every time", chart.draw(t.kept, t.spreads) == spread)

    rows = (("faster", "rps_a", 1, 1, ""), ("smaller", "bytes_b", 1, 1, ""), ("slower <", "c_rate", 1, 1, ""), ("not measured", "d", 1, 1, ""), ("w" * 40 + " " + "w" * 40, "rps_e", 1, 1, ""))
    text = chart.draw_ratios(rows, {"rps_a": (1, 4, None), "bytes_b": (100, 50, None), "c_rate": (10, 5, 1), "d": (None, 5, 1), "rps_e": (1, 4, 1)})
    drawn = ElementTree.fromstring(text)
    kinds = {kind: [float(r.get("width")) for r in drawn.iter(SVG + "rect") if r.get("class") == kind] for kind in ("demikv", "worse")}
    check("better is to the right, by doublings; worse to the left", len(kinds["demikv"]) == 3 and abs(kinds["demikv"][0] - 2 * kinds["demikv"][1]) < 0.3 and len(kinds["worse"]) == 1
          and abs(kinds["worse"][0] - kinds["demikv"][1]) < 0.3, kinds)
    words = [e.text for e in drawn.iter(SVG + "text")]
    check("each with its figure, long names over two lines", all(w in words for w in ("4.00", "2.00", "0.50", "slower <", "w" * 40)) and "not measured" not in words, words)
    check("nothing of it lies outside", fits(drawn))
    check("without figures there is none", chart.draw_ratios(rows, {}) is None)
    for name in ("chart.svg", "ratios.svg"):
        page = figures.read(os.path.join(ROOT, "tools/bench", name))
        style = page[page.index("<style>"):page.index("</style>")]
        used = set(re.findall(r'class="(\w+)"', page))
        light, dark = style.split("@media (prefers-color-scheme: dark)")
        lost = [k for k in used if ".%s " % k not in light or (".%s " % k not in dark and k != "title")]
        check("%s has its colours in light and dark, and needs nothing else" % name, not lost and not re.search(r"href|url\(|<script|@import", page), lost)


class Screen(io.StringIO):
    live = False

    def isatty(self):
        return self.live


def run(folder, live, names, seconds, failing=()):
    """What a run of sections of so many seconds prints."""
    now, out = [100.0], Screen()
    out.live = live
    progress = Progress(names, 2, os.path.join(folder, "bench", "s.json"), out, lambda: now[0])
    for name in names:
        progress.section(name)
        for _ in progress.rounds(2):
            now[0] += seconds[name] / 2
        if name in failing:
            progress.finish(failed=True)
    progress.end()
    return out.getvalue()


def progresses():
    with tempfile.TemporaryDirectory() as folder:
        names, seconds = ["a", "b", "c"], {"a": 60, "b": 120, "c": 30}
        first = run(folder, False, names, seconds).splitlines()
        check("a line a section, with the time so far", [line.split(";")[0] for line in first] == ["a (1 of 3)", "b (2 of 3)", "c (3 of 3)"] and "3:00 so far" in first[2], first)
        with open(os.path.join(folder, "bench", "s.json"), encoding="utf-8") as file:
            check("what sections took a round is kept", json.load(file) == {"a": 30, "b": 60, "c": 15})
        again = run(folder, False, names, seconds).splitlines()
        check("and tells the next run how long it will be", "about 4 min to go" in again[0] and "about 2 min to go" in again[1] and "about 30 s to go" in again[2], again)
        live = run(folder, True, names, seconds, failing=("b",))
        check("a terminal has one line, with its rounds, and nothing of it at the end", "\n" not in live and "b (2 of 3), round 2 of 2; 2:00 so far" in live and live.endswith(" \r"), repr(live))
        with open(os.path.join(folder, "bench", "s.json"), "w", encoding="utf-8") as file:
            file.write('{"a": -1, "b": "x", "c": 1e999}')
        check("a file that is none is no fault", len(run(folder, False, names, seconds).splitlines()) == 3)


charts(tables())
progresses()
tap.done()
