#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""metrics-port: what is shown is what Prometheus takes, says what INFO says and nothing that is anybody's own; HTTP's rules; who
sends nonsense, too much or never reads harms nobody; CONFIG SET and REWRITE. How long who dawdles may do so: tests/sim/metrics_test.c."""
import http.client
import os
import re
import socket
import subprocess
import threading

from here import FOLDER, OURS, Server, Tap, free_port, info, need, need_server, text_of, wait_until

HEAD = b"Host: localhost\r\n"
GET = b"GET /metrics HTTP/1.1\r\n" + HEAD + b"\r\n"


class Quiet(Tap):
    """Notes are for what fails."""

    def ok(self, passed, claim, notes=()):
        super().ok(passed, claim, () if passed else notes)


def connect(port, host="127.0.0.1"):
    s = socket.create_connection((host, port), 20)
    s.settimeout(20)
    return s


def read_all(s):
    got = b""
    while True:
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part


def said(port, request, host="127.0.0.1"):
    """Everything that comes back to some bytes until the connection is closed."""
    with connect(port, host) as s:
        s.sendall(request)
        return read_all(s)


def status(answer):
    found = re.match(rb"HTTP/1\.1 (\d+) ", answer)
    return int(found.group(1)) if found else None


def scrape(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request("GET", "/metrics")
    answer = c.getresponse()
    text = answer.read().decode()
    c.close()
    return text


def samples(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


def body_of(answer):
    """Of a chunked answer, and what stands behind it."""
    head, rest = answer.split(b"\r\n\r\n", 1)
    body = b""
    while True:
        size, rest = rest.split(b"\r\n", 1)
        n = int(size, 16)
        part, end, rest = rest[:n], rest[n:n + 2], rest[n + 2:]
        if end != b"\r\n" or len(part) != n:
            raise ValueError("a chunk of %d bytes" % n)
        if n == 0:
            return head, body, rest
        body += part


def check_content(tap, server, port):
    client = server.client()
    for words in (["SET", "secretkey", "secretvalue"], ["SET", "k", "v", "EX", "100"], ["GET", "secretkey"], ["LPUSH", "secretkey", "x"],
                  ["AUTH", "secretuser", "secretword"], ["CLIENT", "SETNAME", "secretname"], ["SELECT", "3"], ["SET", "secretkey", "1"],
                  ["EVAL", "return redis.error_reply('secretcode\"{\\255 x')", "0"],
                  ["SUBSCRIBE", "secretchannel"]):
        client.call(*words)
    text = scrape(port)
    seen = samples(text)
    tap.ok("secret" not in text, "no key, value, name, channel, user or password is shown")
    tap.ok(seen.get('demikv_db_keys{db="0"}') == "2" and seen.get('demikv_db_keys{db="3"}') == "1", "databases by number")
    tap.ok(seen.get('demikv_command_calls_total{cmd="set"}') == "3" and seen.get('demikv_command_calls_total{cmd="client|setname"}') == "1",
           "commands")
    tap.ok(seen.get('demikv_errors_total{error="WRONGTYPE"}') == "1" and seen.get('demikv_errors_total{error="other"}') == "1",
           "errors by their code, and not by what a script calls them")
    tap.ok(seen.get('demikv_command_duration_seconds_count{cmd="set"}') == "3"
           and seen.get('demikv_command_duration_seconds_bucket{cmd="set",le="+Inf"}') == "3", "histograms")
    other = server.client()
    same = [("used_memory_startup", "memory_startup_bytes", "memory"), ("maxclients", "max_clients", "clients"),
            ("total_error_replies", "error_replies_total", "stats"), ("rdb_changes_since_last_save", "rdb_changes_since_last_save", "persistence"),
            ("repl_backlog_size", "replication_backlog_size_bytes", "replication")]
    wrong = [(f, info(other, f, section), seen.get("demikv_" + m)) for f, m, section in same if info(other, f, section) != seen.get("demikv_" + m)]
    tap.ok(not wrong, "figures are INFO's", wrong)
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    tap.ok(done.returncode == 0 and not done.stderr, "promtool finds nothing wrong", (done.stdout + done.stderr).splitlines()[:20])


CASES = (
    (404, b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n"), (405, b"POST /metrics HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\nab"),
    (405, b"DELETE /metrics HTTP/1.1\r\n" + HEAD + b"\r\n"), (400, b"GET /metrics HTTP/1.1\r\n\r\n"), (400, b"*1\r\n$4\r\nPING\r\n"),
    (400, b"PING\r\n"), (400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n"), (413, b"GET /metrics HTTP/1.1\r\n" + HEAD + b"Content-Length: 9\r\n\r\n"),
    (414, b"GET /" + b"x" * 3000), (431, b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 9000), (431, b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 100),
    (501, b"GET /metrics HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), (505, b"GET /metrics HTTP/3.0\r\n" + HEAD + b"\r\n"))


def check_http(tap, port):
    for want, request in CASES:
        end = b"" if want != 404 else b"GET / HTTP/1.0\r\n\r\n"
        answer = said(port, request + end)
        tap.ok(status(answer) == want, "%d to %r" % (want, request[:60]), [answer[:300]])
    answer = said(port, GET.replace(b"GET", b"HEAD") + GET.replace(b"1.1", b"1.0"))
    first, rest = answer.split(b"\r\n\r\n", 1)
    tap.ok(b"200 OK" in first and b"chunked" in first and status(rest) == 200 and b"chunked" not in rest.split(b"\r\n\r\n")[0],
           "HEAD has no body; HTTP/1.0 gets no chunks", [answer[:600]])
    tap.ok(rest.endswith(b"\n") and b"demikv_uptime_seconds " in rest, "and the whole text, up to the end of the connection")
    with connect(port) as s:
        s.sendall(GET * 3 + b"GET /none HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        answer = read_all(s)
    bodies = []
    while answer.startswith(b"HTTP/1.1 200"):
        _, body, answer = body_of(answer)
        bodies.append(body)
    tap.ok(len(bodies) == 3 and all(b"demikv_uptime_seconds " in b for b in bodies) and status(answer) == 404, "requests in one segment, one after another")
    with connect(port) as s:
        for byte in GET:
            s.sendall(bytes([byte]))
        s.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = read_all(s)
    tap.ok(answer.count(b"HTTP/1.1 200") == 2, "a request in single bytes")


def check_crowd(tap, server, port):
    """More connections than there may be: whoever asks is answered."""
    idle = [connect(port) for _ in range(60)]
    tap.ok(samples(scrape(port)).get("demikv_uptime_seconds") is not None, "60 who say nothing keep nobody out")
    for s in idle:
        s.close()
    slow = []
    for _ in range(14):
        s = connect(port)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(GET * 100)
        slow.append(s)
    before = int(info(server.client(), "used_memory", "memory"))
    tap.ok(samples(scrape(port)).get("demikv_uptime_seconds") is not None, "14 who never read keep nobody out")
    tap.ok(before < 16 << 20, "nor take memory", [before])
    tap.ok(text_of(server.client(), "PING") == b"PONG", "clients are served")
    for s in slow:
        s.close()


def check_many(tap, server, port):
    """Scrapes while commands run: each is whole, and counters never fall."""
    over, faults, rounds = threading.Event(), [], []

    def work():
        client = server.client()
        i = 0
        while not over.is_set():
            client.call("SET", "k%d" % (i % 50), "v")
            client.call("EVAL", "return redis.error_reply('E%d x')" % (i % 150), "0")
            i += 1

    def watch():
        last = {}
        for _ in range(30):
            now = samples(scrape(port))
            rounds.append(len(now))
            for name, value in last.items():
                if re.match(r"demikv_\w+(_total|_bucket|_count|_sum)\b", name) and float(now.get(name, 0)) < float(value):
                    faults.append((name, value, now.get(name)))
            last = now

    threads = [threading.Thread(target=f) for f in (watch, watch, watch)]
    worker = threading.Thread(target=work)
    worker.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    over.set()
    worker.join()
    tap.ok(len(rounds) == 90 and min(rounds) > 150 and not faults, "three scrapes at once while commands run: no counter falls", faults[:5])


def check_busy(tap, server, port):
    """A script that does not end, and data that are being loaded: whoever scrapes is served."""
    client, script = server.client(), server.client(60.0)
    client.call("CONFIG", "SET", "busy-reply-threshold", "10")
    runs = threading.Thread(target=lambda: script.call("EVAL", "while true do end", "0"))
    runs.start()
    tap.ok(wait_until(lambda: text_of(client, "PING").startswith(b"BUSY")), "a script runs")
    tap.ok("demikv_uptime_seconds" in samples(scrape(port)), "metrics while a script runs")
    tap.ok(text_of(client, "SCRIPT", "KILL") == b"OK", "it is ended")
    runs.join()
    client.call("DEBUG", "POPULATE", "10000")
    client.call("SAVE")
    with Server(OURS) as other:
        os.rename(os.path.join(server.dir, "dump.rdb"), os.path.join(other.dir, "dump.rdb"))
        again = free_port()
        process = subprocess.Popen([OURS, "--port", "0", "--unixsocket", other.path + "2", "--dir", other.dir, "--save", "", "--metrics-port", str(again),
                                    "--key-load-delay", "500"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: not refuses(again))
            seen = samples(scrape(again))
            tap.ok(seen.get("demikv_loading") == "1" and 0 < float(seen.get("demikv_loading_file_size_bytes", 0)), "metrics while data are loaded",
                   [seen.get("demikv_loading")])
        finally:
            process.kill()
            process.wait()


def unnamed(client):
    """Numbers that INFO shows and of which neither the table nor its test knows."""
    rows = ""
    for name in ("field_table.c", "scrape_test.c"):
        with open(os.path.join(FOLDER, "..", "..", "server", "metrics", name), encoding="utf-8") as file:
            rows += file.read()
    known = set(re.findall(r'"(\w+)"', rows))
    shown = re.findall(r"^(\w+):-?\d+(?:\.\d+)?%?\r?$", text_of(client, "INFO", "everything").decode(), re.M)
    return [name for name in shown if name not in known and not name.startswith("demi_")]


def switch_on(server):
    """A port for metrics, when all that the server has listen already."""
    port = free_port()
    text_of(server.client(), "CONFIG", "SET", "metrics-port", str(port))
    return port


def check_replica(tap):
    with Server(OURS, tcp=True) as primary:
        ports = [switch_on(primary)]
        with Server(OURS, ["--replicaof", "127.0.0.1 %d" % primary.port]) as replica:
            ports.append(switch_on(replica))
            client = replica.client()
            tap.ok(wait_until(lambda: info(client, "master_link_status", "replication") == "up"), "a replica follows")
            above, below = samples(scrape(ports[0])), samples(scrape(ports[1]))
            tap.ok(above.get("demikv_connected_replicas") == "1" and any(k.startswith("demikv_replica_offset_bytes{replica=\"0\",") for k in above), "its primary shows it")
            tap.ok(below.get("demikv_replication_link_up") == "1" and any('role="slave"' in k for k in below), "it shows its link")
            tap.ok(not unnamed(client), "every number of a replica's INFO is a metric", unnamed(client))
            primary.process.kill()
            primary.process.wait()
            tap.ok(wait_until(lambda: info(client, "master_link_status", "replication") == "down"), "its primary is gone")
            tap.ok(samples(scrape(ports[1])).get("demikv_replication_link_up") == "0" and not unnamed(client), "it shows that, too", unnamed(client))


def refuses(port, host="127.0.0.1"):
    try:
        connect(port, host).close()
    except ConnectionRefusedError:
        return True
    return False


def own_address():
    """Of this machine, not loopback; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def check_switching(tap):
    port = free_port()
    with Server(OURS) as server:
        client = server.client()
        tap.ok(refuses(port), "nothing listens without metrics-port")
        tap.ok(text_of(client, "CONFIG", "SET", "metrics-port", str(port)) == b"OK" and "demikv_uptime_seconds" in scrape(port), "CONFIG SET metrics-port")
        other = free_port()
        with connect(port) as kept:
            tap.ok(text_of(client, "CONFIG", "SET", "metrics-port", str(other)) == b"OK" and refuses(port) and "demikv_" in scrape(other), "another port")
            kept.sendall(GET)
            tap.ok(kept.recv(100).startswith(b"HTTP/1.1 200"), "who is connected stays")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            reply = text_of(client, "CONFIG", "SET", "metrics-port", str(taken.getsockname()[1]))
            tap.ok(b"Unable to listen on this port" in reply and "demikv_" in scrape(other), "a port in use is refused, and the other one stays", [reply])
        tap.ok(text_of(client, "CONFIG", "SET", "metrics-bind", "127.0.0.3") == b"OK" and refuses(other)
               and said(other, GET.replace(b"1.1", b"1.0"), "127.0.0.3").startswith(b"HTTP/1.1 200"), "metrics-bind")
        with connect(other, "127.0.0.3") as kept:
            tap.ok(text_of(client, "CONFIG", "SET", "metrics-port", "0") == b"OK" and refuses(other, "127.0.0.3") and read_all(kept) == b"",
                   "port 0: nobody is served any more")


