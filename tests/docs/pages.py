# SPDX-License-Identifier: MIT
"""The book's pages as blocks: what stands between fences, what kind it is, and whether it is to be run.

    ```console            a session: lines that begin with `$ ` are typed into a shell, lines like `127.0.0.1:26700> GET x`
                          into redis-cli; under each stands what is printed. A `\` at the end of a line goes on in the next.
    ```console in=two     typed in another terminal of that name; without, the first one
    ```console stays      its last command stays in the foreground; it is run when what stands under it has been printed.
                          A line `^C` in a later block of that terminal ends it
    ```console fails      its last command is to fail
    ```console needs=xdp  words with commas: what has to be there (NEEDS in sessions.py)
    ```c file=echo.c      a file that the reader saves under that name
    ```text, c, conf ...  shown, not run

In what is expected `...` in a line stands for anything within it, a line `...` for any number of lines. Nothing under a
command means that it prints nothing. Empty lines, and spaces at the end of a line, do not count.

A session that cannot be run says so to the reader, in the paragraph in front of it:

    *Not run here: a network card is needed.*      *Takes minutes: run by `make docs-test` alone.*
"""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHOWN = ("text", "c", "cpp", "conf", "yaml", "json", "python", "rust", "sh", "systemd", "lua", "make")
FENCE = re.compile(r"^```(\S*)\s*(.*)$")
PROMPT = re.compile(r"^(127\.0\.0\.1:(\d+)(?:\[\d+\])?(?:\(\w+\))?)> (.*)$")
NOT_RUN = re.compile(r"^\*Not run here: (.+)\*$", re.S)
SLOW = re.compile(r"^\*Takes minutes: (.+)\*$", re.S)
WORDS = {"stays": None, "fails": None, "in": str, "needs": str, "file": str}


class Malformed(Exception):
    pass


class Block:
    """line: that of the fence. words: {word: value or None}. why_not, slow: what the paragraph in front of it says."""

    def __init__(self, page, line, kind, words, lines, before):
        self.page, self.line, self.kind, self.words, self.lines = page, line, kind, words, lines
        not_run, slow = NOT_RUN.match(before), SLOW.match(before)
        self.why_not = not_run and " ".join(not_run[1].split())
        self.slow = slow and " ".join(slow[1].split())

    def __str__(self):
        return "%s:%d" % (self.page, self.line)


class Step:
    """A command and what is to be printed. typed: lines for redis-cli's input, or None. port: of the prompt, if no command opens redis-cli."""

    def __init__(self, command, typed=None, port=None):
        self.command, self.typed, self.port, self.expected = command, typed, port, []

    def title(self):
        return (self.command or "redis-cli") + (" <- " + self.typed[0] if self.typed else "")


def chapters():
    """The book's pages in its order, which is that of the table of contents; README first."""
    with open(os.path.join(ROOT, "docs", "README.md"), encoding="utf-8") as contents:
        names = re.findall(r"^\d+\. \[[^\]]+\]\(([\w-]+\.md)\)", contents.read(), re.M)
    return ["README.md"] + ["docs/" + name for name in names]


def words_of(text, where):
    words = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if name not in WORDS or bool(equals) != (WORDS[name] is not None):
            raise Malformed("%s: what is %r?" % (where, word))
        words[name] = value or None
    return words


def blocks(page, text):
    """All fenced blocks. Malformed: a kind that is not known, a fence that does not end, a command outside of a session."""
    found, inside, before, paragraph = [], None, "", []
    for number, line in enumerate(text.splitlines(), 1):
        where = "%s:%d" % (page, number)
        fence = FENCE.match(line)
        if inside is not None:
            if line.rstrip() == "```":
                found.append(inside)
                inside, before, paragraph = None, "", []
            else:
                inside.lines.append(line.rstrip())
        elif fence:
            kind = fence[1]
            if kind != "console" and kind not in SHOWN:
                raise Malformed("%s: a block is a console, or one of %s" % (where, ", ".join(SHOWN)))
            inside = Block(page, number, kind, words_of(fence[2], where), [], " ".join(paragraph) or before)
        elif not line.strip():
            before, paragraph = " ".join(paragraph) or before, []
        else:
            if re.match(r"^(    |\t)(\$ |# |\S+> )", line):
                raise Malformed("%s: a command in an indented block, where nothing runs it" % where)
            paragraph.append(line.strip())
    if inside is not None:
        raise Malformed("%s: the block does not end" % inside)
    for block in found:
        if block.kind != "console" and any(line.startswith("$ ") or PROMPT.match(line) for line in block.lines):
            raise Malformed("%s: a command in a block that is no console, where nothing runs it" % block)
        if (block.why_not or block.slow) and block.kind != "console":
            raise Malformed("%s: only a console is run" % block)
    return found


def steps(block):
    """A session's steps. "^C" is one by itself."""
    found, lines = [], list(block.lines)
    while lines:
        line = lines.pop(0)
        prompt = PROMPT.match(line)
        if line == "^C":
            found.append(Step("^C"))
        elif line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\") and lines:
                command = command[:-1] + lines.pop(0).lstrip()
            found.append(Step(command))
        elif prompt:
            last = found[-1] if found else None
            if last and last.typed is None and last.command.startswith("redis-cli") and not last.expected:
                last.typed = []
            elif not last or last.typed is None:
                last = Step(None, [], prompt[2])
                found.append(last)
            last.typed.append(prompt[3])
        elif not line.strip():
            continue
        elif not found:
            raise Malformed("%s: it does not begin with a command: %r" % (block, line))
        else:
            found[-1].expected.append(line)
    if not found:
        raise Malformed("%s: an empty session" % block)
    return found


def pattern(expected, beginning=False):
    """What `expected` stands for, as a regular expression over lines that are not empty and end without spaces."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n")
    return re.compile("".join(parts) + ("" if beginning else r"\Z"))


def normal(text):
    """As it stands on a terminal in the end: behind a carriage return a line is written over."""
    lines = [line.rstrip().split("\r")[-1] for line in text.split("\n")]
    return "".join(line + "\n" for line in lines if line)
