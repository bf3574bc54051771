# SPDX-License-Identifier: MIT
"""A wire with Linux at one end and our stack at the other.

    namespace "linux"                            namespace "raw"
    this process, its sockets, redis-cli, ...    our programs, LIBOS=packet, xdp, dpdk
    10.9.0.1, fd09::1   k0 ------ veth ------ r0   10.9.0.2, fd09::2

Both namespaces belong to this process and have no name: they, the veth and all addresses vanish with it, also when it is killed. What
it starts dies with it. Linux's end leaves checksums and segmentation to nobody (ethtool), since a raw device at the other end sees frames
as they are. With a TAP device our programs live in "linux" themselves, and the kernel's end is the TAP interface.

A script of this folder names a device and calls run(): the same checks for each. The device "posix" is Linux at both ends: it
proves the checks. Scripts take at most some 40 s; nothing here fails for being slow, but for what has not come after PATIENCE.
"""
import contextlib
import ctypes
import hashlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from programs import need  # noqa: E402
from servers import die_with_parent  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
SERVER = os.environ.get("DEMIKV_SERVER", os.path.join(BUILD, "demikv-server"))
LINUX4, RAW4, LINUX6, RAW6 = "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"
PORT = 6379
PATIENCE = 30.0
CLONE_NEWNET = 0x40000000
SEED = int(os.environ.get("INTEROP_SEED", "1"))

libc = ctypes.CDLL(None, use_errno=True)


def must(status):
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def sh(*words):
    """A command that must succeed."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(words), done.stdout.strip()))
    return done.stdout


def run_program(words, timeout=PATIENCE):
    """Exit status (None: it hangs) and output of a client, in our namespace."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout, text=True,
                              errors="replace", preexec_fn=die_with_parent)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return None, (late.output or b"").decode("utf-8", "replace") if isinstance(late.output, bytes) else ""


KERNEL = ("posix", "uring")  # whose sockets are the kernel's: there is nothing to configure


class Device:
    """What our programs run on. config: lines of the libOS's configuration (YAML), in which DIR is the rig's folder. veth: it wants
    the veth pair; tap: the TAP interface Linux's end is, made by the program if tap_is_ours; peer: the configuration of a program of ours
    at the other end, where no kernel is; kernel_too: the address is the kernel's, and not configured; socket_name: the socket in DIR over which the other end finds ours;
    datagram_max: the largest datagram the device itself can bring in."""

    def __init__(self, name, libos, config=(), veth=True, tap=None, tap_is_ours=False, plugin=None, peer=None, kernel_too=False, socket_name=None,
                 datagram_max=32000):
        self.name, self.libos, self.config = name, libos, list(config)
        self.veth, self.tap, self.tap_is_ours, self.plugin, self.peer = veth, tap, tap_is_ours, plugin, peer
        self.socket_name, self.datagram_max = socket_name, datagram_max
        self.kernel_has_it = kernel_too or libos in KERNEL


EAL = "--no-huge -m 128 --no-shconf --no-pci --iova-mode=va --no-telemetry"
DEVICES = {
    "posix": Device("posix", "posix", peer=[]),
    "uring": Device("uring", "uring", peer=[]),
    "packet": Device("packet", "packet", ["interface: r0"]),
    "tap": Device("tap", "packet", ["tap: dktap"], veth=False, tap="dktap"),
    "xdp native": Device("xdp native", "xdp", ["interface: r0", "mode: native"], plugin="xdp"),
    "xdp skb": Device("xdp skb", "xdp", ["interface: r0", "mode: skb"], plugin="xdp"),
    "dpdk net_af_packet": Device("dpdk net_af_packet", "dpdk", ['eal: "%s --vdev net_af_packet0,iface=r0,qdisc_bypass=1"' % EAL], plugin="dpdk",
                               datagram_max=1473), # the driver asks the kernel to put fragments together, and then cuts what a slot does not hold
    "dpdk net_af_xdp": Device("dpdk net_af_xdp", "dpdk", ['eal: "%s --vdev net_af_xdp0,iface=r0"' % EAL], plugin="dpdk"),
    "dpdk net_tap": Device("dpdk net_tap", "dpdk", ['eal: "%s --vdev net_tap0,iface=dktap"' % EAL], veth=False, tap="dktap", tap_is_ours=True,
                           plugin="dpdk"),
    "dpdk net_memif": Device("dpdk net_memif", "dpdk", ['eal: "%s --vdev net_memif0,role=server,socket=DIR/m,socket-abstract=no"' % EAL], veth=False,
                             plugin="dpdk", peer=['eal: "%s --vdev net_memif0,role=client,socket=DIR/m,socket-abstract=no"' % EAL], socket_name="m"),
    "dpdk vhost": Device("dpdk vhost", "dpdk", ['eal: "%s --vdev net_vhost0,iface=DIR/v,queues=1,tso=1"' % EAL], veth=False, plugin="dpdk",
                         peer=['eal: "%s --vdev net_virtio_user0,path=DIR/v,queues=1,queue_size=1024"' % EAL], socket_name="v"),
}


