#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""build/libdemi-packetdrill.so, loaded as packetdrill loads it: the order of its table, a handshake through bare IP packets, a call
that blocks in state S while another thread moves the wire, virtual time; pointers that are none; flags."""
import ctypes
import errno
import os
import socket
import struct
import sys
import threading
import time

NAMES = ("free socket bind listen accept connect read readv recv recvfrom recvmsg write writev send sendto sendmsg fcntl ioctl close "
         "shutdown getsockopt setsockopt poll netdev_send netdev_receive usleep gettimeofday epoll_create epoll_ctl epoll_wait pipe "
         "splice").split()
LOCAL, REMOTE = socket.inet_aton("192.168.0.1"), socket.inet_aton("192.0.2.1")
SYN, PSH, ACK = 2, 8, 16
number = 0


def check(good, claim):
    global number
    number += 1
    print("%sok %d - %s" % ("" if good else "not ", number, claim))
    sys.stdout.flush()


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def segment(seq, ack, flags, data=b""):
    def tcp(total):
        return struct.pack("!HHIIBBHHH", 40000, 8080, seq, ack, 0x50, flags, 65535, total, 0) + data
    pseudo = REMOTE + LOCAL + struct.pack("!BBH", 0, 6, 20 + len(data))
    body = tcp(checksum(pseudo + tcp(0)))

    def ip(total):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 6, total) + REMOTE + LOCAL
    return ip(checksum(ip(0))) + body


class Stack:
    def __init__(self, path, flags=None):
        library = ctypes.CDLL(path)
        self.table = (ctypes.c_void_p * (1 + len(NAMES)))()
        library.packetdrill_interface_init(flags, self.table)

    def call(self, name, *args):
        fn = ctypes.CFUNCTYPE(ctypes.c_long, use_errno=True)(self.table[1 + NAMES.index(name)])
        got = fn(ctypes.c_void_p(self.table[0]), *args)
        return ctypes.c_int(got).value

    def receive(self):
        packet, size, at = ctypes.create_string_buffer(65536), ctypes.c_size_t(65536), ctypes.c_longlong()
        self.call("netdev_receive", packet, ctypes.byref(size), ctypes.byref(at))
        return packet.raw[:size.value], at.value

    def send(self, packet):
        return self.call("netdev_send", packet, ctypes.c_size_t(len(packet)))


def tcp_fields(packet):
    seq, ack, _, flags = struct.unpack("!IIBB", packet[24:34])
    return seq, ack, flags


def is_fault(stack, name, *args):
    return stack.call(name, *args) == -1 and ctypes.get_errno() == errno.EFAULT


def bad_pointers(stack, listener, fd):
    """Calls with a pointer that leads nowhere, or to what may not be written; the names of those that did not say EFAULT."""
    nowhere, size, n = ctypes.c_void_p(0x10), ctypes.c_size_t(100), ctypes.c_uint(16)
    constant = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p)  # code: it can be read
    end = ctypes.c_void_p(2**64 - 8)
    good = ctypes.create_string_buffer(100)
    vector = (ctypes.c_size_t * 4)(ctypes.addressof(good), 100, 0x10, 100)
    message = (ctypes.c_size_t * 7)(0, 0, 0x10, 2, 0, 0, 0)
    level, name = socket.IPPROTO_TCP, socket.TCP_NODELAY
    calls = [("bind", fd, nowhere, 16), ("connect", fd, nowhere, 16), ("accept", listener, nowhere, ctypes.byref(n)),
             ("accept", listener, good, nowhere), ("read", fd, nowhere, size), ("read", fd, constant, size), ("recv", fd, end, size, 0),
             ("recvfrom", fd, good, size, 0, nowhere, ctypes.byref(n)), ("write", fd, nowhere, size), ("send", fd, end, size, 0),
             ("sendto", fd, good, size, 0, nowhere, 16), ("readv", fd, nowhere, 2), ("readv", fd, vector, 2), ("writev", fd, vector, 2),
             ("sendmsg", fd, nowhere, 0), ("sendmsg", fd, message, 0), ("recvmsg", fd, nowhere, 0), ("recvmsg", fd, message, 0),
             ("ioctl", fd, 0x541b, nowhere), ("getsockopt", fd, level, name, nowhere, ctypes.byref(n)),
             ("getsockopt", fd, level, name, good, nowhere), ("setsockopt", fd, level, name, nowhere, 4), ("poll", nowhere, 1, 0),
             ("netdev_send", nowhere, size), ("gettimeofday", nowhere, None)]
    return [call[0] for call in calls if not is_fault(stack, *call)]


def mss_of_syn_ack(library, flags):
    stack = Stack(library, flags)
    fd = stack.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 8080) + b"\0" * 12
    stack.call("bind", fd, address, 16)
    stack.call("listen", fd, 5)
    stack.send(segment(0, 0, SYN))
    mss = struct.unpack("!H", stack.receive()[0][42:44])[0]
    stack.call("close", fd)
    stack.call("free")
    return mss


def main():
    library = os.path.join(os.environ.get("BUILD", "build"), "libdemi-packetdrill.so")
    stack = Stack(library)
    print("1..11")
    check(ctypes.sizeof(stack.table) == 264 and all(stack.table), "the table is full, and of packetdrill's size")
    fd = stack.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 8080) + b"\0" * 12
    check(fd >= 0 and stack.call("bind", fd, address, 16) == 0 and stack.call("listen", fd, 5) == 0, "a socket listens")
    check(stack.call("bind", 999, address, 16) == -1 and ctypes.get_errno() == 9, "a descriptor that is none is EBADF")

    accepted, peer, size = [], ctypes.create_string_buffer(16), ctypes.c_uint(16)
    waiting = threading.Thread(target=lambda: accepted.append(stack.call("accept", fd, peer, ctypes.byref(size))))
    waiting.start()
    for _ in range(2000):  # until the kernel says it sleeps
        with open("/proc/self/task/%d/stat" % waiting.native_id, encoding="ascii") as stat:
            state = stat.read().rsplit(")", 1)[1].split()[0]
        if state == "S":
            break
        time.sleep(0.005)
    check(state == "S" and not accepted, "accept() sleeps while there is nobody")

    stack.send(segment(0, 0, SYN))
    answer, at = stack.receive()
    seq, ack, flags = tcp_fields(answer)
    check(answer[0] == 0x45 and ack == 1 and flags == SYN | ACK, "a SYN is answered by SYN, ACK, in a bare IP packet")
    again, later = stack.receive()
    check(tcp_fields(again) == (seq, ack, flags) and 990000 < later - at < 1010000, "and a virtual second later again, at once")
    stack.send(segment(1, seq + 1, ACK))
    waiting.join(20)
    check(len(accepted) == 1 and accepted[0] >= 0 and struct.unpack("!H", peer.raw[2:4])[0] == 40000, "accept() returns, with the peer's port")
    stack.send(segment(1, seq + 1, ACK | PSH, b"hello"))
    data = ctypes.create_string_buffer(100)
    got = stack.call("read", accepted[0], data, ctypes.c_size_t(100))
    check(got == 5 and data.raw[:5] == b"hello", "what comes is read")
    faults = bad_pointers(stack, fd, accepted[0])
    check(not faults, "a pointer that is none is EFAULT" + "".join(", but not in %s()" % name for name in faults))
    stack.call("free")
    check(True, "free() ends it")
    check(mss_of_syn_ack(library, b"cc=newreno,mtu=1520") == 1480, "mtu= is what segments go by")


main()
