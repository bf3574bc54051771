#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""The units of the Debian packages. systemd finds no fault in them and in their drop-ins, and their exposure stays low. Then
the server runs under what its unit says, read from the unit (sandbox.py): it serves, saves, replicates and stops with its
data, tells systemd what it is to be told, and cannot do what the unit takes from it. Each of the last has its control: it can
be done without.
"""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "clients"))
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
import service_filter  # noqa: E402
from resp import Client, encode  # noqa: E402
from servers import OURS, free_port  # noqa: E402
from tap import Tap  # noqa: E402
from here import info, wait_until  # noqa: E402
from unit import Unit  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(FOLDER))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
UNITS = sorted(glob.glob(os.path.join(ROOT, "packaging/debian/*.service")))
DROP_INS = sorted(glob.glob(os.path.join(ROOT, "packaging/systemd/*.conf")))
SERVER_UNIT = os.path.join(ROOT, "packaging/debian/demikv-server.service")
EXPOSURE_MAX, WITH_DROP_IN_MAX = 20, 35  # tenths; the bound, and what a device may cost
USER = 64999

class Quiet(Tap):
    """Notes where something failed only."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


tap = Quiet()
work = tempfile.mkdtemp(prefix="demikv-units-")


def call(words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60, check=False,
                          env=dict(os.environ, LC_ALL="C.UTF-8", SYSTEMD_COLORS="0"), **more)
    return done.returncode, done.stdout


# --- what systemd says of them --------------------------------------------------------------------------------------------

def place(unit, drop_in=None, change=lambda text: text):
    """The unit in a folder of its own, with programs that are there."""
    folder = tempfile.mkdtemp(dir=work)
    name = os.path.basename(unit).replace("@.", "@second.")
    with open(unit, encoding="utf-8") as file:
        text = change(re.sub(r"^(ExecStart=@?)\S+", r"\1/bin/true", file.read(), flags=re.M))
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)
    if drop_in:
        os.mkdir(os.path.join(folder, name + ".d"))
        shutil.copy(drop_in, os.path.join(folder, name + ".d"))
    return os.path.join(folder, name)


def faults(path):
    """What systemd-analyze verify says of this unit; it tells of others that it reads on the way, too."""
    status, text = call(["systemd-analyze", "verify", "--man=no", path])
    name = os.path.basename(path)
    return [line for line in text.splitlines() if name in line or os.path.dirname(path) in line or (status and "ailed" in line)]


def exposure(path):
    status, text = call(["systemd-analyze", "--no-pager", "security", "--offline=true", path])
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", text)
    return round(float(found.group(1)) * 10) if found else None


def systemd_agrees():
    if not shutil.which("systemd-analyze"):
        tap.skip("what systemd says of the units", "no systemd-analyze (Debian package systemd)")
        return
    tap.ok(len(UNITS) == 3 and len(DROP_INS) >= 6, "units and drop-ins are there", UNITS + DROP_INS)
    for unit in UNITS:
        name, path = os.path.basename(unit), place(unit)
        wrong = faults(path)
        tap.ok(not wrong, "systemd finds no fault in " + name, wrong)
        level = exposure(path)
        tap.ok(level is not None and level <= EXPOSURE_MAX, "%s is exposed by %.1f, at most %.1f" % (name, (level or 0) / 10, EXPOSURE_MAX / 10))
    for drop_in in DROP_INS:
        name, path = os.path.basename(drop_in), place(SERVER_UNIT, drop_in)
        wrong = faults(path)
        tap.ok(not wrong, "nor in it with " + name, wrong)
        level = exposure(path)
        tap.ok(level is not None and level <= WITH_DROP_IN_MAX,
               "with %s it is exposed by %.1f, at most %.1f" % (name, (level or 0) / 10, WITH_DROP_IN_MAX / 10))
    broken = faults(place(SERVER_UNIT, change=lambda text: text.replace("ProtectSystem=strict", "ProtectSystem=strictly")))
    tap.ok(broken, "it does find one that is there")
    open_wide = exposure(place(SERVER_UNIT, change=lambda text: text.replace("PrivateUsers=yes\n", "").replace("CapabilityBoundingSet=\n", "")))
    tap.ok(open_wide is not None and open_wide > EXPOSURE_MAX, "and an exposure above the bound", [open_wide])


