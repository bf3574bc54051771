# SPDX-License-Identifier: MIT
"""Runs what a unit's ExecStart= says as systemd would, in a root folder, without systemd.

    sandbox.py ROOT UNIT [--drop-in FILE]... [--instance NAME] [--bind PATH]... [--notify SOCKET] [--program PROGRAM ARGUMENT...]

Everything is read from the unit and its drop-ins: user, folders, limits, capabilities, what is read-only, private or not to
be executed, families of addresses, system calls. Paths are those in ROOT; --bind puts a path of this machine there, read-only.
--program is another one in its place, with all that follows, to look around from inside. Root is needed: name
spaces, mounts. What takes a control group (DeviceAllow= beyond nodes that are there, MemoryMax=) or another network is not done.
"""
import argparse
import ctypes
import os
import resource
import struct
import sys

import bpf
from unit import Unit

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWUSER = 0x20000, 0x04000000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
ATTR_RDONLY, ATTR_NOEXEC, AT_RECURSIVE, AT_FDCWD = 1, 8, 0x8000, -100
SYS_mount_setattr, SYS_capset, SYS_pivot_root, MNT_DETACH = 442, 126, 155, 2
PR_CAPBSET_DROP, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, AMBIENT_RAISE = 24, 8, 38, 47, 2
CAPS = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW "
        "IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split()
LIMITS = {"LimitNOFILE": resource.RLIMIT_NOFILE, "LimitMEMLOCK": resource.RLIMIT_MEMLOCK, "LimitCORE": resource.RLIMIT_CORE}


