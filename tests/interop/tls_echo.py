#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""demi/examples/tls-echo: its two ends, openssl's client, who must not get in; on kernel sockets, io_uring and shared memory."""
import os
import subprocess
import sys
import tempfile
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import EXAMPLES, talk  # noqa: E402
from programs import need  # noqa: E402
from rig import BUILD, PATIENCE, connect, die_with_parent  # noqa: E402
from servers import free_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PROGRAM = os.path.join(EXAMPLES, "tls-echo")


def certificates(folder):
    """A CA, and by it a server's and a client's."""
    def openssl(*words):
        subprocess.run([need("openssl")] + list(words), cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test CA")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", "server.crt")


def client(folder, port, name, *words):
    env = dict(os.environ, LIBOS="posix", DEMI_PLUGIN_PATH=BUILD, TLS_CA=os.path.join(folder, "ca.crt"), TLS_NAME=name)
    return subprocess.run([PROGRAM, "--client", "127.0.0.1", str(port)] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, env=env)


def main():
    need("openssl")
    if not os.path.exists(PROGRAM) or not os.path.exists(os.path.join(BUILD, "libdemikernel-tls.so")):
        skip_all("no %s, or no plug-in for TLS (Debian package libssl-dev)" % PROGRAM)
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder)
        files = {"TLS_CERT": os.path.join(folder, "server.crt"), "TLS_KEY": os.path.join(folder, "server.key"), "TLS_NAME": "localhost"}
        for libos in ("posix", "uring", "shm"):
            # The server would ask for certificates if it had the CA, and client and server get one environment from talk().
            wrong = talk(["env", "-u", "TLS_CA", PROGRAM], [PROGRAM], libos, 20000, 100, dict(files, TLS_CA=os.path.join(folder, "ca.crt")))
            tap.ok(not wrong, libos + ": both ends", wrong)
        port = free_port()
        env = dict(os.environ, LIBOS="posix", DEMI_PLUGIN_PATH=BUILD, **files)
        env.pop("TLS_CA", None)
        server = subprocess.Popen([PROGRAM, "--server", "127.0.0.1", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, preexec_fn=die_with_parent)
        try:
            connect(port, "127.0.0.1").close()  # it listens; and one that says nothing is none
            theirs = subprocess.Popen([need("openssl"), "s_client", "-connect", "127.0.0.1:%d" % port, "-CAfile", os.path.join(folder, "ca.crt"), "-verify_return_error",
                                       "-verify_hostname", "localhost", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
            theirs.stdin.write(b"line by line\n" * 1000)
            theirs.stdin.flush()
            got = theirs.stdout.read(13000)
            theirs.terminate()
            theirs.wait()
            tap.ok(got == b"line by line\n" * 1000, "openssl's client", [got[:100]] if len(got) != 13000 else [])
            done = client(folder, port, "elsewhere.example", "64", "2")
            tap.ok(done.returncode == 1 and "echoes" not in done.stdout, "a server of another name is refused", [done.stdout])
            with connect(port, "127.0.0.1") as plain:
                plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
                deadline = time.monotonic() + PATIENCE
                try:
                    while plain.recv(1000) and time.monotonic() < deadline:
                        pass
                except ConnectionResetError:
                    pass
            done = client(folder, port, "localhost", "64", "5")
            tap.ok(done.returncode == 0 and "5 echoes of 64 bytes by TLSv1.3" in done.stdout, "after plain text and strangers the next client is served", [done.stdout])
            tap.ok(server.poll() is None, "the server lives")
        finally:
            server.terminate()
            server.wait()
    tap.done()


main()
