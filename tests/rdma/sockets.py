# SPDX-License-Identifier: MIT
"""Programs of the library over RDMA (LIBOS=rdma), processes of a guest: examples, a server with our load generator, Valkey's framing; what
ends, and how, when either side is killed or the link goes down. devices.py boots the guest, and does this for both devices at once."""
import os
import re
import time

from wire import ADDRESS, BUILD

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(BUILD, "examples")
LISTENS = "rdma resource show cm_id | grep -q 'LISTEN.* %s:%d '"
COMMANDS = "set get incr lpush rpop sadd hset zadd mset ping"


class Ends:
    """Programs at one address."""

    def __init__(self, tap, wire, device):
        self.tap, self.wire, self.device, self.port = tap, wire, device, 7000
        self.address = ADDRESS[device]
        # rxe: its completion queue has 32,767 places, of which a connection takes send_depth + 1. siw: without RNR no more than there are
        # windows for, 512 receives, 32 each.
        self.most = 1000 if device == "rxe" else 14
        self.env = "ulimit -l unlimited; export LIBOS=rdma DEVICE=%s0 DEMI_PLUGIN_PATH=%s BUILD=%s; " % (device, BUILD, BUILD)

    def ok(self, passed, claim, notes=()):
        self.tap.ok(passed, "%s: %s" % (self.device, claim), list(notes))

    def run(self, command, patience=90):
        return self.wire.run(self.env + "timeout %d %s" % (patience - 10, command), patience)

    def check_example(self, claim, name, *arguments):
        self.port += 1
        words = " ".join([self.address, str(self.port)] + [str(a) for a in arguments])
        pid = "%s/pid-%d" % (self.wire.share, self.port)
        server = self.wire.start(self.env + "echo $$ >%s; exec %s/%s --server %s" % (pid, EXAMPLES, name, words))
        self.wire.wait_for(LISTENS % (self.address, self.port), 20)
        status, output = self.run("%s/%s --client %s" % (EXAMPLES, name, words))
        self.ok(status == 0, claim, [] if status == 0 else [status, output, server.output()])
        self.wire.run("kill $(cat %s)" % pid)  # some go on, for the next client
        server.wait(20)

    def start_server(self, options, port, before=""):
        server = self.wire.start("cd %s && %s %s echo $$ >server-%s; exec %s/demikv-server --bind %s --protected-mode no --save '' %s"
                                 % (self.wire.share, self.env, before, self.device, BUILD, self.address, options))
        up = self.wire.wait_for(LISTENS % (self.address, port), 30)
        self.ok(up, "a server listens (%s)" % options, [] if up else [server.output()])
        return server

    def loads(self, server, names, options):
        """Some tests of the load generator, of which each is a claim; one job, since that is what costs here."""
        program = "%s/tools/bench/load -h %s %s --machine" % (BUILD, self.address, options)
        status, output = self.wire.run(self.env + "for t in %s; do timeout 30 %s -t $t && echo done $t; done" % (names, program), 120)
        for name in names.split():
            fine = "done %s\n" % name in output
            self.ok(fine, name, [] if fine else [status, output[-2000:], server.output()[-2000:]])

    def load(self, claim, server, options, patience=90):
        status, output = self.run("%s/tools/bench/load -h %s %s --machine" % (BUILD, self.address, options), patience)
        self.ok(status == 0, claim, [] if status == 0 else [status, output, server.output()[-2000:]])

    def kill(self, signal):
        """The server that was started last."""
        self.wire.run("kill -%s $(cat %s/server-%s)" % (signal, self.wire.share, self.device))

    def script(self, server, name, count, words, valkey=False):
        """Claims of a script of this folder, which are so many."""
        status, output = self.run("python3 %s/%s %s %s" % (HERE, name, self.address, words), 120)
        claims = re.findall(r"^(not )?ok (.*)$", output, re.M)
        prefix = "valkey: " if valkey else ""
        for bad, claim in claims:
            self.ok(not bad, prefix + claim, [output[-3000:]] if bad else [])
        self.ok(status == 0 and len(claims) == count, "%s%s to its end" % (prefix, name),
                [] if status == 0 else [status, output[-3000:], server.output()[-2000:]])


def check_examples(ends):
    ends.check_example("an echo of 60,000 bytes", "tcp-echo", 60000, 20)
    if ends.device == "rxe":
        ends.check_example("a stream one way", "tcp-push-pop", 16000, 50)


def kill_a_client(ends, server, options):
    """In the middle of its requests; the others do not notice, and the server forgets it."""
    ends.run("timeout -s KILL 1 %s/tools/bench/load -h %s %s -t set -P 8 -c 4 -r 10 --seconds 30" % (BUILD, ends.address, options), 30)
    ends.load("a client was killed, and others are served", server, options + " -t ping -c 2 -n 100")


