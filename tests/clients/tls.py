#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS: the clients people have, what is configured and changed while they are there, and everybody who does not belong. The
certificates are made here and go with the test."""
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

from here import OURS, Server, Tap, free_port, info, log_has, need, need_server, run, skip_all, wait_until
from programs import WHERE
from resp import encode

OPENSSL, CLI, BENCHMARK = need("openssl"), need("redis-cli"), need("redis-benchmark")
STUNNEL = shutil.which("stunnel", path=WHERE)
need_server()
if not os.path.exists(os.path.join(os.path.dirname(OURS), "libdemikernel-tls.so")):
    skip_all("no libdemikernel-tls.so (Debian package libssl-dev)")
tap = Tap()
HALF_OPEN = 1000


def ok(passed, claim, *notes):
    tap.ok(passed, claim, () if passed else notes)


# --- certificates -----------------------------------------------------------------------------------------------------

class Files:
    """ca, server, renewed (also ca's), client, stranger (of another CA), secret.key (server's, its password is open sesame)."""

    def __init__(self, folder):
        self.folder = folder
        self.authority("ca")
        self.authority("other")
        for name, ca in (("server", "ca"), ("renewed", "ca"), ("client", "ca"), ("stranger", "other")):
            self.certificate(name, ca)
        self.openssl("ec", "-in", "server.key", "-aes256", "-passout", "pass:open sesame", "-out", "secret.key")

    def openssl(self, *words):
        subprocess.run([OPENSSL, *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + name,
                     "-keyout", name + ".key", "-out", name + ".crt")

    def certificate(self, name, ca):
        with open(self[name + ".ext"], "w", encoding="ascii") as ext:
            ext.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name, "-keyout", name + ".key",
                     "-out", name + ".csr")
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial", "-days", "10",
                     "-extfile", name + ".ext", "-out", name + ".crt")

    def __getitem__(self, name):
        return os.path.join(self.folder, name)

    def serial(self, name):
        out = subprocess.run([OPENSSL, "x509", "-in", self[name + ".crt"], "-noout", "-serial"], stdout=subprocess.PIPE, text=True, check=True)
        return out.stdout.strip().split("=")[1].lstrip("0")

    def server_options(self):
        return ["--tls-cert-file", self["server.crt"], "--tls-key-file", self["server.key"], "--tls-ca-cert-file", self["ca.crt"]]

    def client_options(self):
        return ["--tls", "--cacert", self["ca.crt"], "--cert", self["client.crt"], "--key", self["client.key"]]

    def context(self, who="client", ca="ca", version=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname = False
        c.load_verify_locations(self[ca + ".crt"])
        if who:
            c.load_cert_chain(self[who + ".crt"], self[who + ".key"])
        if version:
            c.minimum_version = c.maximum_version = version
        return c


def connect(port, context, timeout=10):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout), server_hostname="127.0.0.1")


def ask(s, *words):
    """One short reply."""
    s.sendall(encode(words))
    return s.recv(4096)


def can_ask(port, context):
    try:
        with connect(port, context) as s:
            return ask(s, "PING") == b"+PONG\r\n"
    except (OSError, ssl.SSLError):
        return False


def read_exactly(s, count):
    got = 0
    while got < count:
        piece = s.recv(1 << 16)
        if not piece:
            break
        got += len(piece)
    return got


# --- the clients ------------------------------------------------------------------------------------------------------

def the_usual(server, port, files):
    base = [CLI, "-p", str(port)] + files.client_options()
    status, out = run(base + ["set", "k", "v"])
    ok(status == 0 and out == "OK\n", "redis-cli --tls sets", out)
    status, out = run(base + ["-3", "hello"])
    ok(status == 0 and "standalone" in out, "and says HELLO 3", out)
    status, out = run(base + ["--pipe"], input=b"".join(encode(["SET", "m:%d" % i, "x" * 100]) for i in range(5000)).decode())
    ok("errors: 0, replies: 5000" in out, "and inserts thousands by --pipe", out)
    for depth in ("1", "16"):
        status, out = run([BENCHMARK, "-p", str(port), "-n", "2000", "-P", depth, "-q", "-c", "20", "-t", "set,get,lpush,lrange_100", "-d", "1000"]
                          + files.client_options())
        ok(status == 0 and out.count("requests per second") == 5 and "rror" not in out, "redis-benchmark --tls -P %s runs" % depth, out[-400:])
    status, out = run([OPENSSL, "s_client", "-connect", "127.0.0.1:%d" % port, "-quiet", "-CAfile", files["ca.crt"], "-cert",
                       files["client.crt"], "-key", files["client.key"]], input="PING\r\nQUIT\r\n")
    ok("+PONG" in out and "+OK" in out, "openssl s_client gets its answers", out)
    client = server.client()
    lines = client.call("INFO", "server").text().decode()
    ok("listener2:name=tls,bind=127.0.0.1,port=%d\r\n" % port in lines, "INFO has the listener", lines)
    with connect(port, files.context()) as s:
        listed = ask(s, "CLIENT", "LIST").decode()
    ok(" laddr=127.0.0.1:%d " % port in listed and " flags=N " in listed, "CLIENT LIST has the client", listed)
    expires = int(info(client, "tls_server_cert_expires_in_seconds", "tls") or 0)
    ok(9 * 86400 < expires <= 10 * 86400, "INFO says when the certificate ends", expires)


def python_redis(port, files):
    try:
        import redis
    except ImportError:
        tap.skip("redis-py over TLS", "no module redis")
        return
    r = redis.Redis(port=port, ssl=True, ssl_ca_certs=files["ca.crt"], ssl_certfile=files["client.crt"], ssl_keyfile=files["client.key"])
    with r.pipeline() as p:
        for i in range(1000):
            p.set("py:%d" % i, "v" * i)
        for i in range(1000):
            p.strlen("py:%d" % i)
        out = p.execute()
    s = r.pubsub()
    s.subscribe("c")
    s.get_message(timeout=5)
    r.publish("c", "hello")
    message = s.get_message(timeout=5)
    ok(out[1000:] == list(range(1000)) and message["data"] == b"hello", "redis-py: a pipeline and a message", out[:3], message)


def node(port, files):
    program = shutil.which("node", path=WHERE)
    if not program:
        tap.skip("node over TLS", "no node")
        return
    script = """const tls = require('tls'), fs = require('fs');
        const s = tls.connect({port: +process.argv[1], ca: fs.readFileSync(process.argv[2]), cert: fs.readFileSync(process.argv[3]),
                               key: fs.readFileSync(process.argv[4])}, () => s.write('PING\\r\\nECHO node\\r\\nQUIT\\r\\n'));
        s.on('data', d => process.stdout.write(d)); s.on('error', e => console.log(e));"""
    status, out = run([program, "-e", script, str(port), files["ca.crt"], files["client.crt"], files["client.key"]])
    ok(status == 0 and "node" in out and "+OK" in out, "node's own TLS", out)


def stunnel(server, files):
    if not STUNNEL:
        tap.skip("stunnel in front", "no stunnel (Debian package stunnel4)")
        return
    inner, plain, front = int(server.args[server.args.index("--tls-port") + 1]), free_port(), free_port() + 1
    path = files["stunnel.conf"]
    with open(path, "w", encoding="ascii") as conf:
        conf.write("foreground = yes\npid =\n[to-us]\nclient = yes\naccept = 127.0.0.1:%d\nconnect = 127.0.0.1:%d\ncert = %s\nkey = %s\nCAfile = %s\n"
                   "verifyChain = yes\n[by-it]\naccept = 127.0.0.1:%d\nconnect = %s\ncert = %s\nkey = %s\n"
                   % (plain, inner, files["client.crt"], files["client.key"], files["ca.crt"], front, server.path, files["server.crt"],
                      files["server.key"]))
    process = subprocess.Popen([STUNNEL, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status, out = None, ""
        for _ in range(100):
            status, out = run([CLI, "-p", str(plain), "echo", "through"])
            if "through" in out:
                break
            time.sleep(0.05)
        ok(out == "through\n", "stunnel as a client of ours", out)
        status, out = run([CLI, "-p", str(front)] + files.client_options() + ["echo", "in front"])
        ok(out == "in front\n", "and in front of our Unix socket", out)
    finally:
        process.terminate()
        process.wait()


# --- who does not belong ----------------------------------------------------------------------------------------------

def strangers(server, port, files):
    with connect(port, files.context()) as friend:
        ok(not can_ask(port, files.context("stranger")), "a certificate of another CA is refused")
        ok(wait_until(lambda: log_has(server, "Error accepting a client connection: error:0A000086:SSL routines::certificate verify failed")),
           "and the log says why", server.log_tail())
        ok(not can_ask(port, files.context(None)), "so is none")
        ok(wait_until(lambda: log_has(server, "peer did not return a certificate")), "and the log says why", server.log_tail())
        ok(not can_ask(port, files.context(ca="other")), "a client of another CA refuses us")
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(b"PING\r\n" * 10)
            heard = s.recv(100)
            ok(heard == b"" or heard[0] == 21, "plain text is answered by an alert and the end", heard)
        ok(wait_until(lambda: log_has(server, "wrong version number")), "and the log says why", server.log_tail())
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(os.urandom(5000))
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        ok(ask(friend, "PING") == b"+PONG\r\n", "and nobody else notices")


def half_open(port, files, server):
    waiting = []
    try:
        for i in range(HALF_OPEN):
            waiting.append(socket.create_connection(("127.0.0.1", port), 10))
            if i % 2:
                waiting[-1].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        ok(can_ask(port, files.context()), "%d half-open handshakes keep nobody out" % HALF_OPEN)
    finally:
        for s in waiting:
            s.close()
    client = server.client()
    ok(wait_until(lambda: int(info(client, "connected_clients", "clients")) < 10), "and are forgotten when they go")


def renegotiation(port, files):
    words = [OPENSSL, "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2", "-CAfile", files["ca.crt"], "-cert", files["client.crt"], "-key",
             files["client.key"]]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    out = ""
    try:
        process.stdin.write("PING\r\n")
        process.stdin.flush()
        while "+PONG" not in out:
            line = process.stdout.readline()
            if not line:
                break
            out += line
        process.stdin.write("R\n")
        process.stdin.flush()
        out += process.communicate(timeout=20)[0]
    except (subprocess.TimeoutExpired, BrokenPipeError):
        process.kill()
    ok("no renegotiation" in out, "renegotiation is refused", out[-300:])


# --- pieces, and what waits -------------------------------------------------------------------------------------------

def memory_pair(port, context):
    """A TLS client whose bytes we send by ourselves."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return incoming, outgoing, context.wrap_bio(incoming, outgoing), socket.create_connection(("127.0.0.1", port), 10)


