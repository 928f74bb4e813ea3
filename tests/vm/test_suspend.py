"""A VM that is put to disk and goes on: what must be as it was, and what happens when it cannot be."""
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from projects import alive, wait_until

COUNTER = """
i=0
while :; do
	i=$((i+1))
	echo $i >/tmp/count
	echo $i
	sleep 0.05
done
"""


def guest(project, script, **more):
    """Runs a script in the guest; its output as text, its success checked."""
    done = project.run("-q", "exec", "sh", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def boot_id(project):
    return guest(project, "cat /proc/sys/kernel/random/boot_id")


def suspend(project):
    done = project.run("suspend")
    assert done.returncode == 0, done.stderr
    assert b"suspended in" in done.stderr
    assert (project.data / "saved" / "manifest").exists()
    return done


def log_of(project):
    return (project.data / "log").read_text(errors="replace")


@pytest.fixture
def running(tiny):
    """The VM runs, with a counter that writes to a file of the share which it opened once."""
    (tiny.root / "counter.sh").write_text(COUNTER)
    guest(tiny, "[ -e /tmp/count ] || setsid sh counter.sh >>counted 2>&1 </dev/null & "
                "while [ ! -e /tmp/count ]; do :; done")
    return tiny


def last_counted(project):
    lines = (project.root / "counted").read_text().split()
    return int(lines[-1]) if lines else 0


def boots(project):
    """The nonces of the agents' HELLOs, abbreviated, oldest first."""
    return re.findall(r" info agent: dxvm-agent .*, boot ([0-9a-f]{8}), ", log_of(project))


def test_everything_goes_on(running):
    before = boot_id(running)
    suspend(running)
    stood = last_counted(running)
    done = running.run("exec", "sh", "-c", "cat /tmp/count")
    assert b"dxvm: resumed in" in done.stderr, done.stderr
    assert boot_id(running) == before
    assert len(boots(running)) == 2 and len(set(boots(running))) == 1
    wait_until(lambda: last_counted(running) > stood + 5, "the counter goes on")
    numbers = [int(word) for word in (running.root / "counted").read_text().split()]
    begin = len(numbers) - numbers[::-1].index(1) - 1
    assert numbers[begin:] == list(range(1, len(numbers) - begin + 1))


def test_nothing_of_it_is_left_while_it_is_suspended(running):
    pids = running.processes()
    lock = (running.data / "lock").read_text()
    suspend(running)
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone", 10)
    socket = pathlib.Path(lock.split("socket ")[1].strip())
    assert not socket.exists()
    assert running.status()["state"].startswith("suspended")
    listed = running.run("ls").stdout.decode()
    assert "suspended" in listed
    assert running.run("suspend").returncode == 0 # of what is suspended: nothing to do
    for fd in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            assert "dxvm-ram" not in os.readlink(fd) or str(running.root) not in \
                (fd.parent.parent / "cmdline").read_text(), fd
        except OSError:
            continue


def test_the_clock_is_right_and_random_numbers_are_new(running):
    suspend(running)
    time.sleep(2)
    begin = time.time()
    # busybox has no fraction of seconds: wait for the tick
    told = guest(running, "a=$(date +%s); while [ $(date +%s) = $a ]; do :; done; date +%s; "
                          "cat /proc/uptime")
    end = time.time()
    second = int(told.split()[0])
    assert begin - 0.1 <= second <= end + 0.1


def test_a_file_that_is_removed_while_open_on_the_share(running):
    guest(running, "rm -f gone back; setsid sh -c 'exec 3>gone; rm gone; while [ ! -e go ]; do sleep 0.1; done; "
                   "echo still here >&3 && cat /proc/self/fd/3 >back' >/dev/null 2>&1 </dev/null & "
                   "sleep 0.5")
    suspend(running)
    (running.root / "go").write_text("")
    guest(running, "true")
    wait_until(lambda: (running.root / "back").exists() and
               (running.root / "back").read_text() == "still here\n", "the removed file was written")
    (running.root / "go").unlink()


def test_what_the_host_changed_meanwhile_is_seen(running):
    (running.root / "shared").write_text("one\n")
    assert guest(running, "cat shared") == "one"
    suspend(running)
    (running.root / "shared").write_text("another\n")
    assert guest(running, "cat shared") == "another"


def test_again_and_again(running):
    before = boot_id(running)
    for _ in range(5):
        suspend(running)
        assert boot_id(running) == before


def test_memory_that_is_free_is_not_stored(tiny):
    """Soon after it was given back."""
    guest(tiny, "dd if=/dev/urandom of=/tmp/x bs=1M count=200 2>/dev/null; rm /tmp/x")

    def stores_little():
        lines = guest(tiny, "cat /proc/meminfo").splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        suspend(tiny)
        stored = (tiny.data / "saved" / "ram").stat().st_blocks / 2
        return stored <= 1.2 * (kib["MemTotal"] - kib["MemFree"]) + 32 * 1024
    wait_until(stores_little, "little is stored", 90)


def test_sigterm_of_the_supervisor_suspends(running):
    before = boot_id(running)
    supervisor = running.processes()[0]
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not alive(supervisor), "the supervisor is gone", 30)
    assert (running.data / "saved" / "manifest").exists()
    assert boot_id(running) == before


def test_stop_of_what_is_suspended_ends_it_in_order(tiny):
    guest(tiny, "true")
    suspend(tiny)
    done = tiny.run("stop")
    assert done.returncode == 0 and b"resumed in" in done.stderr, done.stderr
    assert not (tiny.data / "saved" / "manifest").exists()
    assert tiny.status()["state"] == "not running"