class Process:
    """One of our programs at the raw end; it dies with us."""

    def __init__(self, rig, words, libos, config, ready, in_linux=False):
        self.rig, self.words = rig, words
        self.log = os.path.join(rig.dir, "log.%d" % len(rig.processes))
        env = {k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH")}
        env.update(LIBOS=libos, LC_ALL="C.UTF-8")
        env.setdefault("DEMI_PLUGIN_PATH", BUILD)
        if config:
            env["CONFIG_PATH"] = self.log + ".yaml"
            with open(env["CONFIG_PATH"], "w", encoding="ascii") as out:
                out.write("\n".join(config) + "\n")
        namespace = None if in_linux else rig.program_namespace

        def enter():
            if namespace is not None:
                must(libc.setns(namespace, CLONE_NEWNET))
            die_with_parent()

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=rig.dir, preexec_fn=enter,
                                            pass_fds=() if namespace is None else (namespace,))
        rig.processes.append(self)
        deadline = time.monotonic() + PATIENCE
        while not ready(self):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("%s does not start: %s" % (os.path.basename(words[0]), " | ".join(self.tail())))
            time.sleep(0.02)

    def text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def tail(self, lines=8):
        return self.text().splitlines()[-lines:]

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Rig:
    """The wire, and what runs at its raw end. `more`: further lines of configuration, for every program of this rig."""

    def __init__(self, device, more=()):
        self.device, self.more = device, list(more)
        self.processes = []
        self.dir = tempfile.mkdtemp(prefix="dk%d-" % os.getpid())
        must(libc.unshare(CLONE_NEWNET))
        self.raw = os.open("/proc/self/ns/net", os.O_RDONLY)
        must(libc.unshare(CLONE_NEWNET)) # from here on this process is in "linux"
        self.program_namespace = self.raw if device.veth else None
        if device.veth:
            self.make_veth()
        elif device.tap and not device.tap_is_ours:
            sh("ip", "tuntap", "add", "dev", device.tap, "mode", "tap")
            self.address_linux(device.tap)
        sh("ip", "link", "set", "lo", "up")

    def in_raw(self, *words):
        def enter():
            must(libc.setns(self.raw, CLONE_NEWNET))
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=enter, pass_fds=(self.raw,))
        if done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(words), done.stdout.strip()))

    def socket_in_raw(self):
        """A kernel socket of the raw end: a socket belongs to the namespace it was made in."""
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        must(libc.setns(self.raw, CLONE_NEWNET))
        try:
            return socket.socket()
        finally:
            must(libc.setns(here, CLONE_NEWNET))
            os.close(here)

    def make_veth(self):
        sh("ip", "link", "add", "k0", "numtxqueues", "1", "numrxqueues", "1", "type", "veth", "peer", "name", "r0", "numtxqueues", "1",
           "numrxqueues", "1", "netns", "/proc/%d/fd/%d" % (os.getpid(), self.raw))
        sh("ethtool", "-K", "k0", "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")
        self.in_raw("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=%d" % (not self.device.kernel_has_it))
        if not self.device.kernel_has_it:
            self.in_raw("sysctl", "-qw", "net.ipv6.conf.r0.disable_ipv6=1")
        self.in_raw("ip", "link", "set", "r0", "up")
        if self.device.kernel_has_it:
            self.in_raw("ip", "addr", "add", RAW4 + "/24", "dev", "r0")
            self.in_raw("ip", "addr", "add", RAW6 + "/64", "dev", "r0", "nodad")
        self.address_linux("k0")

    def address_linux(self, interface):
        sh("ip", "link", "set", interface, "up")
        sh("ip", "addr", "add", LINUX4 + "/24", "dev", interface)
        sh("ip", "addr", "add", LINUX6 + "/64", "dev", interface, "nodad")

    def config(self):
        if self.device.libos in KERNEL:
            return []
        if self.device.kernel_has_it:
            return self.device.config + self.more
        return [line.replace("DIR", self.dir) for line in self.device.config] + ["address: [%s/24, \"%s/64\"]" % (RAW4, RAW6)] + self.more

    def start(self, words, ready):
        if self.device.tap_is_ours: # the interface comes with the program, and then wants its address
            began = []

            def ready_then(process):
                if not began and shows(self.device.tap):
                    self.address_linux(self.device.tap)
                    began.append(True)
                return began and ready(process)
            return Process(self, words, self.device.libos, self.config(), ready_then)
        if self.device.socket_name: # of the one before it, which was ended by a signal, the name may be left
            path = os.path.join(self.dir, self.device.socket_name)
            if os.path.exists(path):
                os.unlink(path)
            return Process(self, words, self.device.libos, self.config(), lambda process: os.path.exists(path) and ready(process))
        return Process(self, words, self.device.libos, self.config(), ready)

    def server(self, *args):
        words = [SERVER, "--port", str(PORT), "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", self.dir,
                 "--unixsocket", os.path.join(self.dir, "s.sock"), "--daemonize", "no"] + list(args)
        return self.start(words, lambda p: "eady to accept connections" in p.text())

    def example(self, name, port, *args):
        """A server of demi/examples/; it says nothing when it is ready, so a client must try again."""
        return self.start([os.path.join(BUILD, "examples", name), "--server", RAW4, str(port)] + list(args), lambda p: True)

    def client(self, words, timeout=PATIENCE):
        """A program of ours at Linux's end, where a device for it is there: exit status (None: it hangs) and output."""
        config = [] if self.device.libos in KERNEL else self.device.peer + ["address: [%s/24, \"%s/64\"]" % (LINUX4, LINUX6)] + self.more
        process = Process(self, words, self.device.libos, [line.replace("DIR", self.dir) for line in config], lambda p: True,
                          in_linux=True)
        try:
            process.process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.stop()
            return None, process.text()
        return process.process.returncode, process.text()

    def close(self):
        for process in self.processes:
            process.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def shows(interface):
    return subprocess.run(["ip", "link", "show", "dev", interface], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


# --- clients ---

def connect(port=PORT, host=RAW4, timeout=PATIENCE):
    """A stream to the raw end; one that is refused is tried again, since the program may not listen yet."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection((host, port), timeout=timeout)
        except (ConnectionRefusedError, socket.timeout, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Redis:
    """As much of a client as the checks need: bytes in, bytes out; an error reply is raised."""

    def __init__(self, host=RAW4, port=PORT, timeout=PATIENCE):
        self.stream = connect(port, host, timeout)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.stream.makefile("rb", 1 << 16)

    def call(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.stream.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        head = self.replies.readline()
        if not head.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        if head[:1] == b"-":
            raise RuntimeError(head[1:-2].decode())
        if head[:1] != b"$":
            return head[1:-2]
        size = int(head[1:])
        body = self.replies.read(size + 2) if size >= 0 else None
        if body is not None and len(body) != size + 2:
            raise EOFError("the server closed the connection in a reply")
        return None if body is None else body[:-2]

    def close(self):
        self.replies.close()
        self.stream.close()


def read_exactly(stream, count):
    parts = []
    while count:
        part = stream.recv(min(count, 1 << 20))
        if not part:
            raise EOFError("the stream ended %d bytes early" % count)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def digest(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


# --- checks: each returns notes, empty when all is well ---

def check_cli(rig, host=RAW4):
    cli = need("redis-cli")
    notes = []
    for words, want in ((["PING"], "PONG"), (["SET", "greeting", "hello"], "OK"), (["GET", "greeting"], "hello"),
                        (["STRLEN", "greeting"], "5"), (["RPUSH", "l:" + host, "a", "b", "c"], "3"), (["LRANGE", "l:" + host, "0", "-1"], "a\nb\nc")):
        status, output = run_program([cli, "-h", host, "-p", str(PORT)] + words)
        if status != 0 or output.strip() != want:
            notes.append("%s: status %s, %r" % (" ".join(words), status, output[:200]))
    return notes


def check_benchmark(rig, requests, more=(), count=19):
    """count: the tests of its default list, or those named in `more`."""
    benchmark = need("redis-benchmark")
    status, output = run_program([benchmark, "-h", RAW4, "-p", str(PORT), "-n", str(requests), "-q"] + list(more), timeout=100)
    lines = [line.split("\r")[-1].strip() for line in output.split("\n")]
    ended = [line for line in lines if "requests per second" in line]
    wrong = [line for line in lines if "rror" in line or "refused" in line]
    if status == 0 and not wrong and len(ended) >= count:
        return []
    return ["status %s, %d of %d tests ended" % (status, len(ended), count)] + wrong[:5] + lines[-4:]


def check_bulk(rig, host=RAW4, megabytes=24):
    """Values of 1 KiB to 3 MiB there and back, over one connection."""
    chance = random.Random(SEED)
    client, sums, total = Redis(host), {}, 0
    while total < megabytes << 20:
        size = chance.choice((1 << 10, 70_000, 1 << 19, 3 << 20))
        value = chance.randbytes(size)
        key = b"bulk:%d" % len(sums)
        if client.call("SET", key, value) != b"OK":
            return ["SET of %d bytes is not OK" % size]
        sums[key] = digest(value)
        total += size
    notes = ["%s came back changed" % key for key, want in sums.items() if digest(client.call("GET", key)) != want]
    client.call("FLUSHALL")
    client.close()
    return notes


def check_short(rig, count, resets=True):
    """Connections that live for one request; every tenth is reset by its client, every seventh says nothing at all. Nobody repeats a reset: where
    the wire loses one, the server keeps that connection for as long as its keep-alive takes."""
    notes = []
    for i in range(count):
        try:
            stream = connect()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if i % 7:
                stream.sendall(b"ECHO %d\r\n" % i)
                want = b"$%d\r\n%d\r\n" % (len(str(i)), i)
                got = read_exactly(stream, len(want))
                if got != want:
                    notes.append("connection %d: %r" % (i, got))
            if resets and i % 10 == 0:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
        except OSError as error:
            notes.append("connection %d: %s" % (i, error))
        if len(notes) > 5:
            break
    deadline = time.monotonic() + PATIENCE
    client = Redis()
    while not notes:
        left = int(client.call("INFO", "clients").split(b"connected_clients:")[1].split()[0])
        if left <= 1:
            break
        if time.monotonic() > deadline:
            notes.append("%d connections stay at the server" % left)
        time.sleep(0.05)
    client.close()
    return notes


def check_many(rig, count):
    """All at once, all with requests outstanding."""
    streams, notes = [], []
    try:
        for i in range(count):
            streams.append(connect())
        for turn in range(3):
            for i, stream in enumerate(streams):
                stream.sendall(b"SET many:%d %d\r\nGET many:%d\r\n" % (i, i + turn, i))
            for i, stream in enumerate(streams):
                want = b"+OK\r\n$%d\r\n%d\r\n" % (len(str(i + turn)), i + turn)
                got = read_exactly(stream, len(want))
                if got != want and len(notes) < 5:
                    notes.append("connection %d: %r" % (i, got))
    except (OSError, EOFError) as error:
        notes.append("after %d connections: %s" % (len(streams), error))
    for stream in streams:
        stream.close()
    return notes


def check_echo(rig, port, megabytes=16):
    """Both directions at once on one connection, then a half-close: what was sent comes back, all of it, and then the end."""
    stream = connect(port)
    data = random.Random(SEED + 1).randbytes(megabytes << 20)
    failure = []

    def write():
        try:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        except OSError as error:
            failure.append("sending: %s" % error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    count, offset = hashlib.blake2b(digest_size=16), 0
    try:
        while True:
            part = stream.recv(1 << 18)
            if not part:
                break
            count.update(part)
            offset += len(part)
    except OSError as error:
        failure.append("receiving: %s" % error)
    writer.join(PATIENCE)
    stream.close()
    if offset != len(data):
        failure.append("%d of %d bytes came back" % (offset, len(data)))
    elif count.hexdigest() != digest(data):
        failure.append("what came back is something else")
    return failure


def check_no_event_fd(rig):
    """Of a device that can only be polled there is nothing to sleep on."""
    echo = rig.example("epoll-echo", 7003)
    try:
        status = echo.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return ["it runs on"]
    return [] if status == 1 and "demi_event_fd(&l->demi): Operation not supported" in echo.text() else echo.tail()


@contextlib.contextmanager
def local_echo(path):
    """A service of this process's behind a Unix socket, which knows no namespaces."""
    def echo(conn):
        with conn:
            while part := conn.recv(1 << 16):
                conn.sendall(part)

    def serve():
        while True:
            try:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield path
    finally:
        listener.close()


def check_udp(rig, port, tries=20):
    """Datagrams of all sizes, fragments among them. A lost one is sent again, as UDP wants it; a changed one is a failure."""
    notes = []
    sizes = [size for size in (1, 18, 512, 1472, 1473, 4000, 9000, 32000) if size <= rig.device.datagram_max]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect((RAW4, port))
        for number, size in enumerate(sizes):
            data = random.Random(SEED + size).randbytes(size)
            got = None
            for _ in range(tries):
                try:
                    sock.send(data)
                    got = sock.recv(65536)
                    while len(got) != size and len(got) in sizes[:number]: # a late one of before
                        got = sock.recv(65536)
                    break
                except (socket.timeout, ConnectionRefusedError):
                    time.sleep(0.05)
            if got != data:
                notes.append("%d bytes: %s" % (size, "nothing came back" if got is None else "something else came back"))
    return notes


def check_refused(rig):
    """A port nobody listens on is refused by whoever has the address."""
    try:
        socket.create_connection((RAW4, 4), timeout=PATIENCE).close()
        return ["port 4 took a connection"]
    except ConnectionRefusedError:
        return []
    except OSError as error:
        return [str(error)]


# --- what a script calls ---

def need_all(device):
    if os.geteuid():
        skip_all("needs root: network namespaces, raw frames")
    need("ip")
    need("ethtool")
    need("sysctl")
    need("redis-cli")
    if not os.access(SERVER, os.X_OK):
        skip_all("no " + SERVER)
    needs_ring = os.path.join(BUILD, "tests/tests/demi/uring_test")  # which says so where there is none to be had
    if device.libos == "uring" and (not os.access(needs_ring, os.X_OK) or run_program([needs_ring])[0] == 77):
        skip_all("no io_uring: liburing-dev, Linux 6.1, kernel.io_uring_disabled")
    if device.plugin and not os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % device.plugin)):
        skip_all("no libdemikernel-%s.so in %s: the library it needs is not installed" % (device.plugin, BUILD))
    if device.tap and not os.path.exists("/dev/net/tun"):
        skip_all("no /dev/net/tun")


