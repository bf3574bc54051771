# SPDX-License-Identifier: MIT
"""TAP output: one line a test, what went wrong as comments under it, the plan at the end. Exit codes: 0, 1, 77 (skipped)."""
import sys

SKIPPED = 77


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def ok(self, passed, claim, notes=()):
        self.count += 1
        self.failed += not passed
        print("%sok %d - %s" % ("" if passed else "not ", self.count, claim))
        for note in notes:
            for line in str(note).splitlines():
                print("#   " + line)
        sys.stdout.flush()
        return passed

    def skip(self, claim, reason):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, claim, reason))

    def done(self):
        print("1..%d" % self.count)
        if self.failed:
            print("# %d of %d failed" % (self.failed, self.count))
        sys.exit(1 if self.failed else 0)


def skip_all(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(SKIPPED)