def same_but_for_its_names():
    """The template is the unit, with the instance where the one server was."""
    with open(SERVER_UNIT, encoding="utf-8") as one, open(SERVER_UNIT.replace(".service", "@.service"), encoding="utf-8") as each:
        one, each = one.read().splitlines(), each.read().splitlines()
    differs = set(one) ^ set(each)
    wrong = [line for line in differs if "%i" not in line and "demikv" not in line and not line.startswith("StateDirectoryMode")]
    tap.ok(differs and not wrong, "demikv-server@.service is the same but for its names", wrong)


# --- under them -----------------------------------------------------------------------------------------------------------

class Service:
    """The server in a root of its own, with what the package puts there."""

    def __init__(self, drop_ins=(), conf="", instance=""):
        self.root = tempfile.mkdtemp(dir=work)
        self.unit = SERVER_UNIT.replace(".service", "@.service") if instance else SERVER_UNIT
        self.instance, self.drop_ins, self.process, self.port, self.within = instance, list(drop_ins), None, free_port(), []
        os.chmod(self.root, 0o755)
        for path in ("usr/bin", "usr/lib", "usr/lib64", "usr/share", "etc/demikv", "var/lib/demikv", "var/log/demikv", "home/somebody", "root", "run"):
            os.makedirs(os.path.join(self.root, path))
        for name in ("lib", "lib64"):
            os.symlink("usr/" + name, os.path.join(self.root, name))
        shutil.copy(OURS, os.path.join(self.root, "usr/bin/demikv-server"))
        for name in ("python3", "sh", "true"):
            shutil.copy(os.path.realpath(os.path.join("/usr/bin", name)), os.path.join(self.root, "usr/bin", name))
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndemikv:x:%d:%d::/var/lib/demikv:/usr/sbin/nologin\n" % (USER, USER))
        text = call([os.path.join(ROOT, "packaging/make-conf"), os.path.join(ROOT, "redis.conf.example")])[1]
        name = instance or "demikv"
        if instance:
            with open(os.path.join(ROOT, "packaging/instance.conf"), encoding="utf-8") as example:
                self.write("etc/demikv/%s.conf" % name, example.read().replace("port 6380", "port %d" % self.port) + conf)
            self.write("etc/demikv/demikv.conf", text)
        else:
            self.write("etc/demikv/demikv.conf", text.replace("\nport 6379", "\nport %d" % self.port) + conf)
        for path in ("etc/demikv", "etc/demikv/demikv.conf", "etc/demikv/%s.conf" % name, "var/lib/demikv", "var/log/demikv"):
            os.chown(self.at(path), USER, USER)
        with open(self.at("home/somebody/secret"), "w", encoding="ascii") as secret:
            secret.write("x")
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(self.at("run/notify"))
        os.chmod(self.at("run/notify"), 0o666)
        self.notices.settimeout(20)
        self.told = []

    def at(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text):
        with open(self.at(path), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self, program=None, arguments=(), unit=None):
        words = [sys.executable, os.path.join(FOLDER, "sandbox.py"), self.root, unit or self.unit, "--notify", "/run/notify", "--instance", self.instance]
        for path in ("/usr/lib", "/usr/lib64"):
            words += ["--bind", path]
        for path in self.drop_ins:
            words += ["--drop-in", path]
        return words + (["--program", program] + list(arguments) if program else [])

    def hears(self, word, most=200):
        """Waits until the server has told systemd so."""
        for _ in range(most):
            if any(word in lines for lines in self.told):
                return True
            try:
                self.told.append(self.notices.recv(4096).decode().splitlines())
            except socket.timeout:
                return False
        return False

    def start(self):
        self.told = []
        with open(self.at("stdout"), "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(self.within + self.command(), stdout=out, stderr=out)
        return self.hears("READY=1")

    def client(self):
        return Client(("127.0.0.1", self.port), 20.0)

    def stop(self):
        """As systemctl stop does; the exit status."""
        unit = Unit(self.unit)
        self.process.send_signal(getattr(signal, unit.one("KillSignal", "SIGTERM")))
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "still there"

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notices.close()

    def tail(self):
        lines = []
        for path in (self.at("stdout"), *glob.glob(self.at("var/log/demikv/*.log"))):
            if os.path.exists(path):
                with open(path, errors="replace", encoding="utf-8") as log:
                    lines += log.read().splitlines()[-15:]
        return lines


def serves(service):
    c = service.client()
    for i in range(2000):
        c.call("SET", "key:%d" % i, "x" * (i % 500))
    for words, answer in ((("EVAL", "local s = 0 for i = 1, 100000 do s = s + i end redis.call('SET', 'sum', s) return #KEYS", 1, "sum"), b"1"),
                          (("GET", "sum"), b"5000050000"), (("CONFIG", "SET", "appendonly", "yes"), b"OK"), (("SAVE",), b"OK"),
                          (("CONFIG", "REWRITE"), b"OK")):
        said = c.call(*words).text()
        tap.ok(said == answer, "%s is answered" % words[0], [said])
    c.call("BGSAVE")
    tap.ok(wait_until(lambda: info(c, "rdb_bgsave_in_progress") == "0" and info(c, "aof_rewrite_in_progress") == "0", 20)
           and info(c, "rdb_last_bgsave_status") == "ok", "BGSAVE is done", service.tail())
    here = Client(service.at("run/demikv/demikv.sock"), 20.0)
    tap.ok(here.call("GET", "sum").text() == b"5000050000", "so does the Unix socket in /run/demikv")
    return c


def follows(service):
    """Another one, an instance of the template, is its replica."""
    other = Service(instance="second", conf="replicaof 127.0.0.1 %d\n" % service.port)
    try:
        tap.ok(other.start(), "an instance of the template starts", other.tail())
        c = other.client()
        tap.ok(wait_until(lambda: info(c, "master_link_status", "replication") == "up", 20) and c.call("GET", "sum").text() == b"5000050000",
               "and is a replica", other.tail())
        tap.ok(Client(other.at("run/demikv-second/demikv.sock"), 20.0).call("PING").text() == b"PONG", "with a socket of its own")
        tap.ok(other.stop() == 0 and os.path.exists(other.at("var/lib/demikv/second/dump.rdb")), "it ends, its data in a folder of its own", other.tail())
    finally:
        other.end()


# What somebody would try who has got into the server: a line each that fails when it may not be.
LOOK = {
    "writing below /usr": "open('/usr/bin/new', 'w')",
    "writing to /etc": "open('/etc/new', 'w')",
    "homes": "open('/home/somebody/secret')",
    "another program": "os.execv('/usr/bin/true', ['true'])",
    "memory to write and execute": "mmap.mmap(-1, 4096, prot=7)",
    "raw sockets of interfaces": "socket.socket(17, 3, 3)",
    "netlink": "socket.socket(16, 3, 0)",
    "namespaces": "libc.unshare(0x10000000) and 1 / 0",
    "another user": "os.setuid(0)",
    "a file that runs as another": "os.chmod(tempfile.mkstemp()[1], 0o4755)",
    "a higher priority": "os.setpriority(0, 0, -5)",
    "disks": "os.mknod('/tmp/disk', 0o60600, 0x800)",
    "the kernel's settings": "open('/proc/sys/vm/overcommit_memory', 'w')",
    "other people's processes": "os.stat('/proc/1/environ')",
}
LOOKER = """
import ctypes, mmap, os, socket, tempfile
libc = ctypes.CDLL(None, use_errno=True)
print(open('/proc/self/status').read(), 'devices:', *os.listdir('/dev'), flush=True)
for number, line in enumerate(%r):
    pid = os.fork()
    if pid == 0:
        try:
            exec(line)
        except (OSError, ZeroDivisionError):
            os._exit(1)
        os._exit(0)
    print('looked', number, 'refused' if os.waitstatus_to_exitcode(os.wait()[1]) else 'done', flush=True)
"""


def look(service, unit, drop_ins):
    service.drop_ins = drop_ins
    text = call(service.command("/usr/bin/python3", ["-c", LOOKER % list(LOOK.values())], unit=unit))[1]
    return text, dict((int(number), word) for number, word in re.findall(r"^looked (\d+) (\w+)$", text, re.M))


def locked_in():
    """From inside: python in the server's place, which ExecPaths= would not let in. Then the same as root without a unit."""
    service = Service()
    service.write("look.conf", "[Service]\nExecPaths=/usr/bin/python3\n")
    service.write("bare.service", "[Service]\nUser=root\n")
    text, inside = look(service, SERVER_UNIT, [service.at("look.conf")])
    others, outside = look(service, service.at("bare.service"), [])
    for number, what in enumerate(LOOK):
        tap.ok(inside.get(number) == "refused", "no way to " + what, text.splitlines()[-20:])
        tap.ok(outside.get(number) == "done", "and without the unit there is one", others.splitlines()[-20:])
    tap.ok(all(re.search(pattern, text) for pattern in (r"CapBnd:\s+0+\n", r"CapEff:\s+0+\n", r"NoNewPrivs:\s+1\n", r"Seccomp:\s+2\n", r"Uid:\s+%d\s" % USER)),
           "no capability, no new rights, a filter, its own user", text.splitlines())
    devices = set(re.search(r"devices: (.*)", text).group(1).split()) if "devices:" in text else None
    tap.ok(devices and devices <= {"null", "zero", "full", "random", "urandom", "tty", "shm"}, "no device of the machine", [devices])
    service.end()


def tells_systemd(service):
    """The watchdog: signs of life while the loop lives, a day's patience while it saves, none when it hangs."""
    service.drop_ins.append(os.path.join(service.root, "soon.conf"))
    service.write("soon.conf", "[Service]\nWatchdogSec=600ms\n")
    tap.ok(service.start(), "it starts again, READY=1", service.tail())
    tap.ok(service.client().call("GET", "sum").text() == b"5000050000", "the data are there again", service.tail())
    service.told = []
    tap.ok(service.hears("WATCHDOG=1"), "a sign of life comes")
    service.told = []
    service.client().call("SAVE")
    tap.ok(service.hears("WATCHDOG_USEC=86400000000") and service.hears("WATCHDOG_USEC=600000"), "a save in the foreground is announced, and its end", service.told)
    c, busy = service.client(), service.client()
    c.call("CONFIG", "SET", "busy-reply-threshold", "50")
    busy.send(encode(["EVAL", "while true do end", "0"]))
    known = wait_until(lambda: c.call("PING").text().startswith(b"BUSY"), 20)
    service.told = []
    tap.ok(known and service.hears("WATCHDOG=1"), "signs of life come out of a script without an end", service.told)
    tap.ok(c.call("SCRIPT", "KILL").text() == b"OK" and busy.read().text().startswith(b"ERR"), "which can be killed, and is not the server's end")
    service.told = []
    tap.ok(c.call("DEBUG", "RELOAD", "NOSAVE").text() == b"OK" and service.hears("WATCHDOG_USEC=86400000000") and service.hears("WATCHDOG_USEC=600000"),
           "a load in the foreground is announced, and its end", service.told)
    os.kill(service.process.pid, signal.SIGSTOP)
    service.notices.settimeout(1.5)
    try:
        while True:
            service.notices.recv(4096)
    except socket.timeout:
        pass
    service.told = []
    silent = not service.hears("WATCHDOG=1")
    os.kill(service.process.pid, signal.SIGCONT)
    service.notices.settimeout(20)
    tap.ok(silent and service.hears("WATCHDOG=1"), "who stands still sends none")
    tap.ok(service.stop() == 0 and service.hears("STOPPING=1"), "it says that it ends", service.told)


def serving_and_saving():
    service = Service(conf="enable-debug-command local\n")
    try:
        if not tap.ok(service.start(), "the server starts under its unit", service.tail()):
            return
        serves(service)
        follows(service)
        tap.ok(service.stop() == 0, "SIGTERM ends it in order", service.tail())
        mode = os.stat(service.at("var/lib/demikv/dump.rdb")).st_mode & 0o777
        tap.ok(mode == 0o600, "what it saved is for nobody else", ["%o" % mode])
        tells_systemd(service)
    finally:
        service.end()


def on_device(name, conf, settings, within=()):
    """The server on a device, with the drop-in for it. Where a root may lock no more memory for others a capability stands for LimitMEMLOCK=."""
    service = Service([os.path.join(ROOT, "packaging/systemd", name)], "protected-mode no\nbind *\nunixsocket \"\"\n" + conf)
    service.within = list(within)
    os.mkdir(service.at("plug"))
    for path in glob.glob(os.path.join(BUILD, "libdemikernel-*.so")):
        shutil.copy(path, service.at("plug"))
    service.write("plug.conf", "[Service]\nEnvironment=DEMI_PLUGIN_PATH=/plug\nExecPaths=/plug\n" + settings)
    service.drop_ins.append(service.at("plug.conf"))
    service.notices.settimeout(10)
    started = service.start()
    return service, started


def on_devices():
    space = "dku%d" % os.getpid()
    near, far = "dk%da" % os.getpid(), "dk%db" % os.getpid()
    lock = "CapabilityBoundingSet=CAP_IPC_LOCK\nAmbientCapabilities=CAP_IPC_LOCK\n"
    steps = (("netns", "add", space), ("link", "add", near, "type", "veth", "peer", "name", far, "netns", space), ("link", "set", near, "up"),
             ("addr", "add", "10.213.77.1/30", "dev", near), ("-n", space, "link", "set", "lo", "up"), ("-n", space, "link", "set", far, "up"),
             ("-n", space, "addr", "add", "10.213.77.2/30", "dev", far))
    try:
        if any(call(["ip", *step])[0] for step in steps):
            tap.skip("the server on a device under its drop-in", "no network namespaces here")
            return
        # Checksums that veth leaves to a card that is not there would be wrong ones.
        call(["ethtool", "-K", near, "tx", "off"])
        for name, settings in (("packet", ""), ("xdp", lock)):
            if name == "xdp" and not os.path.exists(os.path.join(BUILD, "libdemikernel-xdp.so")):
                tap.skip("xdp.conf is enough for xdp", "no plug-in")
                continue
            service, started = on_device(name + ".conf", "libos %s\nlibos-interface %s\n" % (name, far), settings, ["ip", "netns", "exec", space])
            try:
                fine = started and Client(("10.213.77.2", service.port), 20.0).call("PING").text() == b"PONG"
                refused = [line for line in service.tail() if "not permitted" in line or "denied" in line]
                tap.ok(fine and not refused, "%s.conf is enough for %s" % (name, name), service.tail())
                service.stop()
            finally:
                service.end()
    finally:
        call(["ip", "link", "del", near])
        call(["ip", "netns", "del", space])
    if not os.path.exists(os.path.join(BUILD, "libdemikernel-dpdk.so")):
        tap.skip("dpdk.conf is enough for DPDK", "no plug-in")
        return
    service, started = on_device("dpdk.conf", "libos dpdk\nlibos-eal \"--no-pci --no-huge -m 64 --no-shconf --vdev=net_null0\"\nlibos-address 10.213.78.1/24\n", lock)
    try:
        tap.ok(started, "dpdk.conf is enough for DPDK, on a device of its own", service.tail())
        service.stop()
    finally:
        service.end()


def asking_for_more():
    service = Service(conf="server_cpulist 0\nlibos-files auto\n")
    try:
        tap.ok(service.start() and service.client().call("PING").text() == b"PONG", "an option that asks for more than the unit gives is no end", service.tail())
        tap.ok(any("cpulist" in line for line in service.tail()), "and is told in the log", service.tail())
    finally:
        service.stop()
        service.end()
    service = Service([os.path.join(ROOT, "packaging/systemd/cpus.conf")], "server_cpulist 0\n")
    try:
        cpus = os.sched_getaffinity(service.process.pid) if service.start() else None
        tap.ok(cpus == {0}, "and has it with its drop-in", [cpus] + service.tail())
    finally:
        service.end()
    service = Service(conf="libos uring\n")
    try:
        if service.start():
            tap.ok(service.client().call("PING").text() == b"PONG", "io_uring is within the unit", service.tail())
        else:
            tap.skip("io_uring is within the unit", (service.tail() or [""])[-1])
    finally:
        service.end()


try:
    systemd_agrees()
    same_but_for_its_names()
    if os.geteuid() != 0:
        tap.skip("the server under its unit", "needs root: name spaces, mounts")
    elif not shutil.which("systemd-analyze"):
        tap.skip("the server under its unit", "no systemd-analyze (Debian package systemd)")
    elif service_filter.missing() or not os.access(OURS, os.X_OK):
        tap.skip("the server under its unit", service_filter.missing() or "no " + OURS)
    elif call([sys.executable, "-c", "import ctypes; exit(ctypes.CDLL(None).unshare(0x20000))"])[0]:
        tap.skip("the server under its unit", "no mount namespaces here")
    else:
        serving_and_saving()
        asking_for_more()
        on_devices()
        locked_in()
finally:
    shutil.rmtree(work, ignore_errors=True)
tap.done()
