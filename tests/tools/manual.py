#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The manual pages of the library say what the library has: every exported call is named on one page, every configuration
key, socket option and counter has its line, with the bounds, defaults and units that the sources and a running library
have; mandoc and groff find nothing wrong.
"""
import ctypes
import glob
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
LIBRARY = os.path.join(BUILD, "libdemikernel.so")
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap, skip_all  # noqa: E402

PAGES = sorted(glob.glob(os.path.join(ROOT, "demi/man/*.[1357]")) + glob.glob(os.path.join(ROOT, "server/man/*.[15]")))
ENOPROTOOPT, ENOTSUP = 92, 95

if not os.path.exists(LIBRARY):
    skip_all("no " + LIBRARY)
try:
    DEMI = ctypes.CDLL(LIBRARY)
except OSError as problem:  # built for a sanitizer
    skip_all(str(problem))
tap = Tap()


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def source(*patterns):
    paths = [p for pattern in patterns for p in sorted(glob.glob(os.path.join(ROOT, pattern))) if not p.endswith("_test.c")]
    return "".join(without_comments(read(p)) for p in paths)


def check(claim, wrong, enough=True):
    """enough: that what was compared was found at all."""
    tap.ok(enough and not wrong, claim, sorted(wrong) if enough else ["nothing was found to compare"])


def start(libos, key=None):
    """Starts the library OS of this thread; with a key nobody knows: the keys that it says it has."""
    class Setting(ctypes.Structure):
        _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]

    class Options(ctypes.Structure):
        _fields_ = [("libos", ctypes.c_char_p), ("config_path", ctypes.c_char_p), ("settings", ctypes.POINTER(Setting)),
                    ("setting_count", ctypes.c_size_t), ("why", ctypes.c_void_p), ("why_size", ctypes.c_size_t)]
    why = ctypes.create_string_buffer(2048)
    setting = Setting(key and key.encode(), b"1")
    options = Options(libos.encode(), None, ctypes.pointer(setting), 1 if key else 0, ctypes.addressof(why), len(why))
    status = DEMI.demi_init_options(ctypes.byref(options))
    return set(why.value.decode().split("it has: ")[-1].split()) if key else status


# --- calls ------------------------------------------------------------------------------------------------------------

def names(page):
    inside = re.search(r"^\.Sh NAME\n(.*?)^\.Nd", read(page), re.S | re.M)
    return re.findall(r"^\.Nm (\S+)", inside.group(1), re.M) if inside else []


def exported():
    listed = subprocess.run(["nm", "-D", "--defined-only", "--extern-only", LIBRARY], capture_output=True, text=True, check=True)
    return {words[2].split("@")[0] for words in map(str.split, listed.stdout.splitlines()) if len(words) == 3 and words[1] != "A"}


def calls():
    symbols = exported()
    pages = {}
    for page in PAGES:
        for name in names(page):
            pages.setdefault(name, []).append(os.path.basename(page))
    check("every exported call is on a page", {s for s in symbols if s not in pages}, len(symbols) > 50)
    check("and on no more than one", {"%s: %s" % (n, " ".join(p)) for n, p in pages.items() if len(p) > 1})
    check("a page names no call that is not there", {n for n, p in pages.items() if p[0].endswith(".3") and n not in symbols})
    shown = {page: set(re.findall(r"^\.Fn (demi_\w+)", read(page), re.M)) for page in PAGES if page.endswith(".3")}
    check("each call of a page has its prototype there",
          {"%s: %s" % (os.path.basename(page), n) for page in shown for n in names(page) if n not in shown[page]}, len(shown) > 20)
    known = set(pages) | {"demikernel", "demikernel.conf"}
    check("every page that is referred to is there",
          {"%s: %s" % (os.path.basename(page), n) for page in PAGES
           for n in re.findall(r"^\.Xr ((?:demi|demikv)\S*) \d", read(page), re.M) if n not in known})


# --- configuration ----------------------------------------------------------------------------------------------------

FOLDERS = {"Every library OS": ["demi/init.c"], "Streams": ["libos/runtime/kernel_socket.c", "libos/inet/configure.c"],
           "shm": ["libos/shm/*.c"], "uring": ["libos/uring/*.c"], "Raw frames": ["libos/inet/configure.c"], "packet": ["libos/packet/*.c"], "xdp": ["libos/xdp/*.c"],
           "dpdk": ["libos/dpdk/*.c"], "rdma": ["libos/rdma/options.c", "libos/verbs/*.c"], "Faults": ["libos/fault/*.c"]}
READERS = re.compile(r'\b(config_(?:get|int|bool|next)|keys_(?:get|bool|number|size|item)|read_off|read_ms|read_count|plugin_(?:text|number|choice)'
                     r'|packet_key_(?:number|flag|mac)|key|ppm|number|env->get)\((?:[^()",]+, )?"([^"]+)"((?:, [^,()]+)*)')
UNITS = {"k": 10, "m": 20, "g": 30}
CONSTANTS = {"PACKET_QUEUES_MAX": 64, "DPDK_QUEUES_MAX": 64, "MTU_LEAST": 68, "UINT64_MAX": None, "BURST_MAX": None}
# The default of a key, where one line of a source says it: what must stand there.
DEFAULTS = {"dhcp_wait_ms": r"DHCP_WAIT_MS (\d+)", "arp_lifetime": r"c->arp_lifetime, (\d+) \* NSEC_PER_SEC", "arp_retry": r"c->arp_retry, (\d+) \* NSEC_PER_SEC",
            "arp_tries": r"c->arp_tries, (\d+)", "rto_min_ms": r"c->rto_min, (\d+) \* NSEC_PER_MSEC", "rto_max_ms": r"c->rto_max, (\d+) \* NSEC_PER_SEC",
            "rto_initial_ms": r"c->rto_initial, (\d+) \* NSEC_PER_SEC", "delayed_ack_ms": r"c->delayed_ack, (\d+) \* NSEC_PER_MSEC",
            "time_wait_ms": r"c->time_wait, (\d+) \* NSEC_PER_SEC", "rcv_buffer": r"\.rcv_buffer = ([\du <]+),", "connections": r"\.conns = ([\du <]+),",
            "half_open": r"\.half_open = ([\du <]+),", "time_wait": r"\.time_wait = ([\du <]+),", "neighbours": r"\.neighbours = ([\du <]+),",
            "fragment_bytes": r"\.fragment_bytes = ([\du <]+),", "udp_queue": r"\.udp_queue = ([\du <]+),", "tx_frames": r"\.tx_frames = ([^,]+),",
            "icmp_per_s": r"\.icmp_per_s = ([\du <]+),", "resets_per_s": r"\.resets_per_s = ([\du <]+),", "snd_buffer": r"SND_BUFFER +\(([\du <]+)\)",
            "mbufs": r"c->mbufs = (\d+)", "rx_ring": r"c->rx_ring = (?:c->tx_ring = )?(\d+)"}


def number(text):
    """"1u << 20", "64k", "1000"; None where it is none."""
    text = text.strip()
    if text in CONSTANTS:
        return CONSTANTS[text]
    shift = re.fullmatch(r"(\d+)u? << (\d+)", text)
    if shift:
        return int(shift[1]) << int(shift[2])
    bursts = re.fullmatch(r"(\d+) \* NETDEV_BURST", text)
    if bursts:
        return int(bursts[1]) * int(re.search(r"#define NETDEV_BURST +(\d+)", source("tcp/netdev.h"))[1])
    plain = re.fullmatch(r"(\d+)u?([kmg]?)", text)
    return int(plain[1]) << UNITS.get(plain[2], 0) if plain else None


def keys_read(patterns):
    """{key: (least, most) or None} that these sources look for."""
    text, found = source(*patterns), {}
    for reader, key, rest in READERS.findall(text):
        bounds = [number(word) for word in rest.split(", ")[1:3]] if reader in ("keys_number", "plugin_number", "packet_key_number") else []
        found[key] = tuple(bounds) if len(bounds) == 2 and None not in bounds else None
    for key, most in re.findall(r'\{"(\w+)", &l->\w+, ([^}]+)\}', text):
        found[key] = (1, number(most))
    if "libos/inet/configure.c" in patterns:
        found.update({key: (0, 86400000) for key in found if re.search(r'read_ms\(k, "%s"' % key, text)})
    return found


def told(page):
    """{section: {key: what is said of it}} of demikernel.conf.5."""
    found = {}
    for title, body in re.findall(r"^\.Ss (.*?)\n(.*?)(?=^\.S[sh] )", page, re.S | re.M):
        entries = re.split(r"^\.It Li ", body, flags=re.M)[1:]
        section = title.split(":")[0].split(",")[0]
        found[section] = {key: entry.partition("\n")[2] for entry in entries for key in entry.partition("\n")[0].split(" , ")}
    return found


def configuration():
    sections = told(read("demi/man/demikernel.conf.5"))
    theirs = set(re.findall(r'\{"\w+", "((?:raw_socket|demikernel|inetstack_config)\.\w+)"\}', source("libos/inet/keys.c")))
    theirs |= {"inetstack_config.arp_table", "linux_interface_name", "eal_init"}
    check("demikernel.conf.5 has Demikernel's names", set(sections.get("Demikernel's names", {})) ^ theirs, len(theirs) > 5)
    raw = keys_read(FOLDERS["Raw frames"])
    for section, patterns in FOLDERS.items():
        found = {key: bounds for key, bounds in keys_read(patterns).items() if key not in theirs and not key.startswith("eal_init")}
        if section == "Streams":
            found = {key: bounds for key, bounds in found.items() if key.startswith("tcp_socket_options.")}
        elif section == "Raw frames":
            found = {key: bounds for key, bounds in found.items() if not key.startswith("tcp_socket_options.")}
        page = sections.get(section, {})
        untold = {key for key in found if key not in page and not (section in ("packet", "xdp") and key in raw and key in sections["Raw frames"])}
        check("demikernel.conf.5 has every key: " + section, untold, len(found) > 1)
        check("and no other: " + section, set(page) - set(found))
        wrong = set()
        for key, bounds in found.items():
            says = re.search(r"from (\w+) to (\w+)", page.get(key, ""))
            if key in page and bounds and (not says or (number(says[1]), number(says[2])) != bounds):
                wrong.add("%s: %d to %d" % ((key,) + bounds))
        check("its bounds are those of the source: " + section, wrong)
    text = source("libos/inet/configure.c", "tcp/stack.c", "libos/dpdk/config.c")
    wrong = set()
    for key, pattern in DEFAULTS.items():
        says = next((re.search(r"[Dd]efault (\w+)", page[key]) for page in sections.values() if key in page), None)
        is_ = re.search(pattern, text)
        value = is_ and number(is_[1])
        if value is not None and key.endswith("_ms") and "NSEC_PER_SEC" in pattern:
            value *= 1000
        if not says or value is None or number(says[1]) != value:
            wrong.add("%s: page %s, source %s" % (key, says and says[1], value))
    check("its defaults are those of the source", wrong)
    words = {key.split(".")[-1] for page in sections.values() for key in page} | {"enabled"}
    for libos in ("posix", "loop"):
        known = start(libos, "no_such_key")
        check("it has what %s says it has" % libos, known - words, len(known) > 3)
    example = re.search(r"^\.Bd -literal\n(.*?)^\.Ed", read("demi/man/demikernel.conf.5"), re.S | re.M)[1]
    used = {key for key in re.findall(r"^ *(\w+):", example, re.M)} - {"packet"}
    check("the example's keys are there", used - words, len(used) > 3)


# --- socket options -----------------------------------------------------------------------------------------------------

LEVELS = {"SO_": 1, "TCP_": 6, "IPV6_": 41, "IP_": 0}
NUMBERS = {"SO_PROTOCOL": 38, "SO_DOMAIN": 39, "SO_PEERCRED": 17, "TCP_CONGESTION": 13, "TCP_NOTSENT_LOWAT": 25, "TCP_FASTOPEN": 23,
           "TCP_USER_TIMEOUT": 18, "IPV6_TCLASS": 67, "IPV6_UNICAST_HOPS": 16, "IPV6_V6ONLY": 26}


def option_works(name):
    """What the running library OS says of an option: "set, get", "get" or "-"."""
    level = next(number for prefix, number in LEVELS.items() if name.startswith(prefix))
    option = NUMBERS.get(name)
    option = getattr(socket, name, None) if option is None else option
    qd, value, size = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_uint32(256)
    assert DEMI.demi_socket(ctypes.byref(qd), socket.AF_INET6 if level == 41 else socket.AF_INET, socket.SOCK_STREAM, 0) == 0, name
    got = DEMI.demi_getsockopt(qd, level, option, value, ctypes.byref(size))
    if name == "SO_LINGER":
        value.raw, size.value = struct.pack("ii", 0, 0).ljust(256, b"\0"), 8
    put = DEMI.demi_setsockopt(qd, level, option, value, size)
    DEMI.demi_close(qd)
    words = [word for word, status in (("set", put), ("get", got)) if status not in (ENOPROTOOPT, ENOTSUP)]
    return ", ".join(words) or "-"


def options():
    cells = re.findall(r"^\.It Dv (\w+) Ta (.*?) Ta (.*)$", read("demi/man/demi_setsockopt.3"), re.M)
    told_of = {name: (posix, own) for name, posix, own in cells}
    word = r"\b((?:SO|TCP|IP|IPV6)_[A-Z0-9_]+)\b"
    own = set(re.findall(word, source("libos/runtime/ip_option.h"))) | {"SO_RCVBUFFORCE"}  # names of ours, and how SO_RCVBUF is exceeded
    named = set(re.findall(word, source("libos/runtime/kernel_socket.c", "libos/inet/sockopt.c", "libos/runtime/ip_option.c"))) - own
    check("demi_setsockopt.3 has every option", named - set(told_of), len(named) > 20)
    check("and no other", set(told_of) - named)
    for place, libos in enumerate(("posix", "loop")):
        assert start(libos) == 0
        works = {name: option_works(name) for name in told_of}
        check("it says what %s does with it" % libos,
              {"%s: page %s, is %s" % (name, told_of[name][place], works[name]) for name in works if works[name] != told_of[name][place]})
        DEMI.demi_exit()


# --- counters -----------------------------------------------------------------------------------------------------------

def running_counters(libos):
    found = set()
    assert start(libos) == 0
    qd = ctypes.c_int()
    if libos == "posix":  # files bring theirs
        DEMI.demi_open(ctypes.byref(qd), os.devnull.encode(), os.O_RDONLY, 0)
    visit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64)(lambda arg, name, value: found.add(name.decode()))
    DEMI.demi_counters(visit, None)
    DEMI.demi_exit()
    return found


def counters():
    entries = re.findall(r"^\.It Li (\w+\.\w+) Pq (.*)$", read("demi/man/demi_counters.3"), re.M)
    page = {name for name, unit in entries}
    text = source("libos/*/*.c", "tcp/counters.h")
    named = set(re.findall(r'(?:\{|counters?, |&a, )"(\w+\.\w+)", ?&|\bX\(\w+, "(\w+\.\w+)"\)', text))
    named = {name for pair in named for name in pair if name}
    check("demi_counters.3 has every counter", named - page, len(named) > 100)
    running = running_counters("posix") | running_counters("loop")
    check("and every one that runs", running - page, len(running) > 80)
    check("and no other", page - named)
    check("each has a unit", {name for name, unit in entries if not re.fullmatch(r"[a-z0-9 ]+(, now)?", unit)} |
          {name for name, unit in entries if name.endswith("_ns") and unit != "ns" or name.endswith("_bytes") and unit != "bytes"})


# --- form ---------------------------------------------------------------------------------------------------------------

def form():
    for words in (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-mandoc", "-ww", "-z", "-T", "utf8"]):
        claim = "%s finds nothing wrong" % words[0]
        if not shutil.which(words[0]):
            tap.skip(claim, words[0] + " is not installed")
            continue
        said = [subprocess.run(words + [page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for page in PAGES]
        lines = [line for done in said for line in done.stdout.splitlines() if "outdated mandoc.db" not in line]
        check(claim, set(lines), len(PAGES) > 20)


for name in list(os.environ):  # a key's last word in capitals would be taken from there
    if name in ("LIBOS", "CONFIG_PATH", "ADDRESS", "INTERFACE", "PORT"):
        del os.environ[name]
calls()
configuration()
options()
counters()
form()
tap.done()
