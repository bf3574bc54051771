# SPDX-License-Identifier: MIT
"""A root folder with nothing in it but Debian 12's minbase: what tools/deb-test and tools/container-root stand on. It is made by
mmdebstrap once, and kept as a tarball in build/deb/cache/.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/compat"))
from tap import Tap, skip_all  # noqa: E402

DEBS = os.path.join(ROOT, "build/deb")
# What apt, dpkg and the programs of the root itself write whatever is installed. (A purge of Debian's redis-server, which visits,
# takes the folder of its redis-tools, too.)
NOT_OURS = re.compile(r"/(proc|sys|dev|tmp|run|root)(/|$)|/var/(lib/(apt|dpkg|systemd/(deb-systemd|random|timers|catalog)|logrotate|alternatives)|cache|log/(apt|dpkg|alternatives|journal)|tmp)|"
                      r"/etc/(ld\.so\.cache|passwd-?|group-?|shadow-?|gshadow-?|alternatives(/README)?|\.pwd\.lock|subuid-?|subgid-?)$|/etc/systemd|/etc/redis$|__pycache__|/demikv-debs")


class Quiet(Tap):
    """Notes where something failed only."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


def call(words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **more)
    return done.returncode, done.stdout


class Fresh:
    """A root of Debian."""

    def __init__(self, mirror):
        self.top = tempfile.mkdtemp(prefix="demikv-deb-", dir="/var/tmp")
        self.root = os.path.join(self.top, "root")
        os.mkdir(self.root)
        cache = os.path.join(DEBS, "cache", "bookworm-minbase.tar")
        if not os.path.exists(cache):
            os.makedirs(os.path.dirname(cache), exist_ok=True)
            status, said = call(["mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar", "--include=ca-certificates", "bookworm", cache + ".part", mirror])
            if status:
                skip_all("mmdebstrap: " + (said.strip().splitlines() or ["nothing said"])[-1])
            os.rename(cache + ".part", cache)
        self.must(["tar", "-C", self.root, "-xf", cache])
        shutil.copy("/etc/resolv.conf", self.at("/etc/resolv.conf"))
        # invoke-rc.d and deb-systemd-invoke ask it: nothing starts by itself here.
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)

    def must(self, words):
        status, said = call(words)
        if status:
            raise SystemExit("deb-test: %s: %s" % (" ".join(words), said))
        return said

    def at(self, path):
        return self.root + path

    def read(self, path):
        with open(self.at(path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def write(self, path, text, mode=None):
        with open(self.at(path), "w", encoding="utf-8") as file:
            file.write(text)
        if mode:
            os.chmod(self.at(path), mode)

    def run(self, *words):
        """In the root, with its own mounts, which go with it."""
        script = ("mount --make-rprivate / && mount -t proc proc '%s/proc' && mount --rbind /dev '%s/dev' && exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
                  "HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy=$http_proxy} chroot '%s' \"$@\"") % ((self.root,) * 3)
        return call(["unshare", "--mount", "sh", "-c", script, "sh"] + list(words))

    def apt(self, *words):
        return self.run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends", *words)

    def files(self):
        """What is there: path -> kind, mode, owner; of links where they lead."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in folders + names:
                path = os.path.join(folder, name)
                shown = path[len(self.root):]
                if NOT_OURS.match(shown):
                    continue
                s = os.lstat(path)
                found[shown] = (oct(s.st_mode), s.st_uid, s.st_gid, os.readlink(path) if os.path.islink(path) else "")
        return found

    def end(self):
        shutil.rmtree(self.top, ignore_errors=True)


def packages():
    """Those of make deb; the end where there can be no root for them."""
    debs = [path for path in sorted(glob.glob(os.path.join(DEBS, "*.deb"))) if "-dbgsym_" not in path]
    if os.geteuid() != 0:
        skip_all("needs root")
    if not debs:
        skip_all("no packages in build/deb: make deb")
    if not shutil.which("mmdebstrap"):
        skip_all("no mmdebstrap (Debian package mmdebstrap)")
    return debs