def must(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def mount(source, target, kind=None, flags=0, data=None):
    encode = [os.fsencode(word) if word else None for word in (source, target, kind, data)]
    must(LIBC.mount(encode[0], encode[1], encode[2], ctypes.c_ulong(flags), encode[3]), "mount %s" % target)


def set_attributes(path, add=0, take=0, deep=True):
    words = struct.pack("=QQQQ", add, take, 0, 0)
    must(LIBC.syscall(SYS_mount_setattr, AT_FDCWD, os.fsencode(path), AT_RECURSIVE if deep else 0, words, len(words)), "mount_setattr %s" % path)


class Sandbox:
    def __init__(self, root, unit, binds):
        self.root, self.unit, self.binds = os.path.abspath(root), unit, binds
        self.uid, self.gid, self.home = self._user()

    def _user(self):
        with open(self.at("/etc/passwd"), encoding="utf-8") as users:
            for line in users:
                words = line.split(":")
                if words[0] == self.unit.one("User", "root"):
                    return int(words[2]), int(words[3]), words[5]
        raise SystemExit("sandbox: no user %s in %s" % (self.unit.one("User"), self.root))

    def at(self, path):
        return self.root + path

    def optional(self, words):
        """Paths; one with '-' in front may be missing."""
        for word in words:
            path = word.lstrip("-+")
            if os.path.exists(self.at(path)):
                yield path
            elif not word.startswith("-"):
                raise SystemExit("sandbox: no %s in %s" % (path, self.root))

    def make_folders(self):
        made = []
        for kind, top in (("Runtime", "/run"), ("State", "/var/lib"), ("Logs", "/var/log"), ("Cache", "/var/cache")):
            for name in self.unit.list(kind + "Directory"):
                path = os.path.join(top, name)
                os.makedirs(self.at(path), exist_ok=True)
                os.chown(self.at(path), self.uid, self.gid)
                os.chmod(self.at(path), int(self.unit.one(kind + "DirectoryMode", "0755"), 8))
                made.append(path)
        return made

    def devices(self):
        """/dev of PrivateDevices=, or that of the machine; nodes that DeviceAllow= names are left where they are."""
        at = self.at("/dev")
        os.makedirs(at, exist_ok=True)
        if not self.unit.yes("PrivateDevices"):
            mount("/dev", at, flags=MS_BIND | MS_REC)
            return
        mount("dev", at, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=4m")
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            open(os.path.join(at, name), "w", encoding="ascii").close()
            mount("/dev/" + name, os.path.join(at, name), flags=MS_BIND)
        os.mkdir(os.path.join(at, "shm"))
        mount("shm", os.path.join(at, "shm"), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")

    def mounts(self):
        u = self.unit
        must(LIBC.unshare(NEWNS | (NEWUTS if u.yes("ProtectHostname") else 0)), "unshare")
        mount("none", "/", flags=MS_REC | MS_PRIVATE)
        mount(self.root, self.root, flags=MS_BIND | MS_REC)
        for path in self.binds:
            os.makedirs(self.at(path), exist_ok=True)
            mount(path, self.at(path), flags=MS_BIND | MS_REC)
        made = self.make_folders()
        for path in ("/proc", "/sys", "/tmp", "/var/tmp"):
            os.makedirs(self.at(path), exist_ok=True)
        mount("proc", self.at("/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible" if u.one("ProtectProc") == "invisible" else None)
        mount("/sys", self.at("/sys"), flags=MS_BIND | MS_REC)
        self.devices()
        writable = made + list(self.optional(u.list("ReadWritePaths")))
        if u.yes("PrivateTmp"):
            for path in ("/tmp", "/var/tmp"):
                mount("tmp", self.at(path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
                writable.append(path)
        if u.yes("ProtectHome"):
            for path in ("/home", "/root", "/run/user"):
                if os.path.isdir(self.at(path)):
                    mount("none", self.at(path), "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=0")
        executable = list(self.optional(u.list("ExecPaths")))
        for path in writable + executable + ["/proc/sys", "/sys/fs/cgroup"]:
            if os.path.exists(self.at(path)) and not os.path.islink(self.at(path)):
                mount(self.at(path), self.at(path), flags=MS_BIND | MS_REC)
        if u.one("ProtectSystem") == "strict":
            set_attributes(self.root, add=ATTR_RDONLY)
            for path in writable + ["/proc", "/dev"] + ([] if u.yes("ProtectKernelTunables") else ["/sys"]):
                set_attributes(self.at(path), take=ATTR_RDONLY)
            if u.yes("ProtectKernelTunables"):
                set_attributes(self.at("/proc/sys"), add=ATTR_RDONLY)
        if "/" in u.list("NoExecPaths"):
            set_attributes(self.root, add=ATTR_NOEXEC)
            for path in executable:
                set_attributes(os.path.realpath(self.at(path)), take=ATTR_NOEXEC)

    def enter_root(self):
        """The root of the name space, and not only of the process: who is chrooted may make no users."""
        os.chdir(self.root)
        must(LIBC.syscall(SYS_pivot_root, b".", b"."), "pivot_root")
        must(LIBC.umount2(b".", MNT_DETACH), "umount")
        os.chdir("/")

    def enter_users(self):
        """PrivateUsers=: root and the unit's user are what they were, nobody else is anybody, and root is root in here only."""
        if not self.unit.yes("PrivateUsers"):
            return
        me, ready, told = os.getpid(), os.pipe(), os.pipe()
        if os.fork() == 0:
            os.read(ready[0], 1)
            for name, number in (("uid", self.uid), ("gid", self.gid)):
                with open("/proc/%d/%s_map" % (me, name), "w", encoding="ascii") as lines:
                    lines.write("0 0 1\n%d %d 1\n" % (number, number))
            os.write(told[1], b"x")
            os._exit(0)
        must(LIBC.unshare(NEWUSER), "unshare users")
        os.write(ready[1], b"x")
        os.close(told[1])
        if os.read(told[0], 1) != b"x":
            raise SystemExit("sandbox: no map of users")
        os.wait()
        for fd in (*ready, told[0]):
            os.close(fd)

    def become_user(self):
        u = self.unit
        names = [word[4:] for word in u.list("CapabilityBoundingSet")]
        bounded = ("Service", "CapabilityBoundingSet") in u.words
        ambient = [CAPS.index(word[4:]) for word in u.list("AmbientCapabilities")]
        for number, name in enumerate(CAPS):
            if bounded and name not in names:
                must(LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), "CAPBSET_DROP " + name)
        LIBC.prctl(PR_SET_KEEPCAPS, 1 if ambient else 0, 0, 0, 0)
        groups = [self.gid]
        os.setgroups(groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        bits = sum(1 << number for number in ambient)
        low, high = bits & 0xFFFFFFFF, bits >> 32
        if self.uid == 0:
            return
        header, data = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", low, low, low, high, high, high)
        must(LIBC.syscall(SYS_capset, header, data), "capset")
        for number in ambient:
            must(LIBC.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, number, 0, 0), "ambient")

    def close_doors(self, code):
        if self.unit.yes("NoNewPrivileges"):
            must(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "NO_NEW_PRIVS")
        if code:
            bpf.enter(code)

    def limits(self):
        for name, which in LIMITS.items():
            if self.unit.one(name):
                value = resource.RLIM_INFINITY if self.unit.one(name) == "infinity" else int(self.unit.one(name))
                hard = resource.getrlimit(which)[1]  # a root with less than all capabilities may not raise it
                if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
                    value = hard
                resource.setrlimit(which, (value, value))

    def environment(self, notify):
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8", "USER": self.unit.one("User", "root"), "HOME": self.home}
        env.update(word.split("=", 1) for word in self.unit.list("Environment"))
        if notify and self.unit.one("Type") == "notify":
            env["NOTIFY_SOCKET"] = notify
            if self.unit.seconds("WatchdogSec"):
                env.update(WATCHDOG_USEC=str(int(self.unit.seconds("WatchdogSec") * 1e6)), WATCHDOG_PID=str(os.getpid()))
        return env

    def run(self, command, notify):
        allowed, why = self.unit.calls()
        if why:
            raise SystemExit("sandbox: " + why)
        code = bpf.program(self.unit, allowed) if self.unit.all("SystemCallFilter") else None
        program, name, arguments = command
        env = self.environment(notify)
        self.limits()
        self.mounts()
        self.enter_root()
        os.chdir(self.unit.one("WorkingDirectory", "/"))
        os.umask(int(self.unit.one("UMask", "0022"), 8))
        self.enter_users()
        self.become_user()
        self.close_doors(code)
        os.execve(program, [name] + arguments, env)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("unit")
    parser.add_argument("--drop-in", action="append", default=[])
    parser.add_argument("--instance", default="")
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--notify")
    parser.add_argument("--program", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    unit = Unit(asked.unit, asked.drop_in, asked.instance)
    command = (asked.program[0], asked.program[0], asked.program[1:]) if asked.program else unit.command()
    Sandbox(asked.root, unit, asked.bind).run(command, asked.notify)


if __name__ == "__main__":
    main()