def check_rewrite(tap):
    port = free_port()
    with Server(OURS) as scratch:
        conf = os.path.join(scratch.dir, "my.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write("metrics-port %d\n" % port)
        process = subprocess.Popen([OURS, conf, "--port", "0", "--unixsocket", scratch.path + "2", "--dir", scratch.dir, "--save", ""],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            tap.ok(wait_until(lambda: not refuses(port)) and refuses(port, "127.0.0.2"), "a file's port, on loopback's own address by default")
            words = ["redis-cli", "-s", scratch.path + "2"]
            subprocess.run(words + ["CONFIG", "SET", "metrics-bind", "127.0.0.1 127.0.0.2"], stdout=subprocess.DEVNULL, check=False)
            subprocess.run(words + ["CONFIG", "REWRITE"], stdout=subprocess.DEVNULL, check=False)
            with open(conf, encoding="utf-8") as f:
                lines = f.read().splitlines()
            tap.ok("metrics-port %d" % port in lines and "metrics-bind 127.0.0.1 127.0.0.2" in lines, "CONFIG REWRITE keeps both", lines)
        finally:
            process.terminate()
            process.wait()


def check_protected(tap, address):
    port = free_port()
    with Server(OURS, ["--metrics-port", str(port), "--metrics-bind", address]) as server:
        client = server.client()
        answer = said(port, GET, address)
        tap.ok(status(answer) == 403 and b"demikv_" not in answer, "protected mode holds here, too", [answer[:200]])
        client.call("CONFIG", "SET", "requirepass", "x")
        tap.ok(status(said(port, GET.replace(b"1.1", b"1.0"), address)) == 200, "with a password it does not")


def main():
    need_server()
    need("redis-cli")
    need("promtool")
    tap = Quiet()
    port = free_port()
    with Server(OURS, ["--metrics-port", str(port)]) as server:
        check_content(tap, server, port)
        check_http(tap, port)
        check_crowd(tap, server, port)
        check_many(tap, server, port)
        check_busy(tap, server, port)
        tap.ok(text_of(server.client(), "PING") == b"PONG", "the server is well")
    check_replica(tap)
    check_switching(tap)
    check_rewrite(tap)
    address = own_address()
    if address:
        check_protected(tap, address)
    else:
        tap.skip("protected mode holds here, too", "this machine has no address of its own")
    tap.done()


main()
