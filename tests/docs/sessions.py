# SPDX-License-Identifier: MIT
"""Runs a page's sessions as a reader would type them: terminals, commands, what they print.

A page is run in a room of its own (room.sh): other name spaces for processes, network, mounts; an own /tmp; the clone as an
overlay in $HOME/demikv, so that nothing a page does is seen outside, and fixed ports and names are nobody else's. All that it has started ends with it.
"""
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time

import pages

SHORT, LONG = int(os.environ.get("DOCS_SECONDS", "60")), 3600  # seconds for a command; for one of a slow session
NOTES = 60  # lines of a fault
# Reads commands that end with a zero byte. What a command prints goes where the shell's output goes; that it has ended is told by a line.
SHELL = r"""trap : INT
while IFS= read -r -d '' command <&3; do
    eval "$command" </dev/null 3<&- 4>&-
    echo $? >&4
done"""


class Wrong(Exception):
    """What was printed is not what the page says; notes for the reader of the test."""

    def __init__(self, claim, notes=()):
        Exception.__init__(self, claim)
        self.notes = notes


class Terminal:
    def __init__(self, folder, name, env):
        self.output, self.running = os.path.join(folder, "terminal-" + name), None
        self.at, self.lost = 0, False
        commands, self.commands = os.pipe()
        self.ended, ended = os.pipe()
        with open(self.output, "wb") as out:
            self.shell = subprocess.Popen(["bash", "--norc", "-c", "exec 3<&%d 4>&%d\n%s" % (commands, ended, SHELL)], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=subprocess.STDOUT, cwd=env["HOME"] + "/demikv", env=dict(env, DOCS_TERMINAL=self.output),
                                          pass_fds=(commands, ended), start_new_session=True)
        os.close(commands)
        os.close(ended)
        os.set_blocking(self.ended, False)
        self.words = b""

    def begin(self, command):
        self.at = os.path.getsize(self.output)
        os.write(self.commands, command.encode() + b"\0")

    def status(self):
        """The exit status of the command that was begun; None: it runs."""
        try:
            got = os.read(self.ended, 100)
            if not got:
                self.lost = True
                raise Wrong("the terminal's shell has ended", [self.printed()])
            self.words += got
        except BlockingIOError:
            pass
        if b"\n" not in self.words:
            return None
        line, self.words = self.words.split(b"\n", 1)
        return int(line)

    def printed(self):
        with open(self.output, "rb") as file:
            file.seek(self.at)
            return file.read().decode("utf-8", "replace")

    def interrupt(self):
        os.killpg(self.shell.pid, signal.SIGINT)

    def sleeps(self):
        """Whether the shell waits: for its command, or, when that has ended and it has told so, for the next one."""
        time.sleep(0.1)
        with open("/proc/%d/stat" % self.shell.pid, encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def wait(self, seconds, printed=None):
        """Until the command ends, or has printed what the pattern says: its status or None."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.status()
            if status is not None:
                return status
            if printed and printed.match(pages.normal(self.printed())) and self.sleeps():
                return self.status()
            if time.monotonic() > deadline:
                self.lost = True
                raise Wrong("it had %d seconds" % seconds, [self.printed()])
            time.sleep(0.005)


def has_plugin(name):
    return os.path.exists("build/libdemikernel-%s.so" % name)


def is_real_root():
    with open("/proc/self/uid_map", encoding="ascii") as map_file:
        return os.geteuid() == 0 and map_file.read().split() == ["0", "0", "4294967295"]


# What `needs=` names, and how it is looked for. Any other word is a program.
NEEDS = {
    "root": is_real_root,
    "xdp": lambda: has_plugin("xdp") and is_real_root(),
    "dpdk": lambda: has_plugin("dpdk"),
    "tls": lambda: has_plugin("tls"),
    "python3-cffi": lambda: importlib.util.find_spec("cffi") is not None,
}


def lacking(block):
    wanted = (block.words.get("needs") or "").split(",")
    return [word for word in wanted if word and not (NEEDS[word]() if word in NEEDS else shutil.which(word))]


def compare(step, text, status, fails):
    got = pages.normal(text)
    if not pages.pattern(step.expected).match(got):
        raise Wrong("other words are printed", ["printed in the page: " + line for line in step.expected] + ["printed by it: " + line for line in got.splitlines()])
    if (status != 0) != fails:
        raise Wrong("exit status %d" % status, got.splitlines())


class Page:
    """A page's terminals. folder: for what the runner keeps beside."""

    def __init__(self, folder, env):
        self.folder, self.env, self.terminals = folder, env, {}

    def terminal(self, name):
        """The terminal of that name; a new one, if a command there did not end."""
        if name in self.terminals and self.terminals[name].lost:
            os.killpg(self.terminals[name].shell.pid, signal.SIGKILL)
        if name not in self.terminals or self.terminals[name].lost:
            self.terminals[name] = Terminal(self.folder, name, self.env)
        return self.terminals[name]

    def command(self, step):
        if step.typed is None:
            return step.command
        path = os.path.join(self.folder, "typed")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in step.typed))
        return "%s --no-raw < %s" % (step.command or "redis-cli -p %s" % step.port, path)

    def run(self, block):
        """A session, to its end: what ends a server is to be run, too. Wrong, if something goes otherwise than the page says."""
        terminal = self.terminal(block.words.get("in") or "first")
        steps, first = pages.steps(block), None
        for step in steps:
            try:
                self.step(terminal, step, step is steps[-1], block)
            except Wrong as wrong:
                first = first or Wrong("%s: %s" % (step.title(), wrong), wrong.notes)
                if terminal.lost:
                    break
        if first:
            raise first

    def step(self, terminal, step, last, block):
        seconds = LONG if block.slow else SHORT
        if step.command == "^C":
            if not terminal.running:
                raise Wrong("nothing runs in that terminal")
            terminal.at = os.path.getsize(terminal.output)
            terminal.interrupt()
            terminal.running = None
            terminal.wait(seconds)
            if step.expected and not pages.pattern(step.expected).match(pages.normal(terminal.printed())):
                raise Wrong("other words are printed", terminal.printed().splitlines())
            return
        if terminal.running:
            raise Wrong("%r still runs in that terminal" % terminal.running)
        terminal.begin(self.command(step))
        if last and "stays" in block.words:
            status = terminal.wait(seconds, pages.pattern(step.expected, beginning=True))
            if status is not None:
                raise Wrong("it has ended, exit status %d" % status, terminal.printed().splitlines())
            terminal.running = step.command
            return
        status = terminal.wait(seconds)
        compare(step, terminal.printed(), status, last and "fails" in block.words)

    def save(self, block):
        """Below the home folder, or at the top of the clone."""
        name, home = block.words["file"], self.env["HOME"]
        path = os.path.normpath(os.path.join(home, name[2:]) if name.startswith("~/") else os.path.join(home, "demikv", name))
        if not path.startswith(home + "/"):
            raise SystemExit("%s: %s is no file of the reader's" % (block, name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in block.lines))


def run_page(tap, page, blocks, folder, env, slow):
    """Every block of a page in its order; a case each, but for those that the page says are only shown (form.py bounds those). What follows a failure is run, too: it shows what depends on it."""
    here = Page(folder, env)
    for block in blocks:
        if block.kind != "console":
            if "file" in block.words:
                here.save(block)
            continue
        title = "%s: %s" % (block, pages.steps(block)[0].title())
        lacks = lacking(block)
        if block.why_not:
            print("# %s: not run here: %s" % (title, block.why_not))
        elif block.slow and not slow:
            print("# %s: make docs-test runs it: %s" % (title, block.slow))
        elif lacks:
            tap.skip(title, "wants " + ", ".join(lacks))
        else:
            began = time.monotonic()
            try:
                here.run(block)
                took = time.monotonic() - began
                tap.ok(True, title, ["%.1f s" % took] if took > 1 else [])
            except Wrong as wrong:
                notes = [line for note in wrong.notes for line in note.splitlines()]
                tap.ok(False, title, [str(wrong)] + (notes if len(notes) <= NOTES else notes[:NOTES // 2] + ["(...)"] + notes[-NOTES // 2:]))
