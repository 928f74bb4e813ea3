#!/usr/bin/python3
"""What leaving and coming back cost, against a cold boot to the prompt, in one run and in turns: a Debian
VM in which programs hold 150 MiB, and one with 1 GiB. From `dxvm` typed to the shell that was left
answering, to a new shell, the way out with and without a suspend behind it, the save, and what lies on
disk against what the guest uses (that of the tiny guest, too). Medians; judges nothing.

Usage: suspend.py [ROUNDS] [KIND:MIB ...]     the default: 5 debian:150 debian:1024 tiny:100
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

import pexpect

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from bench import row  # noqa: E402
from projects import BUILD, Project, stop_quietly, wait_until  # noqa: E402

LEAVES = 3  # a round
PROMPT = "[$#] "
# Memory of the guest's in which a file can lie.
HELD = {"debian": "/dev/shm/held", "tiny": "/tmp/held"}
# What cannot be told from what a program computed: no page is zero, or like its neighbours.
FILL = """
! command -v sudo >/dev/null || sudo mount -o remount,size=90% /dev/shm
head -c 2097152 /dev/urandom >{held}.part
for i in $(seq {times}); do cat {held}.part; done >{held}
rm {held}.part
"""


class Bench:
    def __init__(self, project, held, mib):
        self.project = project
        self.fill = FILL.format(held=held, times=mib // 2)
        self.taken = collections.defaultdict(list)

    def guest(self, script):
        done = self.project.run("-q", "exec", "sh", "-c", script, timeout=600)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode()

    def used(self):
        """MemTotal - MemFree, in MiB."""
        kib = dict(re.findall(r"(\w+): +(\d+)", self.guest("cat /proc/meminfo")))
        return (int(kib["MemTotal"]) - int(kib["MemFree"])) / 1024

    def idle(self, value):
        (self.project.data / "idle").write_text(f"{value}\n")

    def log_seconds(self, before):
        log = (self.project.data / "log").read_text(errors="replace")
        return float(re.findall(before + r" after ([\d.]+) s", log)[-1])

    # -- one way in or out, and how long it took --

    def enter(self, name, *words):
        """A shell's prompt."""
        started = time.perf_counter()
        child = self.project.terminal("-q", *words, timeout=300)
        child.expect(PROMPT)
        self.taken[name].append(time.perf_counter() - started)
        return child

    def reattach(self, name):
        """The shell that was left: what it showed comes back, then it answers."""
        started = time.perf_counter()
        child = self.project.terminal("-q", timeout=300)
        child.expect(r".")
        self.taken[f"{name}, first byte"].append(time.perf_counter() - started)
        child.sendline("echo $((40 + 2))there")
        child.expect_exact("42there")
        self.taken[name].append(time.perf_counter() - started)
        return child

    def leave(self, name, child):
        """By `exit`, until the client is gone."""
        started = time.perf_counter()
        child.sendline("exit")
        child.expect(pexpect.EOF)
        child.wait()
        self.taken[name].append(time.perf_counter() - started)

    def leave_some(self, name):
        """After a resume: a new shell, and what else it takes for a good median."""
        self.leave(name, self.enter("new", "shell", "--new"))
        for _ in range(LEAVES - 1):
            self.leave(name, self.enter("another", "shell", "--new"))

    def detach(self, child):
        child.send("\r~.")
        child.expect(pexpect.EOF)
        child.wait()

    def suspend(self):
        """Because somebody asked."""
        started = time.perf_counter()
        done = self.project.run("suspend")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        self.taken["suspend"].append(time.perf_counter() - started)
        self.taken["memory"].append(self.log_seconds("the guest is memory"))
        saved = self.project.data / "saved"
        return sum(path.stat().st_blocks * 512 for path in saved.iterdir()) / (1 << 20)

    def forget_cached(self):
        """Reads the saved state from the disk the next time."""
        for path in (self.project.data / "saved").iterdir():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def leave_behind(self):
        """Nobody uses it: it is suspended."""
        manifest = self.project.data / "saved" / "manifest"
        wait_until(manifest.exists, "the VM is suspended", 120)

    # -- all of them --

    def round(self):
        self.idle("never")
        child = self.enter("boot", "shell", "--new")
        self.guest(self.fill)
        self.detach(child)
        self.taken["used"].append(self.used())
        self.taken["stored"].append(self.suspend())
        self.detach(self.reattach("back"))
        self.suspend()
        self.forget_cached()
        child = self.reattach("back from the disk")
        self.suspend()
        self.leave_some("exit")
        self.suspend()
        started = time.perf_counter()
        assert self.project.run("exec", "true").returncode == 0
        self.taken["exec"].append(time.perf_counter() - started)
        self.suspend()
        self.idle(1)
        self.leave_some("exit, suspended behind it")
        self.leave_behind()
        self.project.stop()

    def print(self):
        median = {name: statistics.median(found) for name, found in self.taken.items()}
        boot = median["boot"]

        def against_boot(what, name, goal=None):
            note = f"{median[name] / boot:.3f} x the boot" + (f" (goal {goal})" if goal else "")
            row(what, f"{median[name]:.3f}", "s", note)
        row("cold boot to prompt", f"{boot:.3f}", "s")
        against_boot("suspended to the first byte of the shell left", "back, first byte")
        against_boot("suspended to its answer", "back", 0.15)
        against_boot("the same, state not in the page cache", "back from the disk")
        against_boot("suspended to the prompt of a new shell", "new", 0.2)
        against_boot("suspended to the end of dxvm exec true", "exec", 0.2)
        row("exit, idle=never", f"{median['exit'] * 1000:.1f}", "ms")
        behind = median["exit, suspended behind it"]
        row("exit, a suspend behind it", f"{behind * 1000:.1f}", "ms",
            f"{behind / median['exit']:.2f} x without (goal 1)")
        row("dxvm suspend", f"{median['suspend']:.3f}", "s")
        row("the guest stands still and is memory after", f"{median['memory']:.2f}", "s")
        used, stored = median["used"], median["stored"]
        row("used: MemTotal - MemFree", f"{used:.0f}", "MiB")
        row("stored", f"{stored:.0f}", "MiB", f"goal {1.2 * used + 32:.0f}")


def run(kind, mib, rounds, folder, environment):
    project = Project(str(BUILD / "dxvm"), folder / f"{kind}-{mib}", environment, kind)
    (project.data / "mem").write_text("2G\n" if kind != "tiny" else "512M\n")
    print(f"guest: {kind}, {mib} MiB held, {rounds} rounds, {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    bench = Bench(project, HELD[kind], mib)
    try:
        assert project.run("start", timeout=600).returncode == 0  # the first one makes accounts and more
        project.stop()
        for _ in range(rounds):
            bench.round()
        bench.print()
    finally:
        stop_quietly(project)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # nothing is left behind
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words else 5
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    (folder / "run").mkdir(mode=0o700)
    environment.update(HOME=str(folder), TERM="xterm-256color", XDG_RUNTIME_DIR=str(folder / "run"),
                       XDG_STATE_HOME=str(BUILD / "test-state"), DXVM_DEVBOX="")
    try:
        for word in words or ["debian:150", "debian:1024", "tiny:100"]:
            kind, mib = word.split(":")
            run(kind, int(mib), rounds, folder, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
