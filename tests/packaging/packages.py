#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""What the Debian packages are made of is up to date with the tree: every file that is installed is in one package, and every
line of the packages' lists has its file; symbols, versions, completion and manual pages say what is there. Nothing is packaged
here: that takes minutes (tools/deb-test).
"""
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "clients"))
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from programs import need  # noqa: E402
from servers import OURS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(FOLDER))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
DEBIAN = os.path.join(ROOT, "packaging/debian")
LIBDIR = "/usr/lib/x86_64-linux-gnu"
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def call(words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False, cwd=ROOT, **more)
    return done.returncode, done.stdout


def installed(work):
    """As debian/rules has it, into a folder; what is there then."""
    with open(os.path.join(work, "demikv.conf"), "w", encoding="utf-8") as conf:
        conf.write(call(["packaging/make-conf", "redis.conf.example"])[1])
    with open(os.path.join(work, "completion"), "w", encoding="utf-8") as completion:
        completion.write(call(["packaging/completion", "server/conf/conf_table.c"])[1])
    os.symlink(os.path.join(BUILD, "tools"), os.path.join(work, "tools"))
    root = os.path.join(work, "root")
    env = dict(os.environ, B=BUILD, PREFIX="/usr", LIBDIR=LIBDIR, SYSCONFDIR="/etc", DESTDIR=root, SONAME="libdemikernel.so.1", LDLIBS="-lpthread")
    first = call(["tools/install", "install"], env=env)
    second = call(["packaging/install-rest", root, LIBDIR], env=dict(os.environ, B=work))
    files = sorted(os.path.relpath(os.path.join(folder, name), root) for folder, folders, names in os.walk(root)
                   for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))])
    return root, files, [out for status, out in (first, second) if status]


def lists():
    """Package -> lines of its list."""
    return {os.path.basename(path)[:-len(".install")]: read(path).split() for path in glob.glob(os.path.join(DEBIAN, "*.install"))}


def in_list(file, line):
    return fnmatch.fnmatchcase(file, line) or fnmatch.fnmatchcase(file, line + "/*")


def every_file_is_in_a_package(tap, files):
    wanted = lists()
    lines = [(package, line) for package, its in wanted.items() for line in its]
    for package, line in lines:
        name = re.fullmatch(r"libdemikernel-(\w+)1", package)
        if name and not os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % name.group(1))):
            continue  # its library is not here
        if not any(in_list(file, line) for file in files):
            tap.ok(False, "%s: %s is there" % (package, line))
    nowhere = [file for file in files if not any(in_list(file, line) for _, line in lines)]
    twice = [file for file in files if len({package for package, line in lines if in_list(file, line)}) > 1]
    tap.ok(files and not nowhere, "every file that is installed is in a package", nowhere)
    tap.ok(not twice, "and in one only", twice)
    named = set(re.findall(r"^Package: (\S+)", read("packaging/debian/control"), re.M))
    tap.ok(set(wanted) == named - {"demikv"}, "every list is one of a package", sorted(set(wanted) ^ named))


def every_program_has_a_page(tap, root, files):
    pages = {re.sub(r"\.\d$", "", os.path.basename(file)) for file in files if "/man/" in file}
    without = [file for file in files if re.match(r"usr/s?bin/", file) and os.path.basename(file) not in pages]
    tap.ok(not without, "every program has a manual page", without)
    status, text = call([need("mandoc"), "-T", "lint", "-W", "warning"] + sorted(glob.glob(os.path.join(ROOT, "packaging/man/*"))))
    tap.ok(status == 0, "mandoc finds nothing wrong in packaging/man", text.splitlines())
    broken = [file for file in files if os.path.islink(os.path.join(root, file)) and not os.path.exists(os.path.join(root, file))]
    tap.ok(not broken, "every link leads somewhere", broken)


def versions_agree(tap):
    ours = re.search(r'DEMIKV_VERSION\s+"(.*)"', read("server/version.h")).group(1)
    changelog = re.match(r"demikv \((.*)\)", read("packaging/debian/changelog")).group(1)
    tap.ok(changelog == ours, "the changelog's version is the server's", [changelog, ours])
    text = call([need("readelf"), "-d", os.path.join(BUILD, "libdemikernel.so")])[1]
    soname = re.search(r"SONAME.*\[(.*)\]", text).group(1)
    package = "libdemikernel" + soname.rsplit(".", 1)[1]
    tap.ok("\nPackage: %s\n" % package in read("packaging/debian/control"), "the library's package is named after its SONAME", [soname])


def symbols_agree(tap):
    text = call([need("nm"), "-D", "--defined-only", os.path.join(BUILD, "libdemikernel.so")])[1]
    there = {line.split()[2].replace("@@", "@") for line in text.splitlines() if len(line.split()) == 3}
    there = {name if "@" in name else name + "@" + name for name in there}
    told = {line.split()[0] for line in read("packaging/debian/libdemikernel1.symbols").splitlines() if line.startswith(" ")}
    tap.ok(len(there) > 50 and there == told, "libdemikernel1.symbols names what the library has",
           ["a line more: %s" % name for name in there - told] + ["not in the library: %s" % name for name in told - there])


def options_of(text):
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text))


def completion_agrees(tap, work):
    text = open(os.path.join(work, "completion"), encoding="utf-8").read()
    with Server(OURS) as server:
        words = [node.text().decode() for node in server.client().call("CONFIG", "GET", "*").kids]
    has = {"--" + name for name in words[::2]}
    offered = options_of(text[text.index("--test-memory\n"):text.index("complete -F _demikv_server")])
    offered -= {"-W", "-v", "-h", "-f", "-F"}
    hidden = {"--" + name for name in re.findall(r'"([\w-]+)",[^\n]*CONF_HIDDEN', read("server/conf/conf_table.c"))}
    extra = offered - has - hidden - {"--version", "--help", "--check-system", "--test-memory", "--include", "--rename-command", "--user"}
    tap.ok(len(has) > 200 and not has - offered, "every option that the server has is offered", sorted(has - offered))
    tap.ok(not extra, "and no other", sorted(extra))
    for name, words in (("demi_top", ["tools/demi-top", "--help"]), ("demi_log", [os.path.join(BUILD, "tools/log/demi-log"), "--help"]),
                        ("demi_load", [os.path.join(BUILD, "tools/bench/load"), "--help"])):
        part = text[text.index("_%s()" % name):text.index("complete -F _%s " % name)]
        usage = call(words)[1]
        usage = options_of(usage.split("Shows what")[0] if name == "demi_top" else re.sub(r'"[^"]*"', "", usage))
        mine = options_of(" ".join(re.findall(r"-W '([^']*)'", part)))
        tap.ok(usage and mine == usage, "%s: its options" % name.replace("_", "-"), sorted(mine ^ usage))
    tap.ok(set(re.findall(r"demi-log (\w+)", call([os.path.join(BUILD, "tools/log/demi-log"), "--help"])[1]))
           == set(re.search(r"cword == 1.*?-W '([^']*)'", text, re.S).group(1).split()), "demi-log: its words")
    completes(tap, work)


def completes(tap, work):
    if not os.path.exists(BASH_COMPLETION):
        tap.skip("bash completes", "no " + BASH_COMPLETION + " (Debian package bash-completion)")
        return
    for line, answer in (("demikv-server --maxmemory-p", "--maxmemory-policy"), ("demikv-server --appendfsync al", "always"),
                         ("demi-log che", "check"), ("demi-load --mark", "--marks")):
        words = line.split()
        script = ". %s; . %s/completion; COMP_WORDS=(%s) COMP_CWORD=%d COMP_LINE='%s' COMP_POINT=%d; %s %s %s; echo \"${COMPREPLY[@]}\"" % (
            BASH_COMPLETION, work, " ".join(words), len(words) - 1, line, len(line), "_" + words[0].replace("-", "_"), words[0], words[-1] + " " + words[-2])
        said = call(["bash", "-c", script])[1].split()
        tap.ok(answer in said, "bash completes %s" % line, said)


for path in (OURS, os.path.join(BUILD, "libdemikernel.so"), os.path.join(BUILD, "tools/bench/load"), os.path.join(BUILD, "tools/log/demi-log")):
    if not os.path.exists(path):
        skip_all("no " + path)
if shutil.which("dpkg") and call(["dpkg", "--print-architecture"])[1].strip() != "amd64":
    skip_all("not amd64")
TAP = Tap()
WORK = tempfile.mkdtemp(prefix="demikv-packages-")
try:
    place, there, wrong = installed(WORK)
    TAP.ok(not wrong, "what packages are made of is installed", wrong)
    every_file_is_in_a_package(TAP, there)
    every_program_has_a_page(TAP, place, there)
    versions_agree(TAP)
    symbols_agree(TAP)
    completion_agrees(TAP, WORK)
finally:
    shutil.rmtree(WORK, ignore_errors=True)
TAP.done()
