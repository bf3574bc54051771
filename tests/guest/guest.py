# SPDX-License-Identifier: MIT
"""A machine of our own: Debian's kernel under QEMU, with the files of this one.

    with Guest() as guest:
        status, output = guest.run("rdma link add rxe0 type rxe netdev v0")
        job = guest.start("ibv_rc_pingpong -d rxe0")        # goes on beside others
        status, output = job.wait()

The guest's root is the host's, read only, so that every program that was built or installed here is there by the same path; guest.share
is a folder that both may write, by the same path too. What is run there is a script of sh, as root. It needs no root here, no network
and no KVM: emulated, it boots in some 5 s, and computes some ten times slower than the host.

Whatever becomes of this process, QEMU ends with it.
"""
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel  # noqa: E402
from programs import need  # noqa: E402
from servers import die_with_parent  # noqa: E402
from tap import skip_all  # noqa: E402

BOOT = 120.0      # seconds that a boot may take: 5 on an idle machine
PATIENCE = 120.0  # and a job, where nothing else is said

# A line of the console is a job: a name. Its script is there, its output goes beside it, its end is told.
SHELL = """export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR="{share}" LC_ALL=C.UTF-8
cd "{share}"
ip link set lo up
echo "@up"
while read -r job; do
    {{ /bin/sh "{share}/$job.sh" >"{share}/$job.out" 2>&1 </dev/null; echo "@end $job $?"; }} &
done
"""


class Job:
    def __init__(self, guest, name):
        self.guest, self.name, self.status, self.ended = guest, name, None, threading.Event()

    def output(self):
        try:
            with open(self.path(), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def path(self):
        """Of its output, in the guest as here."""
        return os.path.join(self.guest.share, self.name + ".out")

    def wait(self, timeout=PATIENCE):
        """Exit status (None: it has not ended, or the guest has) and output."""
        if not self.ended.wait(timeout):
            return None, self.output()
        return self.status, self.output()


class Guest:
    def __init__(self, memory=768, processors=2, devices=(), boot=""):
        """devices: more words for QEMU; boot: for the kernel's command line."""
        self.memory, self.processors, self.devices, self.boot = memory, processors, list(devices), boot
        self.count, self.jobs, self.console = 0, {}, []
        self.is_up, self.lock = queue.Queue(), threading.Lock()

    def __enter__(self):
        qemu = need("qemu-system-x86_64")
        try:
            folder = kernel.get()
        except kernel.Missing as why:
            skip_all("no kernel for a guest (tools/install-deps --test fetches it): %s" % why)
        self.share = tempfile.mkdtemp(prefix="run-", dir=kernel.HOME)
        with open(os.path.join(self.share, "init"), "w") as f:
            f.write(SHELL.format(share=self.share))
        fast = os.access("/dev/kvm", os.R_OK | os.W_OK)
        # Emulated, the time-stamp counters of two processors run apart and time jumps; HPET does not.
        # And where QEMU waits for a processor, the kernel's look whether its timer ticks would end in a panic.
        clock = "" if fast else " tsc=unstable clocksource=hpet no_timer_check"
        hide = "" if ROOT.startswith("/tmp/") else " hide=1"
        self.process = subprocess.Popen(
            [qemu, "-machine", "q35", "-accel", "kvm" if fast else "tcg,thread=multi", "-cpu", "max", "-smp", str(self.processors),
             "-m", str(self.memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-net", "none",
             "-kernel", os.path.join(folder, "vmlinux"), "-initrd", os.path.join(folder, "initrd"), "-append",
             "console=ttyS0 quiet panic=-1 mitigations=off" + clock + hide + " " + self.boot + " share=" + self.share,
             "-virtfs", "local,path=/,mount_tag=host,readonly=on,security_model=none,multidevs=remap",
             "-virtfs", "local,path=%s,mount_tag=share,security_model=none,multidevs=remap" % self.share] + self.devices,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.is_up.get(timeout=BOOT)
            missing = [line for line in self.console if line.startswith("@no ")]
        except queue.Empty:
            missing = ["it did not boot in %d s" % BOOT]
        if missing or self.process.poll() is not None:
            self.__exit__()
            raise RuntimeError("the guest: %s\n%s" % (missing, "\n".join(self.console[-30:])))
        return self

    def __exit__(self, *why):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.share, ignore_errors=True)

    def cut_power(self):
        """It stops where it stands."""
        self.process.kill()
        self.process.wait()

    def listen(self):
        for line in self.process.stdout:
            words = line.decode("utf-8", "replace").strip()
            self.console = self.console[-500:] + [words]
            if words == "@up":
                self.is_up.put(True)
            elif words.startswith("@end "):
                _, name, status = words.split()
                job = self.jobs.get(name)
                if job:
                    job.status = int(status)
                    job.ended.set()
        for job in self.jobs.values():
            job.ended.set()
        self.is_up.put(False)

    def start(self, script):
        with self.lock:
            self.count += 1
            job = self.jobs[str(self.count)] = Job(self, str(self.count))
            with open(os.path.join(self.share, job.name + ".sh"), "w") as f:
                f.write(script + "\n")
            self.process.stdin.write((job.name + "\n").encode())
            self.process.stdin.flush()
        return job

    def run(self, script, timeout=PATIENCE):
        return self.start(script).wait(timeout)

    def must(self, script, timeout=PATIENCE):
        status, output = self.run(script, timeout)
        if status:
            raise RuntimeError("%s: %s\n%s" % (script, status, output))
        return output

    def wait_for(self, script, timeout=PATIENCE):
        """Until the script ends with 0."""
        end = time.monotonic() + timeout
        while self.run(script, timeout)[0] != 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True