def guarded(tap, claim, process, check, *args, **more):
    """One case. A program of ours that has died is a failure whatever the check says."""
    began = time.monotonic()
    try:
        notes = check(*args, **more) if not process or process.alive() else []
    except Exception as error: # noqa: BLE001: whatever goes wrong belongs to this case
        notes = ["%s: %s" % (type(error).__name__, error)]
    if process and not process.alive():
        notes = notes + ["the program has ended: status %s" % process.process.returncode] + process.tail()
    tap.ok(not notes, claim, notes)
    print("# %.1f s" % (time.monotonic() - began))
    return not notes


def checks_server(tap, rig, load):
    """load: 1 for a device at speed, less for a slow one."""
    server = rig.server()
    on = rig.device.name + ": "
    guarded(tap, on + "redis-cli over IPv4", server, check_cli, rig)
    guarded(tap, on + "redis-cli over IPv6", server, check_cli, rig, RAW6)
    guarded(tap, on + "a closed port refuses", server, check_refused, rig)
    guarded(tap, on + "bulk both ways over IPv4, every value as it was", server, check_bulk, rig, RAW4, int(24 * load) or 1)
    guarded(tap, on + "bulk both ways over IPv6, every value as it was", server, check_bulk, rig, RAW6, int(12 * load) or 1)
    guarded(tap, on + "%d short connections" % int(3000 * load), server, check_short, rig, int(3000 * load))
    guarded(tap, on + "1,000 connections at once", server, check_many, rig, 1000)
    guarded(tap, on + "redis-benchmark's whole list", server, check_benchmark, rig, int(2000 * load) or 200)
    guarded(tap, on + "redis-benchmark with a pipeline of 16", server, check_benchmark, rig, int(4000 * load) or 400, ["-P", "16"])
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def checks_examples(tap, rig, load):
    on = rig.device.name + ": "
    echo = rig.example("tcp-echo", 7000)
    guarded(tap, on + "a stream echoed both ways at once, to the half-close's end", echo, check_echo, rig, 7000, int(16 * load) or 1)
    echo.stop()
    echo = rig.example("udp-echo", 7001)
    guarded(tap, on + "datagrams of all sizes, in fragments, too", echo, check_udp, rig, 7001)
    echo.stop()
    if rig.device.libos == "dpdk":
        guarded(tap, on + "who cannot sleep in another loop says so", None, check_no_event_fd, rig)
    else:
        echo = rig.example("epoll-echo", 7003)
        guarded(tap, on + "an echo out of the program's own epoll", echo, check_echo, rig, 7003, int(16 * load) or 1)
        echo.stop()
    with local_echo(os.path.join(rig.dir, "echo.sock")) as path:
        relay = rig.start([os.path.join(BUILD, "examples", "poll-relay"), RAW4, "7004", path], lambda p: True)
        guarded(tap, on + "a stream relayed to a descriptor of the kernel's and back", relay, check_echo, rig, 7004, int(16 * load) or 1)
        relay.stop()


