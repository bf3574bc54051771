# SPDX-License-Identifier: MIT
"""Tables of figures: on the terminal as they come, and as markdown for the file of results."""
import statistics


class Median(float):
    """A median that knows what it is of: a table it stands in shows the least and the most, too."""

    def __new__(cls, values):
        made = super().__new__(cls, statistics.median(values))
        made.least, made.most, made.count = min(values), max(values), len(values)
        return made


def median(values):
    values = [v for v in values if v is not None]
    return Median(values) if values else None


def number(value, digits=2):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "%.*f" % (digits, value)


def four_digits(value):
    rounded = float("%.4g" % value)
    return int(rounded) if rounded == int(rounded) else rounded


def is_spread(value):
    return isinstance(value, Median) and value.count > 1


def verdict(value, target, most):
    """'ok' or 'MISS' of a value that must be at most (or at least) target."""
    if value is None or target is None:
        return ""
    return "ok" if (value <= target if most else value >= target) else "MISS"


class Table:
    def __init__(self, title, columns):
        self.title, self.columns, self.rows, self.notes = title, columns, [], []
        self.missed = 0
        self.kept, self.spreads = {}, {}
        self.medians = []  # (row, column, median): of what several rounds have measured

    def keep(self, name, redis, ours, null=None):
        """A figure that README shows (figures.py). None: it could not be measured, and README has no row of it."""
        if ours is not None:
            self.kept[name] = [None if v is None else four_digits(v) for v in (redis, ours, null)]
            if any(is_spread(v) for v in (redis, ours, null)):
                self.spreads[name] = [[four_digits(v.least), four_digits(v.most)] if is_spread(v) else None for v in (redis, ours, null)]

    def row(self, *cells):
        self.medians += [(cells[0], self.columns[i] if i < len(self.columns) else "", c) for i, c in enumerate(cells) if is_spread(c)]
        self.rows.append([c if isinstance(c, str) else number(c) for c in cells])

    def judged(self, *cells, value, at_most=None, at_least=None):
        """A row that ends with its target and whether it was reached."""
        target, most = (at_most, True) if at_most is not None else (at_least, False)
        word = verdict(value, target, most)
        self.missed += word == "MISS"
        sign = "" if target is None else "%s %s" % ("<=" if most else ">=", number(target))
        self.row(*cells, sign, word)

    def judge(self, value, at_most):
        """Three cells: a value, its target, the verdict."""
        word = verdict(value, at_most, True)
        self.missed += word == "MISS"
        return value, "" if at_most is None else "<= " + number(at_most), word

    def note(self, text):
        self.notes.append(text)

    def text(self):
        if not self.rows:
            return "\n".join(["", self.title] + ["  " + n for n in self.notes])
        widths = [max(len(r[i]) for r in [self.columns] + self.rows if i < len(r)) for i in range(len(self.columns))]

        def line(cells):
            first = cells[0].ljust(widths[0])
            return "  " + "  ".join([first] + [c.rjust(w) for c, w in zip(cells[1:], widths[1:])]).rstrip()
        body = [line(self.columns), "  " + "-" * (sum(widths) + 2 * len(widths) - 2)] + [line(r) for r in self.rows]
        return "\n".join(["", self.title] + body + ["  " + n for n in self.notes + self.spread_lines()])

    def spread_lines(self):
        """A line a column: of its rows the one that was measured least alike."""
        widest = {}
        for row, column, m in self.medians:
            if m and (column not in widest or (m.most - m.least) / abs(m) > widest[column][0]):
                widest[column] = ((m.most - m.least) / abs(m), row, m)
        return ["%s: least %s, median %s, most %s (%s, the widest)" % (column, number(m.least), number(m), number(m.most), row) for column, (_, row, m) in widest.items()]

    def markdown(self, level=3):
        lines = ["#" * level + " " + self.title, ""]
        if self.rows:
            lines += ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
            lines += ["| " + " | ".join(r + [""] * (len(self.columns) - len(r))) + " |" for r in self.rows]
        notes = self.notes if self.rows else ["    " + n for n in self.notes]  # what a program printed stays as it is
        return "\n".join(lines + [""] + notes + self.spread_markdown() + [""])

    def spread_markdown(self):
        if not self.medians:
            return []
        lines = ["", "<details><summary>least, median, most of %d rounds</summary>" % max(m.count for _, _, m in self.medians), "",
                 "| row | column | least | median | most |", "|---|---|---|---|---|"]
        lines += ["| %s | %s | %s | %s | %s |" % (row, column, number(m.least), number(m), number(m.most)) for row, column, m in self.medians]
        return lines + ["", "</details>"]
