#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make docs`: the HTML is whole, every link in it leads to a file and a heading, and links that do not are found."""
import html.parser
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
from tap import Tap  # noqa: E402

loader = importlib.machinery.SourceFileLoader("docs_build", os.path.join(ROOT, "tools", "docs", "build"))
docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs_build", loader))
loader.exec_module(docs)
need("cmark-gfm")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def write(root, path, text):
    os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
    with open(os.path.join(root, path), "w", encoding="utf-8") as file:
        file.write(text)


class Tags(html.parser.HTMLParser):
    def __init__(self):
        html.parser.HTMLParser.__init__(self)
        self.open, self.fault = [], None

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.fault = self.fault or "line %d: </%s>" % (self.getpos()[0], tag)


def unbalanced(text):
    tags = Tags()
    tags.feed(text)
    return tags.fault or ("not closed: %s" % tags.open if tags.open else None)


tap = Tap()
with tempfile.TemporaryDirectory() as into:
    wrong, _ = docs.build(into)
    tap.ok(not wrong, "every link of the book leads somewhere", wrong)
    wrong = docs.check(into)
    tap.ok(not wrong, "and every link of its HTML", wrong)
    order = docs.chapters()
    pages = {path: read(into, docs.place(path)) for path in order}
    tap.ok(all(text.count("<h1 ") == 1 and text.rstrip().endswith("</html>") for text in pages.values()), "every chapter is a page with one title")
    ways = ["%s: no way to %s" % (here, there) for here, there in zip(order, order[1:]) if 'href="%s"' % docs.place(there) not in pages[here]]
    ways += ["%s: no way to the contents" % here for here in order[1:] if 'href="index.html"' not in pages[here]]
    ways += ["%s: no way back" % here for before, here in zip(order[1:], order[2:]) if 'href="%s"' % docs.place(before) not in pages[here]]
    tap.ok(not ways, "each has a way to the next, back, and to the contents", ways)
    typed = [path for path, text in pages.items() if re.search(r"^```console", read(ROOT, path), re.M) and 'class="typed"' not in text]
    tap.ok(not typed, "what is typed stands out", typed)

    tags = ["%s: %s" % (path, unbalanced(text)) for path, text in pages.items() if unbalanced(text)]
    tap.ok(not tags, "what is opened is closed", tags)

# A book of two pages with a fault.
FINE = {"docs/README.md": "# T\n\n1. [One](one.md): x\n", "docs/one.md": "# One\n\n## A `b` c\n\n[self](#a-b-c) [file](../x.txt) [page](../y.md#why) [away](https://example.org/a)\n",
        "x.txt": "x", "y.md": "# Y\n\n## Why\n"}
for claim, page, words, said in (
        ("no fault", "x.txt", "x", None),
        ("a link to no file", "docs/one.md", "# One\n\n[a](two.md)\n", "no two.md"),
        ("a link to no heading of the page", "docs/one.md", "# One\n\n[a](#two)\n", "no heading for #two"),
        ("a link to no heading of another page", "docs/one.md", "# One\n\n[a](../y.md#z)\n", "no heading for tree/y.html#z"),
        ("a picture that is not there", "docs/one.md", "# One\n\n![a](z.svg)\n", "no z.svg"),
        ("an address that is none", "docs/one.md", "# One\n\n[a](https://)\n", "is no address"),
        ("a fault in a page that comes along", "y.md", "# Y\n\n## Why\n\n[a](nothing)\n", "no nothing")):
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as into:
        for path, text in dict(FINE, **{page: words}).items():
            write(root, path, text)
        docs.ROOT = root
        wrong, _ = docs.build(into)
        wrong += docs.check(into)
        tap.ok(not wrong if said is None else any(said in line for line in wrong), ("holds: " if said is None else "found: ") + claim, wrong)
tap.done()