def send_apart(sock, outgoing):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in outgoing.read():
        sock.sendall(bytes([byte]))


def one_byte_at_a_time(port, files):
    incoming, outgoing, tls, sock = memory_pair(port, files.context())
    with sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                send_apart(sock, outgoing)
                incoming.write(sock.recv(65536))
        tls.write(encode(["ECHO", "x" * 300]))
        send_apart(sock, outgoing)
        got = b""
        while len(got) < 307:
            try:
                got += tls.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
    ok(got == b"$300\r\n" + b"x" * 300 + b"\r\n", "records that come byte by byte are read", got[:50])


def oversized(server, port, files):
    """Replies of 200 MB that nobody reads, of values that lie in memory once."""
    count, size = 100, 2 << 20
    client = server.client()
    client.call("SET", "big", "z" * size)
    before = int(info(client, "used_memory", "memory"))
    with connect(port, files.context(), 60) as s:
        s.sendall(encode(["GET", "big"]) * count)
        time.sleep(0.3)
        most = int(info(client, "used_memory", "memory"))
        ok(most - before < 24 << 20, "what is not read is not encrypted ahead", before, most)
        want = count * (size + len("$%d\r\n\r\n" % size))
        got = read_exactly(s, want)
        ok(got == want, "and arrives when it is read", got, want)
        ok(ask(s, "PING") == b"+PONG\r\n", "then the connection goes on")
    with connect(port, files.context(), 60) as s:
        s.sendall(encode(["GET", "big"]) * count)
    ok(wait_until(lambda: int(info(client, "connected_clients", "clients")) == 1), "a client that goes with replies on their way is forgotten")
    ok(wait_until(lambda: int(info(client, "used_memory", "memory")) - before < 4 << 20), "and so is what was for him",
       before, info(client, "used_memory", "memory"))
    # Many commands in a few records, and the end right behind. Nothing may come back: what a closed client does not read makes a reset.
    with connect(port, files.context(version=ssl.TLSVersion.TLSv1_2), 60) as s:
        s.sendall(encode(["CLIENT", "REPLY", "OFF"]) + encode(["INCR", "n"]) * 1000)
    ok(wait_until(lambda: client.call("GET", "n").text() == b"1000"), "commands before the end are executed", client.call("GET", "n").text())


