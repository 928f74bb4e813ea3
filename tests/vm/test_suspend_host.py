"""Suspend and resume, and what the host does meanwhile: its disk is full, its QEMU another one, somebody
stops the VM or shuts the host down in the middle."""
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

from loop_disk import LoopDisk, needs_root
from projects import TOP, Project, alive, stop_quietly, wait_until

sys.path.insert(0, str(TOP / "tests" / "e2e"))
from dxvm_peer import OK, STOP, Peer # pylint: disable=wrong-import-position

MEMORY = """
for i in 1 2 3; do dd if=/dev/zero of=/tmp/memory bs=1M count=150 conv=notrunc 2>/dev/null; done
dd if=/dev/urandom of=/tmp/memory bs=1M count=20 conv=notrunc 2>/dev/null
rm /tmp/memory
"""


def boot_id(project):
    done = project.run("exec", "cat", "/proc/sys/kernel/random/boot_id", timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def suspend(project):
    done = project.run("suspend")
    assert done.returncode == 0, done.stderr
    assert is_saved(project)


def is_saved(project):
    return (project.data / "saved" / "manifest").exists()


def life_of(project, supervisor):
    """What this supervisor has logged; the next one may have begun."""
    log = (project.data / "log").read_text(errors="replace")
    return log.rpartition(f", pid {supervisor}\n")[2].partition("supervisor of")[0]


def socket_of(project):
    """Of a supervisor that has just been started."""
    def look():
        text = (project.data / "lock").read_text()
        path = pathlib.Path(text.split("socket ")[1].strip()) if "socket " in text else None
        return path and path.exists() and path
    return wait_until(look, "the supervisor listens")


def enter_and_reach_in_the_middle(project, stderr=subprocess.DEVNULL):
    """A client enters a suspended VM; returns it and the pid of the supervisor, which resumes."""
    (project.data / "lock").write_text("")
    entering = project.popen("exec", "true", stdin=subprocess.DEVNULL, stderr=stderr)
    path = socket_of(project)
    return entering, path, int((project.data / "lock").read_text().split()[1])


def test_a_stop_in_the_middle_of_a_resume_ends_the_guest_in_order(tiny):
    boot_id(tiny)
    suspend(tiny)
    entering, path, supervisor = enter_and_reach_in_the_middle(tiny)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    peer = Peer(sock)
    peer.handshake()
    code, text = peer.request(STOP)
    assert code == OK, text
    wait_until(lambda: not alive(supervisor), "the supervisor is gone")
    log = life_of(tiny, supervisor)
    assert "running -> stopping" in log and "agent: shut down" in log, log
    entering.wait(120) # which the stop turned out, or which started it anew
    tiny.stop()
    assert not is_saved(tiny)


def test_a_host_that_shuts_down_in_the_middle_of_a_resume_loses_nothing(tiny):
    before = boot_id(tiny)
    suspend(tiny)
    entering, _, supervisor = enter_and_reach_in_the_middle(tiny)
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not alive(supervisor), "the supervisor is gone")
    entering.wait(120)
    assert boot_id(tiny) == before


def test_a_guest_that_goes_on_and_says_nothing_is_booted_anew(tiny):
    """Its machine stands still from the moment it was told to go on, before its agent has answered."""
    before = boot_id(tiny)

    def falls_silent():
        suspend(tiny)
        entering, _, supervisor = enter_and_reach_in_the_middle(tiny, subprocess.PIPE)
        machine, = wait_until(lambda: tiny.processes()[1:], "the machine is there")
        wait_until(lambda: "the guest goes on" in life_of(tiny, supervisor), "it goes on")
        os.kill(machine, signal.SIGSTOP)
        if "-> running" not in life_of(tiny, supervisor):
            return entering
        os.kill(machine, signal.SIGCONT) # too late
        entering.communicate(timeout=60)
        return None
    entering = wait_until(falls_silent, "it says nothing", 120)
    said = entering.communicate(timeout=120)[1].decode()
    assert entering.returncode == 0, said
    assert "booting, because the suspended VM cannot go on: the guest does not answer" in said
    assert boot_id(tiny) != before


def test_a_suspend_of_a_vm_that_starts_waits_for_it(tiny):
    boot_id(tiny)
    tiny.stop()
    starting = tiny.popen("start", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: tiny.status().get("state", "").startswith("start"), "it starts")
    suspend(tiny)
    starting.wait(60)


def patched_qemu(folder):
    """The host's QEMU as it would be after an update: it calls itself another patch version."""
    real = pathlib.Path(shutil.which("qemu-system-x86_64")).resolve()
    version = re.search(r"version (\d+\.\d+\.\d+)", subprocess.run(
        [real, "--version"], capture_output=True, text=True, check=True).stdout).group(1)
    last = version[-1]
    other = version[:-1] + ("8" if last == "9" else "9")
    (folder / "bin").mkdir()
    for name in ("lib", "share"): # modules and firmware are looked for beside it
        (folder / name).symlink_to(real.parent.parent / name)
    program = folder / "bin" / "qemu-system-x86_64"
    program.write_bytes(real.read_bytes().replace(version.encode(), other.encode()))
    program.chmod(0o700)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"version {other}" in said, said
    return program.parent


