#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 100
"""demi/examples/http-files: what curl, wget, ab and bare bytes get of it, on kernel sockets, io_uring and our own TCP."""
import os
import random
import socket
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import EXAMPLES  # noqa: E402
from programs import need  # noqa: E402
from rig import DEVICES, RAW4, Rig, connect, guarded, need_all, run_program  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PORT = 8080
BASE = "http://%s:%d" % (RAW4, PORT)
LARGE = 3 << 20


def make(top):
    rng = random.Random(2)
    files = {"index.html": b"<p>the index</p>\n", "a.txt": b"0123456789", "empty.txt": b"", "large.bin": rng.randbytes(LARGE), "sub/index.html": b"sub\n",
             "with space & \xc3\xa4.txt": b"named\n", "bare/x.txt": b"x"}
    os.makedirs(os.path.join(top, "root"))
    for name, data in files.items():
        path = os.path.join(os.fsencode(top), b"root", name.encode("latin-1"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data)
    with open(os.path.join(top, "secret"), "w", encoding="ascii") as out:
        out.write("secret")
    os.makedirs(os.path.join(top, "root-beside"))
    with open(os.path.join(top, "root-beside", "secret"), "w", encoding="ascii") as out:
        out.write("secret")
    os.symlink("../secret", os.path.join(top, "root", "out"))
    os.symlink("a.txt", os.path.join(top, "root", "in"))
    os.mkfifo(os.path.join(top, "root", "fifo"))
    return files


def answers(data, count=None):
    """What comes back for bare bytes until the end: [(status, headers, body)]; bodies by Content-Length."""
    found = []
    with connect(PORT) as stream:
        stream.sendall(data)
        if count is None:
            stream.shutdown(socket.SHUT_WR)
        reader = stream.makefile("rb")
        while count is None or len(found) < count:
            line = reader.readline()
            if not line:
                break
            status, headers = int(line.split()[1]), {}
            while True:
                line = reader.readline().strip()
                if not line:
                    break
                name, _, value = line.partition(b":")
                headers[name.decode().lower()] = value.strip().decode()
            head_only = status == 304 or data.startswith(b"HEAD")
            size = 0 if head_only else int(headers["content-length"])
            found.append((status, headers, reader.read(size)))
    return found


def get(path, *headers, method="GET", version="1.1"):
    lines = ["%s %s HTTP/%s" % (method, path, version), "Host: x"] + list(headers) + ["Connection: close", "", ""]
    return answers("\r\n".join(lines).encode("latin-1"), 1)[0]


def check_words(files):
    wrong = []

    def want(claim, got, status, body=None, **headers):
        if got[0] != status or (body is not None and got[2] != body) or any(got[1].get(n.replace("_", "-")) != v for n, v in headers.items()):
            wrong.append("%s: %d %r %r" % (claim, got[0], got[1], got[2][:80]))
    want("/", get("/"), 200, files["index.html"], content_type="text/html; charset=utf-8")
    want("a folder without its slash", get("/sub"), 301, location="/sub/")
    want("its index", get("/sub/"), 200, b"sub\n")
    want("one without an index", get("/bare/"), 404)
    want("a name in signs", get("/with%20space%20&%20%C3%A4.txt?query=1"), 200, b"named\n")
    want("an empty file", get("/empty.txt"), 200, b"", content_length="0")
    want("a link inside", get("/in"), 200, b"0123456789")
    want("a fifo", get("/fifo"), 404)
    want("HEAD", get("/large.bin", method="HEAD"), 200, b"", content_length=str(LARGE))
    want("HTTP/1.0", get("/a.txt", version="1.0"), 200, b"0123456789", connection="close")
    for span, body, told in (("0-0", b"0", "0-0"), ("2-4", b"234", "2-4"), ("7-", b"789", "7-9"), ("-3", b"789", "7-9"), ("-300", b"0123456789", "0-9"), ("5-500", b"56789", "5-9")):
        want(span, get("/a.txt", "Range: bytes=" + span), 206, body, content_range="bytes %s/10" % told)
    for span in ("10-", "-0", "99-100"):
        want(span, get("/a.txt", "Range: bytes=" + span), 416, content_range="bytes */10")
    for span in ("bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=x-1", "bytes=99999999999999999999-"):
        want(span, get("/a.txt", "Range: " + span), 200, b"0123456789")
    first = get("/a.txt")
    tag, date = first[1]["etag"], first[1]["last-modified"]
    for claim, header in (("its tag", "If-None-Match: " + tag), ("any tag", "If-None-Match: *"), ("among tags", 'If-None-Match: "x", W/%s' % tag), ("its date", "If-Modified-Since: " + date)):
        want(claim, get("/a.txt", header), 304, b"", etag=tag)
    for claim, headers in (("another tag", ['If-None-Match: "x"']), ("the tag decides", ['If-None-Match: "x"', "If-Modified-Since: " + date]), ("an old date", ["If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"]),
                           ("no date", ["If-Modified-Since: yesterday"]), ("a range of another version", ["Range: bytes=0-1", 'If-Range: "x"'])):
        want(claim, get("/a.txt", *headers), 200, b"0123456789")
    for condition in (tag, date):
        want("a range of this version", get("/a.txt", "Range: bytes=0-1", "If-Range: " + condition), 206, b"01")
    return wrong


def check_paths(_files):
    """Nothing outside of the folder is there, however it is written."""
    wrong = []
    for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/../../secret", "/sub/%2e%2e/%2e%2e/secret", "/./../secret", "//../secret", "/out", "/../root-beside/secret",
                 "/sub/..%2f..%2fsecret", "/a.txt%00.html", "/%", "/%g0", "secret", "*", "/" + "a/" * 3000, "/sub/index.html/", "/a.txt/..", "/....//secret"):
        status, _, body = get(path)
        if status not in (400, 404, 431, 301, 200) or b"secret" in body or (status == 200 and path != "/a.txt/.."):
            wrong.append("%s: %d %r" % (path, status, body))
    if get("/sub/../a.txt")[2] != b"0123456789" or get("http://elsewhere/a.txt")[2] != b"0123456789":
        wrong.append("a path with .. that stays inside")
    return wrong


