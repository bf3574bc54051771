# SPDX-License-Identifier: MIT
"""The figures that are committed, and the pages that show them.

A section's tables give names to the figures that the book shows (Table.keep). `make bench BENCHARGS=--keep` writes them to
figures.json, and from all that this file then holds, measured now or earlier, the charts, the table of docs/figures.md, and the few
rows that README has of it. The tables themselves go into FIGURES.md, each between the marks of its section. Sections that
were not run stay as they are.

figures.json: {section: {"measured": day, "machine": text, "rounds": n, "redis": version, "figures": {name: triple},
"spread": {name: [[least, most], ...]}}}, a triple being redis-server, demikv, null; null (None) where there is no such figure.
"""
import json
import os
import re

import chart

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# words, figure, divisor, digits, unit. A figure that was never measured has no row.
ROWS = (
    ("GET, one request at a time: server's CPU time for each", "cpu_p1_get", 1, 2, " us"),
    ("SET, the same", "cpu_p1_set", 1, 2, " us"),
    ("GET, 16 at a time (`-P 16`): requests a second", "rps_p16_get", 1e6, 2, " M"),
    ("SET, the same", "rps_p16_set", 1e6, 2, " M"),
    ("GET, 16 at a time, among 10 million keys: requests a second", "rps_keys", 1e6, 2, " M"),
    ("one connection, one GET at a time: median time to the reply", "p50_one", 1, 1, " us"),
    ("memory for 16 bytes of key and 16 of value", "bytes_plain", 1, 1, " bytes"),
    ("longest silence while 4 million keys come in", "silence_ms", 1, 1, " ms"),
    ("GET, one at a time, demikv over shared memory, redis-server over loopback: requests a second", "rps_memif_get", 1e6, 2, " M"),
    ("SAVE of 10 million keys, on one core: keys a second", "save_rate", 1e6, 2, " M"),
    ("loading them, on one core: keys a second", "load_rate", 1e6, 2, " M"),
    ("longest gap that a client sees while 10 million keys are saved in the background", "bgsave_gap_ms", 1, 1, " ms"),
    ("SET with `appendfsync always`: requests a second", "always_rps", 1e3, 1, " k"),
)


# README's.
FEW = ("cpu_p1_get", "rps_p16_get", "p50_one", "bytes_plain", "always_rps")
SHOWN = (("README.md", FEW), ("docs/figures.md", None))

UNMEASURED = "None are kept yet: `make bench BENCHARGS=--keep` measures them and writes them here."


class Unkept(Exception):
    """A page cannot be written."""


def between(page, path, mark, inside):
    """The page with what stands between two marks replaced."""
    begin, end = "<!-- %s:begin -->" % mark, "<!-- %s:end -->" % mark
    at, to = page.find(begin), page.find(end)
    if at < 0 or to < at:
        raise Unkept("%s has no marks %s and %s" % (path, begin, end))
    return page[:at + len(begin)] + "\n" + inside.strip("\n") + "\n" + page[to:]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, words):
    """Writes a page; None: there is none."""
    if words is None:
        if os.path.exists(path):
            os.unlink(path)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)


def all_figures(kept):
    return {name: triple for section in kept.values() for name, triple in section["figures"].items()}


def all_spreads(kept):
    """{figure: [[least, most] of redis-server, demikv, null]}, where several rounds were kept."""
    return {name: both for section in kept.values() for name, both in section.get("spread", {}).items()}


def cell(value, divisor, digits, unit):
    return "" if value is None else "%.*f%s" % (digits, value / divisor, unit)


def origins(kept, shown):
    """What is shown may come from several runs: the distinct ones, oldest first, and {figure: its index}."""
    whence = {name: (section["measured"], section["machine"], section["redis"])
              for section in kept.values() for name in section["figures"] if name in shown}
    runs = sorted(set(whence.values()))
    return runs, {name: runs.index(run) for name, run in whence.items()}


