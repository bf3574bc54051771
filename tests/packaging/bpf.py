# SPDX-License-Identifier: MIT
"""The filters of system calls that systemd makes of a unit, as one program for seccomp(2): SystemCallFilter= and what else of
a unit becomes rules about arguments. Without libseccomp: a list of comparisons is enough. x86-64, as service_filter.py says.
"""
import ctypes
import errno
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import service_filter as sf  # noqa: E402

JUMP_IF_SET, AND = 0x45, 0x54
FAIL = 0x00050000
NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, cgroup ... network
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_XDP": 44}
PROT_WRITE, PROT_EXEC, SHM_EXEC, SUID_SGID = 2, 4, 0o100000, 0o6000


def load(argument):
    return (sf.LOAD, 0, 0, 16 + 8 * argument)


def refuse(number=errno.EPERM):
    return (sf.RETURN, 0, 0, FAIL | number)


ALLOW = (sf.RETURN, 0, 0, sf.ALLOW)


def unless_one_of(argument, values, number=errno.EPERM):
    """Refused unless the argument is one of a few."""
    code = [load(argument)]
    for value in values:
        code += [(sf.JUMP_IF_EQUAL, 0, 1, value), ALLOW]
    return code + [refuse(number)]


def if_any(argument, bits, number=errno.EPERM):
    return [load(argument), (JUMP_IF_SET, 0, 1, bits), refuse(number), ALLOW]


def if_all(argument, bits, number=errno.EPERM):
    return [load(argument), (AND, 0, 0, bits), (sf.JUMP_IF_EQUAL, 0, 1, bits), refuse(number), ALLOW]


def rules(unit):
    """Name of a call -> what decides about it."""
    found = {}
    families = unit.list("RestrictAddressFamilies")
    if families:
        found["socket"] = unless_one_of(0, [FAMILIES[name] for name in families], errno.EAFNOSUPPORT)
    if unit.yes("MemoryDenyWriteExecute"):
        found.update(mmap=if_all(2, PROT_WRITE | PROT_EXEC), mprotect=if_any(2, PROT_EXEC), pkey_mprotect=if_any(2, PROT_EXEC), shmat=if_any(2, SHM_EXEC))
    if unit.yes("RestrictNamespaces"):
        found.update(unshare=if_any(0, NAMESPACES), clone=if_any(0, NAMESPACES), clone3=[refuse(errno.ENOSYS)], setns=[refuse()])
    if unit.yes("LockPersonality"):
        found["personality"] = unless_one_of(0, (0, 0xFFFFFFFF))
    if unit.yes("RestrictRealtime"):
        found["sched_setscheduler"] = unless_one_of(1, (0, 3, 5))
    if unit.yes("RestrictSUIDSGID"):
        found.update(chmod=if_any(1, SUID_SGID), fchmod=if_any(1, SUID_SGID), fchmodat=if_any(2, SUID_SGID), mkdir=if_any(1, SUID_SGID), mkdirat=if_any(2, SUID_SGID))
    return found


def program(unit, allowed):
    known, special = sf.numbers(), rules(unit)
    other = refuse(getattr(errno, unit.one("SystemCallErrorNumber"))) if unit.one("SystemCallErrorNumber") else (sf.RETURN, 0, 0, sf.KILL_PROCESS)
    code = [(sf.LOAD, 0, 0, sf.ARCH), (sf.JUMP_IF_EQUAL, 1, 0, sf.AUDIT_ARCH_X86_64), (sf.RETURN, 0, 0, sf.KILL_PROCESS), (sf.LOAD, 0, 0, sf.NR)]
    for name in sorted(allowed | set(special)):
        if name in known:
            block = special.get(name, [ALLOW]) if name in allowed else [other]
            code += [(sf.JUMP_IF_EQUAL, 0, len(block), known[name])] + block
    return code + [other]


def enter(code):
    """From here on; the process has to have no_new_privs."""
    packed = b"".join(struct.pack("=HBBI", *step) for step in code)
    held = ctypes.create_string_buffer(packed)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(packed) // 8, ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(sf.PR_SET_SECCOMP, sf.MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of %d steps" % len(code))