def cold(project, reason):
    """The next start boots, says why in a line, and what was saved is gone."""
    before = boots(project)[-1]
    done = project.run("exec", "cat", "/proc/sys/kernel/random/boot_id", timeout=240)
    assert done.returncode == 0, done.stderr
    text = done.stderr.decode()
    lines = [line for line in text.splitlines() if "booting, because" in line]
    assert len(lines) == 1, text
    assert reason in lines[0], lines[0]
    assert "started in" in text
    assert boots(project)[-1] != before
    assert not (project.data / "saved" / "manifest").exists()


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


def data_offsets(path):
    """Where the file has data: the middle of its first extent, and of its last."""
    with open(path, "rb") as file:
        fd = file.fileno()
        end = os.fstat(fd).st_size
        at = 0
        found = []
        while at < end:
            try:
                begin = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(fd, begin, os.SEEK_HOLE)
            found.append(begin + (at - begin) // 2)
    return found


@pytest.mark.parametrize("name, how, reason", [
    ("manifest", "cut", "saved/manifest"),
    ("devices", "cut", "saved/devices: it is cut short"),
    ("ram", "flip", "saved/ram: it is damaged"),
    ("ram", "gone", "saved/ram"),
])
def test_what_is_damaged_is_not_resumed(tiny, name, how, reason):
    guest(tiny, "true")
    suspend(tiny)
    path = tiny.data / "saved" / name
    if how == "flip":
        flip(path, random.choice(data_offsets(path)))
    elif how == "cut":
        os.truncate(path, path.stat().st_size - 1)
    else:
        path.unlink()
    cold(tiny, reason)


def test_another_setting_boots(tiny):
    guest(tiny, "true")
    suspend(tiny)
    (tiny.data / "mem").write_text("640M\n")
    try:
        cold(tiny, 'now "size=640M", then "size=512M"')
    finally:
        (tiny.data / "mem").write_text("512M\n")
        tiny.stop()


def test_an_older_state_is_not_resumed(tiny, tmp_path):
    """Put back from a backup, after the VM went on."""
    guest(tiny, "true")
    suspend(tiny)
    shutil.copytree(tiny.data / "saved", tmp_path / "saved")
    guest(tiny, "true")
    suspend(tiny)
    shutil.rmtree(tiny.data / "saved")
    shutil.copytree(tmp_path / "saved", tiny.data / "saved")
    cold(tiny, "the VM has run since it was suspended")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_a_full_disk_lets_the_vm_go_on(running):
    before = boot_id(running)
    saved = running.data / "saved"
    saved.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "dxvm-test", str(saved)], check=True)
    try:
        done = running.run("suspend")
        assert done.returncode == 125
        assert b"the VM goes on, because it could not be saved" in done.stderr
        assert b"No space left on device" in done.stderr
        assert boot_id(running) == before
        assert not any(saved.iterdir())
    finally:
        subprocess.run(["umount", str(saved)], check=True)
    suspend(running)
    assert boot_id(running) == before


@pytest.fixture
def idle_after_two_seconds(tiny):
    guest(tiny, "true")
    tiny.stop() # with the counter, which is no longer wanted
    (tiny.data / "idle").write_text("2\n")
    yield tiny
    (tiny.data / "idle").write_text("never\n")
    if not (tiny.data / "saved" / "manifest").exists():
        suspend(tiny)


def test_what_nobody_uses_is_suspended(idle_after_two_seconds):
    vm = idle_after_two_seconds
    before = boot_id(vm)
    supervisor = vm.processes()[0]
    wait_until(lambda: not alive(supervisor), "the VM is suspended", 60)
    assert (vm.data / "saved" / "manifest").exists()
    assert boot_id(vm) == before


def test_what_is_kept_is_not_suspended(idle_after_two_seconds):
    vm = idle_after_two_seconds
    assert vm.run("keep").returncode == 0
    assert vm.status()["idle"] == "kept running; `dxvm keep off` ends that"
    supervisor = vm.processes()[0]
    time.sleep(5) # more than twice as long as it takes when it is not kept
    assert alive(supervisor)
    assert vm.run("keep", "off").returncode == 0
    assert vm.status()["idle"] == "suspended after 2 s without use"
    wait_until(lambda: not alive(supervisor), "the VM is suspended", 60)


def test_what_computes_or_is_connected_is_not_idle(idle_after_two_seconds):
    vm = idle_after_two_seconds
    guest(vm, "setsid sh -c 'while [ ! -e /tmp/enough ]; do :; done' >/dev/null 2>&1 </dev/null &")
    supervisor = vm.processes()[0]
    time.sleep(6) # three times as long as it takes when nothing computes
    assert alive(supervisor) and "idle: nobody" not in log_of(vm).rpartition("supervisor of")[2]
    connected = vm.popen("exec", "cat", stdin=subprocess.PIPE)
    guest(vm, "touch /tmp/enough")
    time.sleep(6)
    assert alive(supervisor) and "idle: nobody" not in log_of(vm).rpartition("supervisor of")[2]
    connected.stdin.close()
    connected.wait(30)
    wait_until(lambda: not alive(supervisor), "the VM is suspended", 60)


def test_who_is_connected_is_told_and_does_not_wait_for_the_save(tiny):
    guest(tiny, "true")
    connected = tiny.popen("exec", "sh", "-c", "echo here; cat", stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert connected.stdout.readline() == b"here\n"
    machine = tiny.processes()[1]
    os.kill(machine, signal.SIGSTOP)  # so that nothing can be saved
    try:
        suspending = tiny.popen("suspend", stderr=subprocess.PIPE)
        _, text = connected.communicate(timeout=30)
        assert b"the VM is being suspended" in text
        assert connected.returncode == 125
        assert suspending.poll() is None and not (tiny.data / "saved" / "manifest").exists()
    finally:
        os.kill(machine, signal.SIGCONT)
    assert b"suspended in" in suspending.communicate(timeout=60)[1]