def check_client(rig, words, wanted, timeout=PATIENCE):
    """A program of ours against a program of ours: it ends well and says `wanted`."""
    deadline = time.monotonic() + PATIENCE
    while True: # the other one may not listen yet
        status, output = rig.client([os.path.join(BUILD, words[0])] + [str(word) for word in words[1:]], timeout)
        if "refused" not in output or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if status == 0 and wanted in output and "rror" not in output:
        return []
    return ["%s: status %s" % (" ".join(str(word) for word in words), status)] + output.splitlines()[-6:]


def check_stream(rig, receiver, size, count):
    """Pushes of `size` bytes one way; the receiver says at the end how many bytes there were."""
    notes = check_client(rig, ["examples/tcp-push-pop", "--client", RAW4, 7002, size, count], "sent %d messages" % count)
    try:
        receiver.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return notes + ["the receiver waits for more"]
    want = "%d bytes in" % (size * count)
    return notes if want in receiver.text() else notes + ["the receiver does not say %r" % want] + receiver.tail()


def checks_pair(tap, rig, load):
    """Two programs of ours, no kernel between them."""
    on = rig.device.name + ", both ends ours: "
    echo = rig.example("tcp-echo", 7000)
    for size, count in ((1, 2000), (64, 5000), (1460, 3000), (60000, 500)):
        guarded(tap, on + "%d echoes of %d bytes" % (count, size), echo, check_client, rig,
                ["examples/tcp-echo", "--client", RAW4, 7000, size, int(count * load)], "%d echoes of %d bytes" % (int(count * load), size))
    echo.stop()
    echo = rig.example("udp-echo", 7001)
    for size in (18, 1472, 9000):
        guarded(tap, on + "datagrams of %d bytes" % size, echo, check_client, rig, ["examples/udp-echo", "--client", RAW4, 7001, size, 500], "echoes")
    echo.stop()
    receiver = rig.example("tcp-push-pop", 7002)
    guarded(tap, on + "a stream of 128 MiB", None, check_stream, rig, receiver, 65000, int(2000 * load))
    receiver.stop()
    server = rig.server()
    for options in ("-t set -c 1", "-t get -c 50", "-t lrange100 -c 10", "-t mset -c 50 -P 16", "-t get -c 1000", "-t set -d 100000 -c 4", "-t get -d 100000 -c 4"):
        guarded(tap, on + "the server and our load generator, " + options, server, check_client, rig,
                ["tools/bench/load", "-h", RAW4, "-p", PORT, "-n", int((200 if "100000" in options else 10000) * load)] + options.split(), "requests")
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())


def run(name, load=1.0, more=(), checks=(checks_server, checks_examples)):
    """Each of `checks` on a wire of its own."""
    device = DEVICES[name]
    need_all(device)
    tap = Tap()
    for check in checks:
        with Rig(device, more) as rig:
            try:
                check(tap, rig, load)
            except RuntimeError as error:
                tap.ok(False, device.name + ": our program starts", [error])
    tap.done()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)) # so that `with` cleans up
