#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The kernel that guests of QEMU boot: Debian's own, with modules that a container's host does not lend.

    kernel.py           makes what is missing in build/guest, says what it did or why it cannot

`tools/install-deps --test` calls it, so that tests need no network. Nothing is installed: the packages are fetched by apt, unpacked
below build/guest and thrown away again. Some 40 s of two processors the first time, nothing after that.

    vmlinux      out of the compressed image: its own decompressor takes QEMU's emulation 4 to 8 s at each boot
    initrd       busybox, the modules below in the order of their dependencies, and an init that goes over to the host's files
    siw.ko       iWARP in software. Debian's kernel has RoCE's (rdma_rxe) as a module and not this one: it is built out of Debian's
                 own source of the same kernel. Where that cannot be done the rest stands without it, and no-siw says why.
"""
import glob
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.path.join(ROOT, "build", "guest")
EDITION = "2"  # one more whenever what is made here changes
MODULES = ("crc32c_generic", "crc32_generic", "virtio_pci", "9pnet_virtio", "9p", "veth", "sch_netem", "rdma_rxe", "rdma_ucm", "ib_uverbs",
           "vfio_iommu_type1", "vfio_pci")
SIW = "drivers/infiniband/sw/siw"

INIT = """#!/bin/busybox sh
# What the host says by the kernel's command line: share=FOLDER, hide=1 (nothing of /tmp is wanted).
/bin/busybox mkdir -p /proc /sys /dev /host
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
for m in $(cat /modules/order); do insmod /modules/$m.ko || echo "@no $m"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host || echo "@no host"
share=$(sed 's/.*share=\\([^ ]*\\).*/\\1/' /proc/cmdline)
grep -q hide=1 /proc/cmdline && mount -t tmpfs none /host/tmp
for f in proc sys dev; do mount --move /$f /host/$f; done
mkdir -p /host/dev/shm
mount -t tmpfs none /host/dev/shm
mount -t tmpfs none /host/run
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share "/host$share" || echo "@no share"
exec chroot /host /bin/sh "$share/init"
"""


class Missing(Exception):
    """What stands in the way of a guest, and the way out of it."""


def do(words, where, what):
    done = subprocess.run(words, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          errors="replace")
    if done.returncode:
        raise Missing("%s: %s" % (what, (done.stdout.strip().splitlines() or ["?"])[-1]))
    return done.stdout


def release():
    """Of the kernel that linux-image-amd64 stands for today: 6.1.0-56-amd64."""
    if not shutil.which("apt-get"):
        raise Missing("not a Debian system: no kernel for a guest")
    found = re.search(r"Depends: linux-image-(\S+)", do(["apt-cache", "depends", "linux-image-amd64"], "/", "apt-cache"))
    if not found:
        raise Missing("no package linux-image-amd64 in this archive: apt-get update")
    return found.group(1)


def unpack(packages, where):
    """Fetches packages and unpacks them below where."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        words = ["apt-get", "-o", "APT::Sandbox::User=root", "download"] + packages
        try:
            do(words, folder, "apt-get download")
        except Missing:
            if os.geteuid():
                raise
            do(["apt-get", "update"], folder, "apt-get update")  # a security update has replaced what the lists name
            do(words, folder, "apt-get download")
        for deb in glob.glob(os.path.join(folder, "*.deb")):
            do(["dpkg-deb", "-x", deb, where], folder, "dpkg-deb")


