# SPDX-License-Identifier: MIT
"""The charts of README and the book, drawn from the kept figures (figures.py): bars in SVG, without a library. draw() has the
figures themselves, with the least and the most of several rounds as a line across a bar's end; draw_ratios() how many times
better each of them is than redis-server's.

It is an image of its own in the page, so it brings its background and both sets of colours; the reader's light or dark
setting chooses. Every bar has its figure written beside it: colours and lengths only help.

Each panel has a scale of its own, from 0 to its longest bar.
"""
import math
from html import escape

WIDTH, MARGIN = 760, 24
PANEL_WIDTH, PANEL_GAP = 344, 24
HEAD = 58             # above the first panel: the legend
TITLE = 44            # of a panel: its name and what is drawn
LABEL = 66            # left of the bars: GET, SET, ...
VALUE = 48            # right of the longest bar
BAR, BAR_STEP, GROUP_GAP = 14, 17, 10
PANEL_SPACE = 22      # between two panels, one above the other
LONGEST = PANEL_WIDTH - LABEL - VALUE

# The place of a server in the triples of figures, and the order in which its bar is drawn.
SERVERS = ((1, "demikv", "demikv"), (0, "redis", "redis-server"), (2, "null", "null: reads, and sends a fixed reply"))

# title, what is drawn, divisor of the figures, digits, ((label, figure), ...)
PANELS = (
    ("One request at a time", "CPU time of the server for each, in \u00b5s; shorter is better", 1, 2,
     (("GET", "cpu_p1_get"), ("SET", "cpu_p1_set"))),
    ("16 requests at a time (-P 16)", "million requests a second; longer is better", 1e6, 2,
     (("GET", "rps_p16_get"), ("SET", "rps_p16_set"))),
    ("Memory", "bytes for 16 of key and 16 of value; shorter is better", 1, 1,
     (("no expiry", "bytes_plain"), ("expiry", "bytes_expiry"))),
    ("One connection", "median time to the reply, in \u00b5s; shorter is better", 1, 1,
     (("GET", "p50_one"),)),
    ("10 million keys into a file and back", "million keys a second on one core; longer is better", 1e6, 2,
     (("SAVE", "save_rate"), ("loading", "load_rate"))),
    ("Longest gap while they are saved", "that a client sees during BGSAVE, in ms; shorter is better", 1, 1,
     (("BGSAVE", "bgsave_gap_ms"),)),
)

STYLE = """
  svg { background: #ffffff; }
  .ground { fill: #ffffff; }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .what { font-size: 12px; fill: #59636e; }
  .demikv { fill: #0b62d6; }
  .redis { fill: #7d8590; }
  .null { fill: #c8cfd6; }
  .axis { stroke: #b7bec6; }
  .worse { fill: #b42318; }
  .spread { stroke: #1f2328; stroke-width: 1; }
  text.demikv { fill: #1f2328; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    .ground { fill: #0d1117; }
    text, text.demikv { fill: #e6edf3; }
    .what { fill: #9198a1; }
    .demikv { fill: #58a6ff; }
    .redis { fill: #8b949e; }
    .null { fill: #484f58; }
    .axis { stroke: #484f58; }
    .worse { fill: #f47067; }
    .spread { stroke: #e6edf3; }
  }
"""


def text(x, y, words, kind=None, end=False):
    return '<text x="%g" y="%g"%s%s>%s</text>' % (x, y, ' class="%s"' % kind if kind else "",
                                                  ' text-anchor="end"' if end else "", escape(words))


def bar(x, y, length, kind):
    return '<rect class="%s" x="%g" y="%g" width="%g" height="%g" rx="2"/>' % (kind, x, y, length, BAR)


def line(x1, y1, x2, y2, kind):
    return '<line class="%s" x1="%g" y1="%g" x2="%g" y2="%g"/>' % (kind, x1, y1, x2, y2)


def whisker(x, y, least, most):
    """From the least to the most, through the middle of a bar."""
    middle = y + BAR / 2
    return [line(x + least, middle, x + most, middle, "spread"), line(x + least, y + 4, x + least, y + BAR - 4, "spread"), line(x + most, y + 4, x + most, y + BAR - 4, "spread")]


def groups_of(panel, figures, spreads):
    """[(label, [(kind, value, least and most or None), ...]), ...]: what of a panel was measured."""
    found = []
    for label, name in panel[4]:
        values = figures.get(name) or ()
        both = spreads.get(name) or (None,) * 3
        bars = [(kind, values[i], both[i]) for i, kind, _ in SERVERS if i < len(values) and values[i] is not None]
        if bars:
            found.append((label, bars))
    return found


def panel_height(groups):
    return TITLE + sum(len(bars) * BAR_STEP for _, bars in groups) + (len(groups) - 1) * GROUP_GAP


