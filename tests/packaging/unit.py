# SPDX-License-Identifier: MIT
"""Reads a unit of systemd with its drop-ins: what the [Service] section comes to (systemd.unit(5), systemd.exec(5)).

Only what our units use: an empty value empties a list, a later word of one value wins, %i is the instance.
"""
import os
import re
import shlex
import subprocess

SPANS = {"us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class Unit:
    def __init__(self, path, drop_ins=(), instance=""):
        self.path, self.instance, self.words = path, instance, {}
        for file in (path, *drop_ins):
            self._read(file)

    def _read(self, file):
        section, held = None, ""
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                line = line.rstrip("\n")
                if not held and (not line.strip() or line.lstrip()[0] in "#;"):
                    continue
                line = held + line
                if line.endswith("\\"):
                    held = line[:-1] + " "
                    continue
                held = ""
                if line.startswith("["):
                    section = line.strip("[] ")
                    continue
                name, _, value = line.partition("=")
                key, value = (section, name.strip()), value.strip().replace("%i", self.instance)
                if not value:
                    self.words[key] = [""]
                else:
                    self.words.setdefault(key, []).append(value)

    def all(self, name, section="Service"):
        return self.words.get((section, name), [])

    def one(self, name, default=""):
        values = self.all(name)
        return values[-1] if values else default

    def list(self, name):
        """All words of all lines."""
        return [word for value in self.all(name) for word in shlex.split(value)]

    def yes(self, name):
        return self.one(name) in ("yes", "true", "1", "on")

    def seconds(self, name):
        """None: for ever, or not said."""
        value = self.one(name, "infinity")
        if value == "infinity":
            return None
        return sum(float(n) * SPANS[u or "s"] for n, u in re.findall(r"([\d.]+)\s*([a-z]*)", value))

    def command(self):
        """Program, argv[0], arguments of ExecStart=."""
        words = shlex.split(self.one("ExecStart"))
        if words[0].startswith("@"):
            return words[0][1:], words[1], words[2:]
        return words[0], words[0], words[1:]

    def calls(self):
        """What SystemCallFilter= leaves, and why there is no answer: (names, None) or (None, why)."""
        allowed = set()
        for value in self.all("SystemCallFilter"):
            words = value.lstrip("~").split()
            names, why = expand(words)
            if why:
                return None, why
            allowed = allowed - names if value.startswith("~") else allowed | names
        # What systemd's own starting of a program takes is always in (systemd.exec(5), SystemCallFilter=).
        return allowed | expand(["@default"])[0], None


def expand(words):
    """The calls that systemd means by names like @system-service; every one of them, asked of systemd-analyze once."""
    if not expand.sets:
        try:
            done = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  check=False, timeout=60, env=dict(os.environ, LC_ALL="C", SYSTEMD_COLORS="0"))
        except FileNotFoundError:
            return None, "no systemd-analyze (Debian package systemd)"
        name = None
        for line in done.stdout.splitlines():
            word = line.strip()
            if line.startswith("@"):
                name = word
                expand.sets[name] = []
            elif word.startswith("#"):
                # A list of what no set has follows, as comments.
                name = name if line.startswith(" ") else None
            elif name and word:
                expand.sets[name].append(word)
        if "@system-service" not in expand.sets:
            return None, "systemd-analyze tells of no sets"
    found = set()
    for word in words:
        if word.startswith("@"):
            inner, why = expand(expand.sets.get(word, []))
            if why:
                return None, why
            found |= inner
        else:
            found.add(word)
    return found, None


expand.sets = {}
