# SPDX-License-Identifier: MIT
"""The chart of README, drawn from the kept figures (figures.py): bars in SVG, without a library.

It is an image of its own in the page, so it brings its background and both sets of colours; the reader's light or dark
setting chooses. Every bar has its figure written beside it: colours and lengths only help.

Each panel has a scale of its own, from 0 to its longest bar.
"""
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
  }
"""


def text(x, y, words, kind=None, end=False):
    return '<text x="%g" y="%g"%s%s>%s</text>' % (x, y, ' class="%s"' % kind if kind else "",
                                                  ' text-anchor="end"' if end else "", escape(words))


def bar(x, y, length, kind):
    return '<rect class="%s" x="%g" y="%g" width="%g" height="%g" rx="2"/>' % (kind, x, y, length, BAR)


def groups_of(panel, figures):
    """[(label, [(kind, value), ...]), ...]: what of a panel was measured."""
    found = []
    for label, name in panel[4]:
        values = figures.get(name) or ()
        bars = [(kind, values[i]) for i, kind, _ in SERVERS if i < len(values) and values[i] is not None]
        if bars:
            found.append((label, bars))
    return found


def panel_height(groups):
    return TITLE + sum(len(bars) * BAR_STEP for _, bars in groups) + (len(groups) - 1) * GROUP_GAP


def draw_panel(panel, groups, left, top):
    title, what, divisor, digits, _ = panel
    most = max(value for _, bars in groups for _, value in bars) or 1
    lines = [text(left, top + 14, title, "title"), text(left, top + 32, what, "what")]
    y = top + TITLE
    for label, bars in groups:
        lines.append(text(left + LABEL - 8, y + len(bars) * BAR_STEP / 2 + 3, label, end=True))
        for kind, value in bars:
            length = max(1, round(value / most * LONGEST, 1))
            lines += [bar(left + LABEL, y, length, kind),
                      text(left + LABEL + length + 5, y + 11, "%.*f" % (digits, value / divisor), kind if kind == "demikv" else None)]
            y += BAR_STEP
        y += GROUP_GAP
    lines.append('<line class="axis" x1="%g" y1="%g" x2="%g" y2="%g"/>' %
                 (left + LABEL - 0.5, top + TITLE - 3, left + LABEL - 0.5, y - GROUP_GAP))
    return lines


def legend():
    lines, x = [], MARGIN
    for _, kind, words in SERVERS:
        lines += [bar(x, 18, BAR, kind), text(x + BAR + 6, 29, words)]
        x += BAR + 6 + 7 * len(words) + 26
    return lines


def draw(figures):
    """The chart of {name: (redis-server, demikv, null)}, or None: nothing of it was measured."""
    panels = [(p, groups_of(p, figures)) for p in PANELS]
    panels = [(p, groups) for p, groups in panels if groups]
    if not panels:
        return None
    lines, top = legend(), HEAD
    for i in range(0, len(panels), 2):
        row = panels[i:i + 2]
        for column, (panel, groups) in enumerate(row):
            lines += draw_panel(panel, groups, MARGIN + column * (PANEL_WIDTH + PANEL_GAP), top)
        top += max(panel_height(groups) for _, groups in row) + PANEL_SPACE
    head = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' %
            (WIDTH, top, WIDTH, top),
            "<title>demikv beside redis-server and a server that does nothing</title>",
            "<style>%s</style>" % STYLE, '<rect class="ground" width="%d" height="%d"/>' % (WIDTH, top)]
    return "\n".join(head + lines + ["</svg>"]) + "\n"