# --- configuration ----------------------------------------------------------------------------------------------------

def refused_changes(server, port, files):
    client = server.client()
    with connect(port, files.context()) as s:
        for words in (("tls-cert-file", "/nowhere.crt"), ("tls-key-file", files["client.key"]), ("tls-ca-cert-file", files["server.key"]),
                      ("tls-key-file", files["secret.key"]), ("tls-key-file", files["secret.key"], "tls-key-file-pass", "wrong"),
                      ("tls-protocols", "TLSv9"), ("tls-ciphers", "nonsense"), ("tls-ciphersuites", "nonsense"),
                      ("tls-dh-params-file", files["ca.crt"]), ("tls-cert-file", ""), ("maxmemory", "77mb", "tls-ca-cert-file", "")):
            before = client.call("CONFIG", "GET", "tls-*").text()
            said = client.call("CONFIG", "SET", *words).text().decode()
            ok("- Unable to update TLS configuration. Check server logs." in said and client.call("CONFIG", "GET", "tls-*").text() == before
               and ask(s, "PING") == b"+PONG\r\n" and can_ask(port, files.context()), "CONFIG SET %s changes nothing" % " ".join(words), said)
        memory = client.call("CONFIG", "GET", "maxmemory").text()
        ok(b"80740352" not in memory, "nor what was set beside it", memory)
        said = client.call("CONFIG", "SET", "tls-key-file", files["secret.key"], "tls-key-file-pass", "open sesame").text()
        ok(said == b"OK" and can_ask(port, files.context()), "a key with its password is taken", said)
        client.call("CONFIG", "SET", "tls-key-file", files["server.key"], "tls-key-file-pass", "")


