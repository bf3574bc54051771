#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""One interface, one address, two stacks: the kernel keeps its ports and its pings, ours are taken out of its hands. Nothing but the
interface's name is configured."""
import socket

from rig import DEVICES, PATIENCE, RAW4, Device, check_bulk, check_cli, check_many, check_short, guarded, need, run, run_program

KERNEL_PORT = 9999
DEVICES["packet, shared"] = Device("packet, shared", "packet", ["interface: r0"], kernel_too=True)
DEVICES["xdp, shared"] = Device("xdp, shared", "xdp", ["interface: r0"], plugin="xdp", kernel_too=True)


def check_ping(rig, host):
    status, output = run_program([need("ping"), "-c", "5", "-i", "0.1", "-W", "5", host])
    if status == 0 and " 5 received" in output and "DUP" not in output:
        return []
    return ["status %s" % status] + output.splitlines()[-4:]


def check_kernel_port(rig, listener):
    """A socket of the kernel's beside ours."""
    for i in range(50):
        with socket.create_connection((RAW4, KERNEL_PORT), timeout=PATIENCE) as stream:
            served, _ = listener.accept()
            with served:
                stream.sendall(b"%d" % i)
                if served.recv(100) != b"%d" % i:
                    return ["the kernel's connection %d lost its bytes" % i]
                served.sendall(b"!")
                if stream.recv(100) != b"!":
                    return ["no answer on the kernel's connection %d" % i]
    return []


def checks(tap, rig, load):
    on = rig.device.name + ": "
    listener = rig.socket_in_raw()
    listener.bind((RAW4, KERNEL_PORT))
    listener.listen(16)
    server = rig.server()
    guarded(tap, on + "redis-cli", server, check_cli, rig)
    guarded(tap, on + "500 short connections, none reset by the kernel", server, check_short, rig, 500)
    guarded(tap, on + "the kernel's own port", server, check_kernel_port, rig, listener)
    guarded(tap, on + "pings are answered once", server, check_ping, rig, RAW4)
    guarded(tap, on + "bulk both ways", server, check_bulk, rig, RAW4, 8)
    guarded(tap, on + "200 connections at once", server, check_many, rig, 200)
    guarded(tap, on + "the kernel's own port, still", server, check_kernel_port, rig, listener)
    status = server.stop()
    tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())
    try:
        socket.create_connection((RAW4, 6379), timeout=PATIENCE).close()
        notes = ["somebody took a connection"]
    except ConnectionRefusedError:
        notes = []
    except OSError as error:
        notes = [str(error)]
    tap.ok(not notes, on + "with the server its claim on the port has gone", notes)


if __name__ == "__main__":
    run("packet, shared", checks=(checks,))