def test_another_patch_version_of_qemu_resumes(tiny, tmp_path):
    before = boot_id(tiny)
    suspend(tiny)
    path = tiny.environment["PATH"]
    tiny.environment["PATH"] = f"{patched_qemu(tmp_path)}:{path}"
    try:
        assert boot_id(tiny) == before
        machine = tiny.processes()[1]
        assert os.readlink(f"/proc/{machine}/exe").startswith(str(tmp_path))
        suspend(tiny)
    finally:
        tiny.environment["PATH"] = path
    assert boot_id(tiny) == before


def test_a_host_that_cannot_run_qemu_leaves_the_vm_suspended(tiny, tmp_path):
    before = boot_id(tiny)
    suspend(tiny)
    path = tiny.environment["PATH"]
    program = tmp_path / "short of memory" / "qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Cannot allocate memory >&2\nexit 1\n")
    program.chmod(0o700)
    try:
        for where, why in ((f"{program.parent}:{path}", "QEMU exited with status 1: Cannot allocate "
                            "memory; `dxvm kill` throws away what ran in it"),
                           (str(tmp_path), "start the machine: QEMU is missing")):
            tiny.environment["PATH"] = where
            done = tiny.run("start")
            assert done.returncode == 125
            assert f"the VM stays suspended: {why}" in done.stderr.decode(), done.stderr
            assert is_saved(tiny)
    finally:
        tiny.environment["PATH"] = path
    assert boot_id(tiny) == before


def test_kill_throws_away_what_a_suspended_vm_ran(tiny):
    before = boot_id(tiny)
    suspend(tiny)
    done = tiny.run("kill")
    assert done.returncode == 0
    assert b"the VM was suspended; what ran in it is lost, its disk is not" in done.stderr
    assert not list((tiny.data / "saved").iterdir())
    assert b"the VM is not running" in tiny.run("kill").stderr
    assert boot_id(tiny) != before


def written(pid):
    """Bytes that this process has made the kernel write, or will."""
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def test_the_guests_memory_is_not_written_to_disk_while_it_runs(tiny):
    boot_id(tiny)
    supervisor, machine = tiny.processes()
    before = written(supervisor) + written(machine)
    done = tiny.run("exec", "sh", "-c", MEMORY)
    assert done.returncode == 0, done.stderr
    os.sync() # what is dirty would be written now
    assert written(supervisor) + written(machine) - before < 4 << 20
    assert not (tiny.data / "saved").exists() or not os.listdir(tiny.data / "saved")
    ram = [line for line in pathlib.Path(f"/proc/{machine}/maps").read_text().splitlines()
           if "dxvm-ram" in line]
    assert ram and all("/memfd:" in line for line in ram), ram


def shared_memory():
    listed = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return set(os.listdir("/dev/shm")) | {line.split()[1] for line in listed}


def holders(folder):
    """Who has a file in the folder open, stands in it, or names it."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            places = [os.readlink(fd) for fd in [*(process / "fd").iterdir(), process / "cwd"]]
            named = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if any(f"{place}/".startswith(f"{folder}/") for place in places) or \
                str(folder).encode() in named:
            found.append((process.name, named))
    return found


def test_a_suspended_vm_is_files_and_nothing_else(tiny):
    before = shared_memory()
    boot_id(tiny)
    supervisor = tiny.processes()[0]
    path = socket_of(tiny)
    suspend(tiny)
    wait_until(lambda: not alive(supervisor), "the supervisor is gone")
    assert holders(tiny.root) == []
    assert not path.exists()
    assert shared_memory() <= before
    with open(tiny.data / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_room_on_disk_is_given_back_soon_after_a_resume(tiny):
    """The state it was resumed from has no name any more at once, and is freed when there is time."""
    boot_id(tiny)
    suspend(tiny)
    boot_id(tiny)
    assert not list((tiny.data / "saved").iterdir())
    state = str(tiny.data / "saved" / "ram")
    supervisor = pathlib.Path(f"/proc/{tiny.processes()[0]}/fd")
    wait_until(lambda: not [fd for fd in supervisor.iterdir() if os.path.realpath(fd).startswith(state)],
               "the file is closed", 30)


@needs_root
def test_a_full_disk_never_loses_the_guest(dxvm, home):
    path, environment = home
    folder = path / "full"
    folder.mkdir()
    disk = LoopDisk(folder, 256)
    try:
        project = Project(dxvm, disk.path / "project", environment, "tiny")
        for name, value in (("mem", "512M"), ("cpu", "2"), ("idle", "never")):
            (project.data / name).write_text(value + "\n")
        before = boot_id(project)
        ballast = disk.fill()
        done = project.run("suspend")
        assert done.returncode == 125 and b"the VM goes on, because it could not be saved" in \
            done.stderr and b"No space left on device" in done.stderr, done.stderr
        assert boot_id(project) == before
        ballast.unlink()
        suspend(project)
        # A new device number, as after a reboot, and no room to note anything.
        disk.unmount()
        disk.mount()
        ballast = disk.fill()
        assert boot_id(project) == before
        assert not is_saved(project)
        project.stop()
        disk.fill()
        assert boot_id(project) != before
        project.stop()
        ballast.unlink()
    finally:
        stop_quietly(project)
        disk.unmount()
