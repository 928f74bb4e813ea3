"""Power cuts and kill -9 at random moments of a life of work, suspend and resume: what the guest synced is
there afterwards, on its disk and on the share, and it always comes up again.

The long form: DXVM_TEST_CUTS=100 DXVM_TEST_KILLS=200. DXVM_TEST_SEED repeats a run.
"""
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from loop_disk import LoopDisk, needs_root
from projects import Project, alive, stop_quietly, wait_until

CUTS = int(os.environ.get("DXVM_TEST_CUTS", "2"))
KILLS = int(os.environ.get("DXVM_TEST_KILLS", "2"))
SEED = int(os.environ.get("DXVM_TEST_SEED", random.randrange(1 << 32)))

# Numbers to a file on the guest's disk and one on the share, each synced and only then reported, where
# no power is cut. It runs on across a suspend. What was not synced when the power went may be there as
# zeros: a log begins by cutting that off.
WORK = """
own=/var/tmp/records
shared=$PWD/records
for file in $own $shared; do
	touch $file
	truncate -s $(awk '$1 != NR { exit } { print }' $file | wc -c) $file
done
a=$(wc -l <$own)
b=$(wc -l <$shared)
while a=$((a+1)) b=$((b+1)); do
	echo $a >>$own && sync $own && echo $b >>$shared && sync $shared && echo $a $b >>/mnt/safe/reported
done
"""

START = """
[ -e /dev/shm/working ] || { touch /dev/shm/working; setsid bash work.sh >/dev/null 2>&1 </dev/null & }
"""

CHECK = """
for file in /var/tmp/records records; do
	[ -e $file ] || touch $file
	awk '$1 != NR { exit } { whole = NR } END { print whole + 0 }' $file
done
"""


class Life:
    """A VM whose data directory and project lie on a file system that can lose its power."""

    def __init__(self, dxvm, folder, environment, state_home):
        self.disk = LoopDisk(folder, 3 << 10)
        self.safe = folder / "safe"
        self.safe.mkdir()
        self.copy = folder / "copy.img"
        self.random = random.Random(SEED)
        self.value = 0
        self.what = "the first start"
        self.booted = self.resumed = self.kept = 0
        self.vm = Project(dxvm, self.disk.path / "project", environment | {
            "XDG_STATE_HOME": str(state_home)}, "debian")
        for name, value in (("mem", "512M"), ("cpu", "2"), ("idle", "never"),
                            ("shares", f"{self.safe}:/mnt/safe")):
            (self.vm.data / name).write_text(value + "\n")
        (self.vm.root / "work.sh").write_text(WORK)
        os.sync() # what a person has had for a while; only the work is in danger
        self.enter()

    def guest(self, script, **more):
        done = self.vm.run("exec", "bash", "-c", script, timeout=240, **more)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done

    def reported(self):
        """The last two numbers that were synced for sure."""
        path = self.safe / "reported"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line.split() for line in lines if line.endswith("\n")]
        return [int(word) for word in whole[-1]] if whole else [0, 0]

    def enter(self):
        """Comes up with everything that was reported, and works on."""
        reported = self.reported()
        saved = (self.vm.data / "saved" / "manifest").exists()
        running = bool(self.vm.processes())
        done = self.guest(CHECK)
        found = [int(line) for line in done.stdout.decode().split("\n") if line]
        assert len(found) == 2 and all(x >= y for x, y in zip(found, reported)), (reported, done)
        said = done.stderr.decode()
        if running:
            self.kept += 1
        elif saved:
            assert "resumed in" in said, said
            self.resumed += 1
        else:
            assert "started in" in said, said
            self.booted += 1
        self.guest(START)
        wait_until(lambda: self.reported()[0] >= reported[0] + 3, "it works on", 60)

    def tell(self, what):
        """For the log of a long run."""
        print(f"{what}, {self.what}: {self.booted} boots, {self.resumed} resumes, {self.kept} not hurt, "
              f"{self.reported()} records", flush=True)

    def write_unsynced(self):
        """Nobody syncs it but a suspend."""
        self.value += 1
        self.guest(f"echo {self.value} >unsynced")

    def check_unsynced(self):
        """What the guest that was suspended had written is not lost on the host either."""
        if (self.vm.data / "saved" / "manifest").exists():
            assert (self.vm.root / "unsynced").read_text() == f"{self.value}\n"

    def step(self, strike):
        """One thing that a person does, and `strike` somewhere in the middle of it."""
        words = self.random.choice([None, ("suspend",), ("exec", "true"), ("exec", "true")])
        moment = self.random.uniform(0, 1.2)
        self.write_unsynced()
        if words == ("exec", "true"):
            done = self.vm.run("suspend")
            assert done.returncode == 0, done.stderr
        client = None
        if words:
            client = self.vm.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(moment) # a moment in the middle of it, whichever
        self.what = f"{words[0] if words else 'work'} after {moment:.2f} s"
        strike(client)
        if client:
            client.wait(60)

    def pids(self):
        """Supervisor, machine, share server: whoever has a file of it open."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if not name.isdigit() or int(name) == os.getpid():
                    continue
                files = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
                if any(file.startswith(f"{self.disk.path}/") for file in files):
                    found.append(int(name))
            except OSError:
                continue
        return found

    def check_disk(self):
        """Of a copy: repairing it would change the original."""
        subprocess.run(["cp", "--sparse=always", str(self.vm.data / "disk.img"), str(self.copy)],
                       check=True)
        done = subprocess.run(["e2fsck", "-p", str(self.copy)], capture_output=True, check=False)
        assert done.returncode in (0, 1), done
        done = subprocess.run(["e2fsck", "-fn", str(self.copy)], capture_output=True, check=False)
        assert done.returncode == 0, done
        self.copy.unlink()

    def done(self):
        try:
            stop_quietly(self.vm)
        finally:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.disk.unmount()


@pytest.fixture(scope="module")
def life(dxvm, home, state_home):
    path, environment = home
    folder = path / "life"
    folder.mkdir()
    alive_one = Life(dxvm, folder, environment, state_home)
    print(f"DXVM_TEST_SEED={SEED}")
    yield alive_one
    alive_one.done()
    shutil.rmtree(folder, ignore_errors=True)


@needs_root
def test_power_cuts_lose_nothing_that_was_synced(life):
    def cut(client):
        pids = life.pids()
        life.disk.cut()
        for pid in pids + ([client.pid] if client else []):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone")
        life.disk.unmount()
        life.disk.mount()

    for number in range(1, CUTS + 1):
        life.step(cut)
        life.check_unsynced()
        life.check_disk()
        life.enter()
        life.tell(f"power cut {number}")


@needs_root
def test_kill_9_loses_nothing_that_was_synced(life):
    def kill(client):
        processes = life.vm.processes()
        victims = processes + ([client.pid] if client else [])
        if not victims:
            return
        victim = life.random.choice(victims)

        def gone_or_booting():
            now = life.vm.processes()
            return not now or (len(now) == 2 and now != processes)

        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return
        if victim in processes: # neither lives without the other; a resume that failed boots
            wait_until(gone_or_booting, "the VM is gone, or boots")

    for number in range(1, KILLS + 1):
        life.step(kill)
        life.enter()
        life.tell(f"kill {number}")
    life.vm.stop()
    life.check_disk()
    life.enter()
