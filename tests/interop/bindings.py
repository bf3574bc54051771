# SPDX-License-Identifier: MIT
"""What the tests of the library in other languages share: their echo programs, whose words are those of demi/examples/tcp-echo,
with C's at the other end, either way round.
"""
import os
import subprocess
import time

from rig import BUILD, DEVICES, PATIENCE, RAW4, Rig, check_echo, die_with_parent, guarded
from servers import free_port

EXAMPLES = os.environ.get("EXAMPLES", os.path.join(BUILD, "examples"))  # or those of a build with a sanitizer
C_ECHO = [os.path.join(BUILD, "examples/tcp-echo")]


def sanitized_build():
    with open(os.path.join(BUILD, "libdemikernel.so"), "rb") as library:
        return b"__asan_init" in library.read()


def run_tests(tap, name, words, libos, env=()):
    """A program of tests in TAP, as one case."""
    env = dict(os.environ, LIBOS=libos, **dict(env))
    env.pop("CONFIG_PATH", None)
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, env=env, preexec_fn=die_with_parent)
        good, said = done.returncode == 0 and "not ok" not in done.stdout and "\n1.." in done.stdout and "ERROR" not in done.stdout, done.stdout
    except subprocess.TimeoutExpired as late:
        good, said = False, "it hangs\n%s" % late.output
    tap.ok(good, "%s, %s: the tests of the binding" % (name, libos), [] if good else [said[-6000:]])


def talk(server, client, libos, size, count, env=()):
    """What is wrong when client asks server over libos; both are words of a program."""
    port = free_port()
    env = dict(os.environ, LIBOS=libos, DEMI_PLUGIN_PATH=BUILD, **dict(env))
    env.pop("CONFIG_PATH", None)
    serving = subprocess.Popen(server + ["--server", "127.0.0.1", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True, preexec_fn=die_with_parent)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                done = subprocess.run(client + ["--client", "127.0.0.1", str(port), str(size), str(count)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                                      text=True, timeout=PATIENCE, preexec_fn=die_with_parent)
            except subprocess.TimeoutExpired as late:
                return ["the client hangs", late.output]
            if "refused" not in done.stdout or time.monotonic() > deadline or serving.poll() is not None:
                break
            time.sleep(0.05)
        if done.returncode or "%d echoes of %d bytes" % (count, size) not in done.stdout:
            return ["client: status %d" % done.returncode] + done.stdout.splitlines()[-8:] + (["the server has ended"] if serving.poll() is not None else [])
        return [] if serving.poll() is None else ["the server has ended"]
    finally:
        serving.terminate()
        said, _ = serving.communicate(timeout=PATIENCE)
        if said.strip():
            print("# server: " + said.strip()[-500:])


def echoes(tap, name, mine, env=()):
    """On this machine, against C's and itself."""
    ways = {"its server, C's client": (mine, C_ECHO), "C's server, its client": (C_ECHO, mine), "both ends": (mine, mine)}
    for libos in ("posix", "uring", "shm"):
        for claim in ["both ends"] if libos == "uring" else list(ways)[:2]:
            server, client = ways[claim]
            wrong = talk(server, client, libos, 3000, 200, env)
            tap.ok(not wrong, "%s, %s: %s" % (name, libos, claim), wrong)


def pairs(tap, name, mine, env=()):
    """Over a veth, on our own stack: with Linux's TCP and with C's client, which is on kernel sockets, at the other end."""
    if os.geteuid():
        tap.skip(name + ", packet", "not root")
        return
    before = {key: os.environ.get(key) for key, _ in dict(env).items()}
    os.environ.update(dict(env))
    try:
        with Rig(DEVICES["packet"]) as rig:
            server = rig.start(mine + ["--server", RAW4, "7000"], lambda p: True)
            guarded(tap, name + ", packet: a stream of Linux's echoed, to the half-close's end", server, check_echo, rig, 7000, 4)
            server.stop()
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