def check_bad(files):
    """What is no request is refused by its status, and the connection ends; the next client is served."""
    wrong = []
    for data, status in ((b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400), (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
                         (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405), (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501), (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /", 413),
                         (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501), (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
                         (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 200 + b"\r\n", 431), (b"GET / HTTP/1.1\r\nx: " + b"y" * 10000, 431), (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400)):
        found = answers(data, 5)
        if [status] != [a[0] for a in found]:
            wrong.append("%r: %s" % (data[:60], [a[0] for a in found]))
    rng = random.Random(5)
    for _ in range(50):
        with connect(PORT) as stream:
            try:
                stream.sendall(rng.choice((b"GET ", b"HEAD /a", b"\r\n")) + rng.randbytes(rng.randrange(500)) + b"\r\n\r\n")
            except OSError:
                pass
    if get("/a.txt")[2] != files["a.txt"]:
        wrong.append("the next client is not served")
    return wrong


def check_pipelined(files):
    """Many requests in one breath, and in pieces; the answers come in order over one connection."""
    one = b"\r\nGET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
    names = ["a.txt", "large.bin", "empty.txt", "index.html"] * 3
    found = answers(b"".join(one % n.encode() for n in names), len(names))
    if [body for _, _, body in found] != [files[n] for n in names]:
        return ["%s" % [(status, len(body)) for status, _, body in found]]
    return []


def check_goes_away(files):
    """Who leaves in the middle of a file, or reads slowly, holds up nobody."""
    slow = connect(PORT)
    slow.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(50):
        with connect(PORT) as stream:
            stream.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            stream.recv(1000)
    wrong = [] if get("/large.bin")[2] == files["large.bin"] else ["the next client is not served"]
    count = 0
    while count < LARGE:
        some = slow.recv(1 << 20)
        if not some:
            return wrong + ["the slow one got %d bytes" % count]
        count += len(some)
    slow.close()
    return wrong


def check_tools(files, top):
    wrong, out = [], os.path.join(top, "got")

    def run(claim, *words, ends=0):
        status, said = run_program([need(words[0])] + list(words[1:]))
        if status != ends:
            wrong.append("%s: status %s: %s" % (claim, status, said[-300:]))
        return said

    def same(claim, data):
        with open(out, "rb") as file:
            if file.read() != data:
                wrong.append(claim + ": other bytes")
    run("curl", "curl", "-sSf", "-o", out, BASE + "/large.bin")
    same("curl", files["large.bin"])
    with open(out, "r+b") as file:
        file.truncate(1000000)
    run("curl goes on", "curl", "-sSf", "-C", "-", "-o", out, BASE + "/large.bin")
    same("curl goes on", files["large.bin"])
    run("curl, one connection", "curl", "-sSf", "-o", "/dev/null", BASE + "/a.txt", "-o", "/dev/null", BASE + "/large.bin")
    if "304" not in run("curl's condition", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-z", os.path.join(top, "root", "a.txt"), BASE + "/a.txt"):
        wrong.append("curl's condition: no 304")
    with open(out, "r+b") as file:
        file.truncate(2000000)
    run("wget goes on", "wget", "-q", "-c", "-O", out, BASE + "/large.bin")
    same("wget goes on", files["large.bin"])
    said = run("ab", "ab", "-q", "-k", "-n", "2000", "-c", "20", BASE + "/a.txt")
    if "Failed requests:        0" not in said or "Complete requests:      2000" not in said:
        wrong.append("ab: " + said[-600:])
    return wrong


def main():
    program = os.path.join(EXAMPLES, "http-files")
    if not os.path.exists(program):
        skip_all("no " + program)
    for words in ("curl", "wget", "ab"):
        need(words)
    names, tap = ("posix", "uring", "packet"), Tap()
    for name in names:
        need_all(DEVICES[name])
    for name in names:
        with Rig(DEVICES[name]) as rig:
            files = make(rig.dir)
            server = rig.start([program, RAW4, str(PORT), os.path.join(rig.dir, "root")], lambda p: True)
            for claim, check in (("files, ranges, conditions", check_words), ("nothing outside of the folder", check_paths), ("what is no request", check_bad),
                                 ("many requests in one breath", check_pipelined), ("who goes away, who is slow", check_goes_away)):
                guarded(tap, "%s: %s" % (name, claim), server, check, files)
            guarded(tap, name + ": curl, wget, ab", server, check_tools, files, rig.dir)
            server.stop()
    tap.done()


main()