def kill_the_server(ends, server):
    """Its clients hear of it at once."""
    client = ends.wire.start(ends.env + "timeout 60 %s/tools/bench/load -h %s -t get -c 4 -r 10 --seconds 40 --marks" % (BUILD, ends.address))
    for _ in range(200):
        if "measuring" in client.output():
            break
        time.sleep(0.1)
    began = time.monotonic()
    ends.kill("KILL")
    status, output = client.wait(70)
    fine = status == 3 and time.monotonic() - began < 30
    ends.ok(fine, "the server was killed, and its clients hear of it", [] if fine else [status, output[-1000:]])
    server.wait(20)


def check_server(ends):
    config = os.path.join(ends.wire.share, "few-sends.yaml")
    with open(config, "w") as f:
        f.write("rdma:\n  send_depth: 16\n")
    server = ends.start_server("--libos rdma --libos-config %s --port 6379" % config, 6379)
    ends.loads(server, COMMANDS if ends.device == "rxe" else "set get", "-c 4 -P 4 -r 100 -d 100 -n 200")
    ends.env, before = ends.env + "export CONFIG_PATH=%s; " % config, ends.env
    ends.load("%d connections at once" % ends.most, server, "-t get -c %d -r 10 -n %d" % (ends.most, 2 * ends.most))
    ends.env = before
    ends.script(server, "commands.py", 6, "6379")
    if ends.device == "rxe":
        ends.script(server, "short.py", 2, "6379 200")
    if ends.device == "rxe":
        kill_a_client(ends, server, "")
    kill_the_server(ends, server)


def check_valkey(ends):
    """rdma-port beside TCP, with clients of either framing."""
    server = ends.start_server("--libos posix --port 6379 --rdma-port 6380 --rdma-bind %s --rdma-device %s0" % (ends.address, ends.device), 6380)
    ends.load("Valkey's framing: 20 connections", server, "-p 6380 --valkey -t get -c 20 -P 16 -r 100 -n 640")
    ends.script(server, "commands.py", 6, "6380 valkey", True)
    ends.script(server, "short.py", 2, "6380 50 valkey", True)
    kill_a_client(ends, server, "-p 6380 --valkey")
    status, output = ends.wire.run("LIBOS=posix timeout 30 %s/tools/bench/load -h %s -t ping -c 2 -n 100 --machine" % (BUILD, ends.address))
    ends.ok(status == 0, "TCP beside it", [] if status == 0 else [output])
    ends.kill("TERM")
    status, output = server.wait(30)
    fine = status == 0 and "bye bye" in output
    ends.ok(fine, "the server ends in order", [] if fine else [status, output[-1500:]])


def check_strangers(ends):
    """A client without the password costs a buffer as others do: 16 MiB may be locked, a quarter of which is for those."""
    server = ends.start_server("--libos posix --port 6479 --rdma-port 6480 --rdma-bind %s --rdma-device %s0 --requirepass secret"
                               % (ends.address, ends.device), 6480, "ulimit -l 16384;")
    ends.script(server, "strangers.py", 3, "6480 secret")
    ends.kill("KILL")
    server.wait(20)


def check_link_down(ends):
    """The last of all: rxe of Linux 6.1 takes no connection any more afterwards, until the device is made anew."""
    server = ends.start_server("--libos rdma --port 6579 --loglevel notice", 6579)
    client = ends.wire.start(ends.env + "timeout 60 %s/tools/bench/load -h %s -p 6579 -t get -c 2 -r 10 --seconds 50 --marks" % (BUILD, ends.address))
    for _ in range(200):
        if "measuring" in client.output():
            break
        time.sleep(0.1)
    ends.wire.must("ip link set down dev %sa" % ends.device)
    status, output = client.wait(70)
    ends.ok(status == 3, "the link is down, and the client hears of it", [] if status == 3 else [status, output[-1000:]])
    told = ends.wire.wait_for("test -n \"$(grep -s 'its port is down' %s)\"" % server.path(), 15)
    ends.ok(told, "the server says that its port is down", [] if told else [server.output()[-2000:]])
    ends.wire.must("ip link set up dev %sa" % ends.device)
    told = ends.wire.wait_for("test -n \"$(grep -s 'its port is active' %s)\"" % server.path(), 15)
    ends.ok(told, "and that it is active again", [] if told else [server.output()[-2000:]])
    ends.kill("KILL")
    server.wait(20)


def check(tap, wire, device):
    ends = Ends(tap, wire, device)
    check_examples(ends)
    check_server(ends)
    if device == "rxe":
        check_valkey(ends)
        check_strangers(ends)
        check_link_down(ends)