class Busy:
    """Asks again and again, over one connection and over new ones."""

    def __init__(self, port, context, anew):
        self.port, self.context, self.anew = port, context, anew
        self.over, self.count, self.faults = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        s = None
        while not self.over.is_set():
            try:
                s = s or connect(self.port, self.context)
                if ask(s, "PING") != b"+PONG\r\n":
                    raise OSError("no answer")
                self.count += 1
            except OSError as fault:
                self.faults.append(repr(fault))
                s = None
            if self.anew and s:
                s.close()
                s = None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def reload_under_load(server, port, files):
    client = server.client()
    serials = {name: files.serial(name) for name in ("server", "renewed")}
    with Busy(port, files.context(), False) as steady, Busy(port, files.context(), True) as new:
        said = set()
        for i in range(40):
            name = ("renewed", "server")[i % 2]
            said.add(client.call("CONFIG", "SET", "tls-cert-file", files[name + ".crt"], "tls-key-file", files[name + ".key"]).text())
            if i % 5 == 0:
                said.add(client.call("CONFIG", "SET", "tls-cert-file", "/nowhere").text()[:3])
        wait_until(lambda: steady.count > 5 and new.count > 5)
    ok(said == {b"OK", b"ERR"} and not steady.faults and not new.faults, "certificates change under load, and no client notices", said,
       steady.faults[:3], new.faults[:3])
    for name in ("renewed", "server"):
        client.call("CONFIG", "SET", "tls-cert-file", files[name + ".crt"], "tls-key-file", files[name + ".key"])
        with connect(port, files.context()) as s:
            shown = s.getpeercert()["serialNumber"].lstrip("0")
        ok(shown == serials[name] == info(client, "tls_server_cert_serial", "tls").lstrip("0"), "and the next client sees the one that is in force",
           shown, serials[name])
    # The same name again, with another certificate in the file.
    for name in ("crt", "key"):
        shutil.copy(files["server." + name], files["moving." + name])
    client.call("CONFIG", "SET", "tls-cert-file", files["moving.crt"], "tls-key-file", files["moving.key"])
    for name in ("crt", "key"):
        shutil.copy(files["renewed." + name], files["moving." + name])
    client.call("CONFIG", "SET", "tls-cert-file", files["moving.crt"])
    ok(info(client, "tls_server_cert_serial", "tls").lstrip("0") == serials["renewed"], "the same name again reads the file again")
    client.call("CONFIG", "SET", "tls-cert-file", files["server.crt"], "tls-key-file", files["server.key"])