def take_vmlinux(image, to):
    with open(image, "rb") as f:
        packed = f.read()
    start = packed.find(b"\xfd7zXZ")
    if start < 0:
        raise Missing("%s is not packed by xz" % image)
    # Its length is in the image's header only; what follows the stream makes xz fail behind it.
    done = subprocess.run(["xz", "-dc", "--single-stream"], input=packed[start:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if not done.stdout.startswith(b"\x7fELF"):
        raise Missing("no kernel in %s" % image)
    with open(to, "wb") as f:
        f.write(done.stdout)


def build_siw(kernel, where):
    """siw.ko, out of the source of the same version."""
    flavour = kernel.rsplit("-", 1)[1]
    unpack(["linux-headers-" + kernel, "linux-headers-%s-common" % kernel[:-len(flavour) - 1], "linux-kbuild-6.1"], where)
    headers = os.path.join(where, "usr/src/linux-headers-" + kernel)
    makefile = os.path.join(headers, "Makefile")
    with open(makefile) as f:
        text = f.read()
    with open(makefile, "w") as f:  # it names its other half by where it would be installed
        f.write(text.replace(" /usr/src/", " %s/usr/src/" % where))
    unpack(["linux-source-6.1"], where)
    do(["tar", "xf", "usr/src/linux-source-6.1.tar.xz", "linux-source-6.1/" + SIW], where, "tar")
    source = os.path.join(where, "linux-source-6.1", SIW)
    env = ["CONFIG_RDMA_SIW=m", "CONFIG_DEBUG_INFO_BTF_MODULES="]
    do(["make", "-j2", "-C", headers, "M=" + source, *env, "KCFLAGS=-g0", "modules"], where, "siw cannot be built")
    return os.path.join(source, "siw.ko")


def depends(module):
    with open(module, "rb") as f:
        found = re.search(rb"\0depends=([^\0]*)\0", f.read())
    return [name.decode() for name in found.group(1).split(b",") if name] if found else []


def in_order(wanted, files):
    """The modules and what they need, each behind what it needs itself. What is not there is built in."""
    order = []

    def add(name):
        path = files.get(name.replace("-", "_"))
        if path and path not in order:
            for other in depends(path):
                add(other)
            order.append(path)

    for name in wanted:
        add(name)
    return order


def cpio(entries):
    """An archive as a kernel wants its first files: (name, mode, bytes)."""
    out = []
    for number, (name, mode, data) in enumerate(list(entries) + [("TRAILER!!!", 0, b"")]):
        head = "070701" + "".join("%08x" % n for n in (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        out.append(head.encode() + name.encode() + b"\0")
        out.append(b"\0" * (-len(out[-1]) % 4) + data + b"\0" * (-len(data) % 4))
    return b"".join(out)


def initrd(order, busybox):
    def read(path):
        with open(path, "rb") as f:
            return f.read()

    names = [os.path.basename(path)[:-len(".ko")] for path in order]
    yield "bin", 0o40755, b""
    yield "modules", 0o40755, b""
    yield "bin/busybox", 0o100755, read(busybox)
    yield "init", 0o100755, INIT.encode()
    yield "modules/order", 0o100644, "\n".join(names).encode()
    for name, path in zip(names, order):
        yield "modules/%s.ko" % name, 0o100644, read(path)


def make(into):
    kernel = release()
    with tempfile.TemporaryDirectory(dir=HOME) as work:
        unpack(["linux-image-" + kernel, "busybox-static"], work)
        take_vmlinux(os.path.join(work, "boot/vmlinuz-" + kernel), os.path.join(into, "vmlinux"))
        top = os.path.join(work, "lib/modules", kernel)
        files = {os.path.basename(path)[:-3].replace("-", "_"): path for path in glob.glob(top + "/**/*.ko", recursive=True)}
        wanted = list(MODULES)
        try:
            files["siw"] = build_siw(kernel, work)
            wanted.append("siw")
        except Missing as why:
            with open(os.path.join(into, "no-siw"), "w") as f:
                f.write(str(why))
        with gzip.open(os.path.join(into, "initrd"), "wb", compresslevel=1) as f:
            f.write(cpio(initrd(in_order(wanted, files), os.path.join(work, "bin/busybox"))))
    return kernel


def ready():
    """The folder with vmlinux and initrd, or None."""
    folder = os.path.join(HOME, EDITION)
    return folder if os.path.exists(os.path.join(folder, "initrd")) else None


def get():
    """The same, made now where it is missing. Missing: why it cannot be."""
    if not ready():
        os.makedirs(HOME, exist_ok=True)
        into = tempfile.mkdtemp(dir=HOME)
        try:
            os.chmod(into, 0o755)
            make(into)
            for old in glob.glob(os.path.join(HOME, "[0-9]*")):
                shutil.rmtree(old)
            os.rename(into, os.path.join(HOME, EDITION))
        except OSError:
            if not ready():  # else somebody else was faster
                raise
        finally:
            shutil.rmtree(into, ignore_errors=True)
    return ready()


def no_siw():
    """Why there is no iWARP, or None."""
    try:
        with open(os.path.join(ready(), "no-siw")) as f:
            return f.read()
    except OSError:
        return None


if __name__ == "__main__":
    try:
        print("guest: kernel in " + os.path.relpath(get(), ROOT) + (", without siw: " + no_siw() if no_siw() else ""))
    except Missing as why:
        sys.exit("guest: %s" % why)
