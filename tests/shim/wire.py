# SPDX-License-Identifier: MIT
"""The rows of matrix.py over a wire (tests/interop/rig.py): our stack under a program at one end, Linux's at the other."""
import ctypes
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
from matrix import BUILD, Side, Tap, need_shim, run_rows, skip_all  # noqa: E402
from rig import CLONE_NEWNET, DEVICES, LINUX4, RAW4, Rig, libc, must  # noqa: E402

# What has several processes with sockets at one end wants several devices.
ONE_PROCESS = ("redis-server, redis-cli, redis-benchmark", "redis-py", "memcached with threads", "python's http.server, curl, wget",
               "python's asyncio", "python that sleeps", "nginx, wrk, ab", "nginx without sendfile", "node", "nc", "iperf3", "sockperf", "haproxy", "UDP by python",
               "sockperf by UDP")


def write_config(rig, name, lines):
    path = os.path.join(rig.dir, name)
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")
    return path


def raw_side(rig):
    config = write_config(rig, "shim.yaml", rig.config())
    namespace = rig.program_namespace
    return Side(RAW4, {"LIBOS": rig.device.libos, "CONFIG_PATH": config}, enter=lambda: must(libc.setns(namespace, CLONE_NEWNET)),
                pass_fds=(namespace,))


def run_pair(name, rows):
    """A device with one of ours at each end: where there is no kernel."""
    need_shim()
    tap = Tap()
    device = DEVICES[name]
    if device.plugin and not os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % device.plugin)):
        skip_all("no plug-in for " + device.plugin)
    if os.geteuid():
        skip_all("not root")
    with Rig(device) as rig:
        peer = [line.replace("DIR", rig.dir) for line in device.peer] + ["address: %s/24" % LINUX4]
        sides = [Side(RAW4, {"LIBOS": device.libos, "CONFIG_PATH": write_config(rig, "raw.yaml", rig.config())}),
                 Side(LINUX4, {"LIBOS": device.libos, "CONFIG_PATH": write_config(rig, "peer.yaml", peer)})]
        try:
            for row in rows:
                run_rows(tap, *sides, "both ends on %s" % name, (row,))
                path = os.path.join(rig.dir, device.socket_name)
                if os.path.exists(path):
                    os.unlink(path)
        finally:
            for side in sides:
                side.close()
    tap.done()


def run_wire(name, servers=ONE_PROCESS, clients=ONE_PROCESS):
    """servers, clients: the rows in which the program of ours is that."""
    need_shim()
    if os.geteuid():
        skip_all("not root")
    tap = Tap()
    device = DEVICES[name]
    if device.plugin and not os.path.exists(os.path.join(BUILD, "libdemikernel-%s.so" % device.plugin)):
        skip_all("no plug-in for " + device.plugin)
    with Rig(device) as rig:
        for rows, ours_serves in ((servers, True), (clients, False)):
            raw, linux = raw_side(rig), Side(LINUX4)
            try:
                if ours_serves:
                    run_rows(tap, raw, linux, "server on %s, clients on Linux" % name, rows)
                else:
                    run_rows(tap, linux, raw, "server on Linux, clients on %s" % name, rows)
            finally:
                raw.close()
                linux.close()
    tap.done()
