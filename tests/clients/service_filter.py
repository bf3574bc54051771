# SPDX-License-Identifier: MIT
"""Runs a program under the filter of system calls that an ordinary service gets.

    python3 service_filter.py PROGRAM ARGUMENTS...

The calls allowed are those of service_calls.txt; whoever makes another one is killed (SIGSYS), as systemd does where a
unit states no SystemCallErrorNumber=. x86-64 only: numbers and the kernel's word for the machine differ elsewhere.
"""
import ctypes
import os
import platform
import re
import struct
import sys

CALLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "service_calls.txt")
NUMBERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")

AUDIT_ARCH_X86_64 = 0xC000003E
NR, ARCH = 0, 4  # offsets in struct seccomp_data
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def allowed_names():
    with open(CALLS, encoding="ascii") as lines:
        return {name for line in lines if not line.startswith("#") for name in line.split()}


def numbers():
    """Name -> number of every call this machine's headers know; empty where there are no such headers."""
    for path in NUMBERS:
        if os.path.exists(path):
            with open(path, encoding="ascii") as header:
                return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read())}
    return {}


def missing():
    """Why there can be no filter here; None: there can."""
    if platform.machine() != "x86_64":
        return "not x86-64"
    return None if numbers() else "no asm/unistd_64.h (Debian package linux-libc-dev)"


def program():
    """The filter as the kernel reads it: machine, then number, one comparison a call."""
    known = numbers()
    wanted = sorted(known[name] for name in allowed_names() if name in known)
    code = [(LOAD, 0, 0, ARCH), (JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL_PROCESS), (LOAD, 0, 0, NR)]
    for number in wanted:
        code += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    return code + [(RETURN, 0, 0, KILL_PROCESS)]


def enter():
    """From here on this process, and whatever it executes, lives under the filter."""
    code = b"".join(struct.pack("=HBBI", *step) for step in program())
    filters = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter")


if __name__ == "__main__":
    enter()
    os.execv(sys.argv[1], sys.argv[1:])