def short_table(kept, page, names=None):
    """A page's: one row a figure, of names or of all, and under it where the figures come from. Rows of different runs are told
    apart: a figure is never shown under another day or machine than its own. The chart is shown if there is one."""
    figures = all_figures(kept)
    rows = [row for row in ROWS if names is None or row[1] in names]
    runs, index = origins(kept, {row[1] for row in rows})
    if not runs:
        return UNMEASURED
    link = os.path.relpath("tools/bench/chart.svg", os.path.dirname(page) or ".")
    lines = ["![Bars: demikv, redis-server and a server that does nothing](%s)" % link, ""] if chart.draw(figures) else []
    if names is None and chart.draw_ratios(ROWS, figures):
        lines += ["![Bars: how many times better than redis-server each of these figures is](%s)" % os.path.relpath("tools/bench/ratios.svg", os.path.dirname(page) or "."), ""]
    lines += ["| 50 connections, if not said otherwise | redis-server | demikv | null | demikv : redis-server |", "|---|---|---|---|---|"]
    for words, name, *form in rows:
        r7, ours, null = (list(figures.get(name) or ()) + [None] * 3)[:3]
        if ours is None:
            continue
        mark = " (%d)" % (index[name] + 1) if len(runs) > 1 else ""
        times = "%.2f" % (ours / r7) if r7 else ""
        lines.append("| %s%s | %s | %s | %s | %s |" % (words, mark, cell(r7, *form), cell(ours, *form), cell(null, *form), times))
    lines += ["", "Medians. null is a server that parses nothing and answers a fixed reply. More requests a second are better; of",
              "everything else, less is better."]
    for i, (day, machine, redis) in enumerate(runs):
        mark = "- (%d) " % (i + 1) if len(runs) > 1 else ""
        lines.append("%sMeasured %s, redis-server %s, on %s." % (mark, day, redis, machine))
    return "\n".join(lines)


def section_text(tables, measured):
    head = "Measured %s on %s; rounds: %d; R7 is redis-server %s.\n\n" % tuple(
        measured[name] for name in ("measured", "machine", "rounds", "redis"))
    return head + "\n".join(t.markdown(level=4) for t in tables)


def keep(found, day, machine, rounds, redis, root=ROOT):
    """Writes the pages: found is {section: its tables} of this run, sections without tables left out. Nothing is
    written unless all can be."""
    path = {name: os.path.join(root, name) for name in
            ("README.md", "docs/figures.md", "tools/bench/FIGURES.md", "tools/bench/figures.json", "tools/bench/chart.svg", "tools/bench/ratios.svg")}
    kept = json.loads(read(path["tools/bench/figures.json"]))
    page = read(path["tools/bench/FIGURES.md"])
    for section, tables in found.items():
        measured = {"measured": day, "machine": machine, "rounds": rounds, "redis": redis}
        page = between(page, "FIGURES.md", section, section_text(tables, measured))
        names = {name: triple for t in tables for name, triple in t.kept.items()}
        spreads = {name: both for t in tables for name, both in t.spreads.items()}
        if names:
            kept[section] = dict(measured, figures=names, **({"spread": spreads} if spreads else {}))
    shown = {name: between(read(path[name]), name, "figures", short_table(kept, name, names)) for name, names in SHOWN}
    write(path["tools/bench/figures.json"], as_json(kept))
    write(path["tools/bench/FIGURES.md"], page)
    for name, words in shown.items():
        write(path[name], words)
    write(path["tools/bench/chart.svg"], chart.draw(all_figures(kept), all_spreads(kept)))
    write(path["tools/bench/ratios.svg"], chart.draw_ratios(ROWS, all_figures(kept)))


def as_json(kept):
    """A figure a line: a changed figure is a changed line."""
    return re.sub(r"\[\s*([^\[\]]*?)\s*\]", lambda m: "[%s]" % re.sub(r",\s+", ", ", m.group(1)),
                  json.dumps(kept, indent=1, sort_keys=True)) + "\n"
