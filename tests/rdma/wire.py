# SPDX-License-Identifier: MIT
"""The kernel's RDMA devices in software, in a guest (tests/guest):

    rxe0    RoCE over one end of a veth pair    10.77.0.1, fd77::1
    siw0    iWARP over another pair's           10.78.0.1, fd78::1

Both ends of a connection are programs of the one guest: rxe of Linux 6.1 knows the first network namespace only.
"""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "guest"))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
import kernel  # noqa: E402
from guest import Guest  # noqa: E402
from programs import need  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
DEVICES = ("rxe", "siw")
ADDRESS = {"rxe": "10.77.0.1", "siw": "10.78.0.1"}
ADDRESS6 = {"rxe": "fd77::1", "siw": "fd78::1"}

SETUP = """set -e
ulimit -l unlimited
i=7
for t in rxe siw; do
    ip link add ${t}a type veth peer name ${t}b
    ip addr add 10.7$i.0.1/24 dev ${t}a
    ip addr add fd7$i::1/64 dev ${t}a nodad
    ip link set ${t}a up
    ip link set ${t}b up
    rdma link add ${t}0 type $t netdev ${t}a || [ $t = siw ]
    i=$((i + 1))
done
"""


class Wire(Guest):
    """A guest with the devices in it; `devices` are those there are."""

    def __enter__(self):
        need("ip")
        need("rdma")
        super().__enter__()
        try:
            self.must(SETUP)
            links = self.must("rdma link")
            self.devices = [name for name in DEVICES if name + "0/" in links]
        except BaseException:
            self.__exit__()
            raise
        return self


def why_not(device):
    return "%s: %s" % (device, kernel.no_siw() or "the guest's kernel has no such device")