def who_must_show_what(server, port, files):
    client = server.client()
    for word, bare, stranger in (("optional", True, False), ("no", True, True), ("yes", False, False)):
        said = client.call("CONFIG", "SET", "tls-auth-clients", word).text()
        seen = can_ask(port, files.context(None)), can_ask(port, files.context("stranger"))
        ok(said == b"OK" and seen == (bare, stranger) and can_ask(port, files.context()), "tls-auth-clients %s" % word, said, seen)


def versions(server, port, files):
    client = server.client()
    for word, two, three in (("TLSv1.2", True, False), ("TLSv1.3", False, True), ("TLSv1.2 TLSv1.3", True, True)):
        client.call("CONFIG", "SET", "tls-protocols", word)
        seen = tuple(can_ask(port, files.context(version=v)) for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
        ok(seen == (two, three), "tls-protocols %s" % word, seen)


def ports(server, port, files):
    client = server.client()
    other = free_port()
    ok(client.call("CONFIG", "SET", "tls-port", other).text() == b"OK" and can_ask(other, files.context()) and not can_ask(port, files.context()),
       "tls-port moves")
    client.call("CONFIG", "SET", "tls-port", 0)
    ok(not can_ask(other, files.context()) and b"# TLS" not in client.call("INFO").text(), "and goes")
    said = client.call("CONFIG", "SET", "tls-port", port, "tls-cert-file", "/nowhere").text()
    ok(b"Unable to update TLS configuration" in said and not can_ask(port, files.context()), "it does not come with a file that is not there", said)
    ok(client.call("CONFIG", "SET", "tls-port", port).text() == b"OK" and can_ask(port, files.context()), "and comes with those that are")


def starts(files):
    def dies(*words):
        return run([OURS, "--port", "0", "--save", "", "--dir", files.folder] + list(words), timeout=20)
    port = str(free_port())
    status, out = dies("--tls-port", port)
    ok(status == 1 and "No tls-cert-file configured!" in out and "Failed to configure TLS" in out, "no server starts without a certificate", out)
    status, out = dies("--tls-port", port, "--tls-cert-file", files["server.crt"], "--tls-key-file", files["server.key"])
    ok(status == 1 and "Either tls-ca-cert-file or tls-ca-cert-dir" in out, "nor without a CA that vouches for clients", out)
    status, out = dies("--tls-port", port, *files.server_options(), "--tls-key-file", files["secret.key"], "--tls-key-file-pass", "wrong")
    ok(status == 1 and "Failed to load private key" in out, "nor with a wrong password", out)


folder = subprocess.run(["mktemp", "-d", "/tmp/demikv-tls-XXXXXX"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
try:
    all_files = Files(folder)
    starts(all_files)
    tls_port = free_port()
    with Server(OURS, args=["--tls-port", str(tls_port)] + all_files.server_options()) as ours:
        the_usual(ours, tls_port, all_files)
        python_redis(tls_port, all_files)
        node(tls_port, all_files)
        stunnel(ours, all_files)
        strangers(ours, tls_port, all_files)
        half_open(tls_port, all_files, ours)
        renegotiation(tls_port, all_files)
        one_byte_at_a_time(tls_port, all_files)
        oversized(ours, tls_port, all_files)
        refused_changes(ours, tls_port, all_files)
        reload_under_load(ours, tls_port, all_files)
        who_must_show_what(ours, tls_port, all_files)
        versions(ours, tls_port, all_files)
        ports(ours, tls_port, all_files)
        ok(ours.alive(), "the server lives", ours.log_tail())
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