def draw_panel(panel, groups, left, top):
    title, what, divisor, digits, _ = panel
    most = max(max(value, both[1] if both else 0) for _, bars in groups for _, value, both in bars) or 1
    lines = [text(left, top + 14, title, "title"), text(left, top + 32, what, "what")]
    y = top + TITLE
    for label, bars in groups:
        lines.append(text(left + LABEL - 8, y + len(bars) * BAR_STEP / 2 + 3, label, end=True))
        for kind, value, both in bars:
            length = max(1, round(value / most * LONGEST, 1))
            ends = [round(v / most * LONGEST, 1) for v in both] if both else []
            lines.append(bar(left + LABEL, y, length, kind))
            lines += whisker(left + LABEL, y, *ends) if both else []
            lines += [text(left + LABEL + max([length] + ends) + 5, y + 11, "%.*f" % (digits, value / divisor), kind if kind == "demikv" else None)]
            y += BAR_STEP
        y += GROUP_GAP
    lines.append(line(left + LABEL - 0.5, top + TITLE - 3, left + LABEL - 0.5, y - GROUP_GAP, "axis"))
    return lines


def legend():
    lines, x = [], MARGIN
    for _, kind, words in SERVERS:
        lines += [bar(x, 18, BAR, kind), text(x + BAR + 6, 29, words)]
        x += BAR + 6 + 7 * len(words) + 26
    return lines


def page(height, title, lines):
    head = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' % (WIDTH, height, WIDTH, height),
            "<title>%s</title>" % escape(title), "<style>%s</style>" % STYLE, '<rect class="ground" width="%d" height="%d"/>' % (WIDTH, height)]
    return "\n".join(head + lines + ["</svg>"]) + "\n"


RATIO_LABEL, RATIO_VALUE, RATIO_STEP = 420, 60, 27


def is_more_better(name):
    return name.startswith("rps_") or name.endswith(("_rate", "_rps"))


def draw_ratios(rows, figures):
    """How many times better each figure of rows is than redis-server's; the scale is one of doublings. None: there is none."""
    found = []
    for words, name, *_ in rows:
        r7, ours = (list(figures.get(name) or ()) + [None] * 2)[:2]
        if r7 and ours:
            found.append((words.replace("`", ""), ours / r7 if is_more_better(name) else r7 / ours))
    if not found:
        return None
    low, high = min(0.0, min(math.log2(t) for _, t in found)), max(1.0, max(math.log2(t) for _, t in found))
    room = WIDTH - 2 * MARGIN - RATIO_LABEL - RATIO_VALUE
    scale = room / (high - low)
    one = round(MARGIN + RATIO_LABEL - low * scale, 1)
    last = HEAD + 10 + len(found) * RATIO_STEP
    lines = [text(MARGIN, 32, "Times better than redis-server", "title"), text(MARGIN, 50, "1 is alike; each step to the right is twice as good", "what")]
    for step in range(math.ceil(low), math.floor(high) + 1):  # first: bars and figures lie over them
        x = round(one + step * scale, 1)
        lines += [line(x, HEAD + 2, x, last, "axis"), text(x + 3, last + 12, "%g" % 2 ** step, "what")]
    y = HEAD + 10
    for words, times in found:
        length = max(1, round(abs(math.log2(times)) * scale, 1))
        parts = wrapped(words)
        lines += [text(MARGIN + RATIO_LABEL - 8, y + 11 + (13 * i - 6 if len(parts) > 1 else 0), part, end=True) for i, part in enumerate(parts)]
        lines += [bar(one if times >= 1 else one - length, y, length, "demikv" if times >= 1 else "worse"),
                  text(one + 5 + (length if times >= 1 else 0), y + 11, "%.*f" % (1 if times >= 9.95 else 2, times), "demikv")]
        y += RATIO_STEP
    return page(last + MARGIN, "How many times better than redis-server", lines)


def wrapped(words, most=62):
    """One line, or two of about the same length."""
    if len(words) <= most:
        return [words]
    at = min((i for i, c in enumerate(words) if c == " "), key=lambda i: abs(i - len(words) // 2))
    return [words[:at], words[at + 1:]]


def draw(figures, spreads=None):
    """The chart of {name: (redis-server, demikv, null)}, or None: nothing of it was measured. spreads: {name: [[least, most] each]}."""
    panels = [(p, groups_of(p, figures, spreads or {})) for p in PANELS]
    panels = [(p, groups) for p, groups in panels if groups]
    if not panels:
        return None
    lines, top = legend(), HEAD
    for i in range(0, len(panels), 2):
        row = panels[i:i + 2]
        for column, (panel, groups) in enumerate(row):
            lines += draw_panel(panel, groups, MARGIN + column * (PANEL_WIDTH + PANEL_GAP), top)
        top += max(panel_height(groups) for _, groups in row) + PANEL_SPACE
    return page(top, "demikv beside redis-server and a server that does nothing", lines)
