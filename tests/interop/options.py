#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What is set for a libOS and has no effect is refused at the start, in one line that says what there is. No root."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap, skip_all  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
SERVER = os.environ.get("DEMIKV_SERVER", os.path.join(BUILD, "demikv-server"))


def refused(words, *said):
    """Notes: none if it ends with an error and says all of that in one line."""
    env = {k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH")}
    done = subprocess.run([SERVER, "--port", "0", "--save", ""] + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, env=env)
    lines = [line for line in done.stdout.splitlines() if "Can't start libOS" in line]
    if done.returncode == 1 and len(lines) == 1 and all(word in lines[0] for word in said):
        return []
    return ["status %s" % done.returncode] + done.stdout.splitlines()[-3:]


if not os.access(SERVER, os.X_OK):
    skip_all("no " + SERVER)
tap = Tap()
CASES = (
    ("a libOS of files", ["--libos", "disk"], ("without being asked for", "posix", "packet")),
    ("one by Demikernel's name", ["--libos", "cattree"], ("without being asked for",)),
    ("a libOS that is named twice", ["--libos", "shm,catmem"], ("named twice",)),
    ("one too many", ["--libos", "posix,shm,packet,dpdk,xdp"], ("at most 4",)),
    ("a libOS nobody knows", ["--libos", "possix"], ("no libOS of this name", "posix", "dpdk")),
    ("a misspelt setting", ["--libos", "loop", "--libos-settings", "mtuu=9000"], ('no setting "mtuu"', " mtu ", " rcv_buffer ", " ping ")),
    ("a setting of another device", ["--libos", "loop", "--libos-settings", "mtu=9000 ring=64"], ('no setting "ring"',)),
    ("a setting without a value", ["--libos", "loop", "--libos-settings", "mtu"], ("key=value",)),
    ("posix with an interface", ["--libos-interface", "eth0"], ('posix has no setting "interface"',)),
    ("posix with an address", ["--libos-address", "10.0.0.2/24"], ('posix has no setting "address"',)),
    ("posix with a gateway", ["--libos-gateway", "10.0.0.1"], ('posix has no setting "gateway"',)),
    ("posix with DPDK's arguments", ["--libos-eal", "--no-huge"], ('posix has no setting "eal"',)),
    ("posix with a capture", ["--libos-pcap", "/tmp/x.pcap"], ('posix has no setting "pcap"',)),
)
for claim, words, said in CASES:
    notes = refused(words, *said)
    tap.ok(not notes, claim + " is refused", notes)
tap.done()
