# SPDX-License-Identifier: MIT
"""How far a run is, on standard error: which section, which round, and about how much longer.

    p16 (2 of 32), round 3 of 7; 1:20 so far, about 14 min to go

The estimate is what each section took in the run before (seconds.json in build/bench), a round's share of it for the rounds of
this run; a section that was never run counts as the mean of those that are known. On a terminal it is one line that is written
over; otherwise a line a section.
"""
import json
import os
import sys
import time


class Progress:
    def __init__(self, names=(), rounds=1, path=None, out=sys.stderr, clock=time.monotonic):
        self.names, self.per_round, self.path, self.out, self.clock = list(names), max(1, rounds), path, out, clock
        self.began = self.section_began = clock()
        self.at, self.round, self.rounds_here, self.shown = -1, 0, 0, 0
        self.known = self.read()  # section -> seconds a round
        self.live = out.isatty()

    def read(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                kept = json.load(file)
            return {str(name): float(s) for name, s in kept.items() if 0 <= float(s) < 86400}
        except (OSError, TypeError, ValueError, AttributeError):
            return {}

    def section(self, name):
        """The next one begins."""
        self.finish()
        self.at, self.section_began, self.round, self.rounds_here = self.names.index(name), self.clock(), 0, 0
        self.show(True)

    def finish(self, failed=False):
        """What the last one took is known for the next run."""
        if self.at >= 0 and not failed:
            self.known[self.names[self.at]] = (self.clock() - self.section_began) / self.per_round
        self.at = -1

    def rounds(self, count):
        """The numbers of rounds from 0 on, told as they begin."""
        for r in range(count):
            self.round, self.rounds_here = r + 1, count
            self.show()
            yield r

    def of(self, name):
        """Seconds that a section will take; None: nobody knows."""
        seconds = self.known.get(name)
        if seconds is None and self.known:
            seconds = sum(self.known.values()) / len(self.known)
        return None if seconds is None else seconds * self.per_round

    def left(self):
        """Seconds to go; None: nobody knows."""
        expected = [self.of(name) for name in self.names[self.at:]] if self.at >= 0 else []
        if not expected or None in expected:
            return None
        return max(0.0, expected[0] - (self.clock() - self.section_began)) + sum(expected[1:])

    def text(self):
        words = "%s (%d of %d)" % (self.names[self.at], self.at + 1, len(self.names))
        if self.rounds_here:
            words += ", round %d of %d" % (self.round, self.rounds_here)
        so_far, left = self.clock() - self.began, self.left()
        words += "; %d:%02d so far" % divmod(int(so_far), 60)
        if left is not None:
            words += ", about %s to go" % ("%d min" % round(left / 60) if left >= 90 else "%d s" % round(left))
        return words

    def show(self, section_begins=False):
        if self.at < 0 or not (self.live or section_begins):
            return
        words = self.text()
        self.out.write("\r" + words + " " * max(0, self.shown - len(words)) if self.live else words + "\n")
        self.out.flush()
        self.shown = len(words)

    def clear(self):
        """Before something else is written to the terminal."""
        if self.live and self.shown:
            self.out.write("\r" + " " * self.shown + "\r")
            self.out.flush()
            self.shown = 0

    def end(self):
        self.finish()
        self.clear()
        if self.path and self.known:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(self.known, file, indent=1, sort_keys=True)
                file.write("\n")
