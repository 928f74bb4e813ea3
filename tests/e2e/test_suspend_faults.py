"""Hosts and guests in trouble around a suspend and a resume: what ran in the VM is still there when the
trouble is over, and nobody waits for ever. QEMU and the guest are played (played_vm.py); the real ones are in
tests/vm/test_suspend*.py.
"""
import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

from played_project import Played
from projects import BUILD, alive, stop_quietly, wait_until

STOP = 3  # of what a client can ask


@pytest.fixture
def make(dxvm, scratch, clean_environment):
    """A function that makes such projects, of another dxvm if need be."""
    made = []

    def one(program=dxvm, **more):
        made.append(Played(program, scratch / str(len(made)), {**clean_environment, **more}))
        return made[-1]

    yield one
    for project in made:
        stop_quietly(project)


@pytest.fixture
def project(make):
    """One."""
    return make()


def test_a_guest_goes_on_from_disk(project):
    before = project.boot()
    project.suspend()
    assert project.boot() == before
    assert project.machines() == ["boot", "resume"]
    assert not project.is_saved()


def suspend_and_hold(project, *lines):
    """A suspend whose machine has given its state and waits for the file `go`: the boot, and the command."""
    project.play("boot hold quit", *lines)
    before = project.boot()
    suspending = project.popen("suspend", stderr=subprocess.DEVNULL)
    wait_until((project.folder / "held").exists, "the machine has given its state")
    return before, suspending


def go_on_from_memory(project, between, *lines):
    """Somebody comes in the middle of a suspend, so that another machine goes on from memory, which plays so:
    status and error text. `between`: what happens before."""
    before, suspending = suspend_and_hold(project, *lines)
    between()
    entering = project.comes("exec", "boot")
    (project.folder / "go").touch()
    out, text = entering.communicate(timeout=120)
    suspending.wait(60)
    project.play()
    return before, entering.returncode, out.decode(), text.decode()


def test_who_comes_while_it_is_suspended_gets_the_same_guest(project):
    before, status, out, text = go_on_from_memory(project, lambda: None)
    assert (status, out) == (0, before), text
    assert project.machines() == ["boot", "resume"]


@pytest.fixture
def stick(project, scratch):
    """A directory that is shared with it."""
    path = scratch / "stick"
    path.mkdir()
    assert project.run("config", f"share+={path}").returncode == 0
    return path


STAYS = "the VM stays suspended: "
MISSING = f"{STAYS}shares: `dxvm config share-="


def test_a_vm_whose_shared_directory_is_missing_stays_suspended(project, stick):
    before = project.boot()
    project.suspend()
    stick.rmdir()
    assert MISSING in project.fails("start")
    assert project.is_saved()
    stick.mkdir()
    assert project.boot() == before


def test_a_guest_in_memory_whose_shared_directory_is_missing_is_saved(project, stick):
    before, status, _, text = go_on_from_memory(project, stick.rmdir)
    assert status == 125 and MISSING in text, text
    assert project.is_saved()
    stick.mkdir()
    assert project.boot() == before


def test_a_guest_in_memory_without_a_qemu_is_saved(project):
    program = project.folder / "qemu-system-x86_64"
    project.environment["PATH"] = f"{project.folder}:/nonexistent"
    before, status, _, text = go_on_from_memory(project, lambda: program.rename(project.folder / "away"))
    (project.folder / "away").rename(program)
    assert status == 125 and f"{STAYS}start the machine: QEMU is missing" in text, text
    assert project.is_saved()
    assert project.boot() == before


def share_servers(project):
    words = (project.data / "lock").read_text().split()
    if not words:
        return []  # the lock is somebody else's just now
    supervisor = words[1]
    children = pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(pid) for pid in children
            if b"serve-share" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_guest_in_memory_whose_share_server_keeps_dying_is_saved(project):
    before, suspending = suspend_and_hold(project, "resume deaf migrate-incoming")
    entering = project.comes("exec", "boot")
    (project.folder / "go").touch()
    wait_until(lambda: project.machines() == ["boot", "resume"], "another machine is to go on")

    def kill_server():
        for pid in share_servers(project):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return entering.poll() is not None
    with contextlib.suppress(FileNotFoundError):
        wait_until(kill_server, "it is given up")
    text = entering.communicate(timeout=30)[1].decode()
    suspending.wait(30)
    assert entering.returncode == 125 and STAYS in text, text
    assert project.is_saved()
    project.play()
    assert project.boot() == before


def test_a_stop_that_finds_the_vm_staying_says_so(project, stick):
    before, suspending = suspend_and_hold(project)
    stick.rmdir()
    stopping = project.popen("stop", stderr=subprocess.PIPE)
    wait_until(lambda: b"a client asks %d\n" % STOP in (project.data / "log").read_bytes(), "it is asked")
    (project.folder / "go").touch()
    text = stopping.communicate(timeout=60)[1].decode()
    suspending.wait(30)
    assert stopping.returncode == 125 and STAYS in text, text
    assert project.is_saved()
    stick.mkdir()
    assert project.boot() == before


def test_who_is_told_to_go_goes_also_when_the_agent_is_restarted_again_and_again(project):
    project.boot()
    project.play("restart")
    project.stop()
    project.boot()
    supervisor = project.processes()[0]
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not alive(supervisor), "it is gone", 60)
    assert (project.data / "log").read_bytes().count(b"was restarted meanwhile") == 1


@pytest.fixture
def faulty(make, scratch):
    """One whose disk may fail (tests/fault_points.c)."""
    libexec = scratch / "libexec"
    libexec.mkdir()
    for room, name in (("agent", "dxvm-agent"), ("devbox", "dxvm-devbox")):
        (libexec / name).symlink_to(BUILD / "src" / room / name)
    return make(str(BUILD / "tests" / "e2e" / "dxvm-faulty"), DXVM_LIBEXEC=str(libexec),
                DXVM_TEST_FAULTS=str(scratch / "faults"))


def test_a_saved_state_that_cannot_be_removed_is_told_once(faulty):
    before = faulty.boot()
    faulty.suspend()
    faulty.play("resume refuse migrate-incoming")
    faulty.environment["DXVM_TEST_FAULT"] = "always remove manifest"
    text = faulty.fails("start", timeout=20)
    assert f"cannot be removed: {faulty.data}: remove manifest: Input/output error" in text, text
    assert faulty.machines() == ["boot", "resume"]
    del faulty.environment["DXVM_TEST_FAULT"]
    faulty.play()
    assert faulty.boot() == before


def test_a_host_without_memory_for_it_leaves_the_vm_suspended(faulty):
    operations = pathlib.Path(faulty.environment["DXVM_TEST_FAULTS"])
    before = faulty.boot()
    faulty.suspend()
    operations.unlink()
    assert faulty.run("start").returncode == 0
    lines = operations.read_text().splitlines()
    last = max(number for number, line in enumerate(lines, 1) if line == "size ")
    faulty.suspend()
    operations.unlink()
    faulty.environment["DXVM_TEST_FAULT"] = f"fail {last}"
    text = faulty.fails("start")
    assert STAYS in text and "No space left on device" in text, text
    del faulty.environment["DXVM_TEST_FAULT"]
    assert faulty.boot() == before


def test_a_key_that_cannot_be_used_leaves_the_vm_suspended(project):
    key = pathlib.Path(project.environment["XDG_STATE_HOME"], "devbox", "vm", "key")
    before = project.boot()
    project.suspend()
    for damage in (lambda: key.write_bytes(b"short"), lambda: (key.unlink(), key.mkdir())):
        content = key.read_bytes()
        damage()
        assert f"{STAYS}saved/manifest: the key for saved states: " in project.fails("start")
        if key.is_dir():
            key.rmdir()
        key.write_bytes(content)
    assert project.boot() == before


def test_a_guest_whose_disk_is_full_when_it_goes_on_is_waited_for(project):
    """Longer than for one that could answer, 30 s: it is told to go on every two."""
    before = project.boot()
    project.suspend()
    project.play("resume full 18")
    done = project.run("exec", "boot")
    assert done.stdout.decode() == before, done.stderr
    assert b"the host's disk is full" in done.stderr
    assert project.machines() == ["boot", "resume"]


def test_a_guest_that_is_saved_already_is_not_saved_again_when_nothing_takes_it(faulty):
    """Somebody comes when all but the name of the manifest is written; then QEMU ends at once."""
    faults = faulty.environment["DXVM_TEST_FAULTS"]
    faulty.environment["DXVM_TEST_FAULT"] = "hold rename manifest"
    faulty.play("resume die")
    before = faulty.boot()
    suspending = faulty.popen("suspend", stderr=subprocess.DEVNULL)
    wait_until(pathlib.Path(f"{faults}.held").exists, "the manifest is written")
    written = {path.stat().st_ino for path in (faulty.data / "saved").glob("manifest*")}
    entering = faulty.comes("start")
    pathlib.Path(f"{faults}.go").touch()
    _, text = entering.communicate(timeout=60)
    suspending.wait(60)
    assert entering.returncode == 125 and STAYS.encode() in text, text
    assert {path.stat().st_ino for path in (faulty.data / "saved").glob("manifest*")} == written
    faulty.play()
    assert faulty.boot() == before


def test_a_qemu_that_ends_when_the_memory_is_filled_has_not_seen_the_state(project):
    before = project.boot()
    project.suspend()
    project.play("resume die")
    assert f"{STAYS}QEMU exited with status 1: Cannot allocate memory" in project.fails("start")
    project.play()
    assert project.boot() == before


def test_a_qemu_that_closes_its_link_and_lives_on_is_ended(project):
    project.play("boot hangup stop")
    before = project.boot()
    assert "QEMU closed QMP and did not end" in project.fails("suspend")
    assert not project.is_saved()
    project.play()
    assert project.boot() != before


def test_nobody_waits_for_ever_for_a_qemu_that_does_not_answer(make):
    """In three steps at once: when it is told to stop, when it is told to end, and when it is to go on."""
    unstopped, endless, mute = make(), make(), make()
    unstopped.play("deaf stop")
    endless.play("deaf quit")
    before = [project.boot() for project in (unstopped, endless, mute)]
    mute.suspend()
    mute.play("resume mute")
    waiting = [project.popen("-q", words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for project, words in ((unstopped, "suspend"), (endless, "suspend"), (mute, "start"))]
    told = [child.communicate(timeout=120)[1].decode() for child in waiting]
    assert [child.returncode for child in waiting] == [125, 0, 125], told
    assert "the VM was not suspended: QEMU did not come to an end with its state in 60 s" in told[0]
    assert f"{STAYS}QEMU did not come to an end with its state in 60 s" in told[2]
    assert not unstopped.is_saved() and endless.is_saved() and mute.is_saved()
    mute.play()
    assert [project.boot() for project in (unstopped, endless, mute)] == before
    assert unstopped.machines() == ["boot"]


def test_an_agent_that_is_restarted_during_a_suspend_is_set_up_anew(project):
    project.play("restart")
    before = project.boot()
    done = project.run("suspend", timeout=30)
    assert done.returncode == 125
    assert b"the VM was not suspended: the guest's agent was restarted meanwhile" in done.stderr
    assert project.run("exec", "say", "fine", timeout=30).stdout == b"fine"
    assert project.boot() == before
    assert project.status()["state"] == "running"


def test_a_vm_that_cannot_be_suspended_is_not_put_to_rest_again_at_once(project):
    """Nobody is connected, and each look at that counts, five a second: some fall between the failure and the
    guest's return. From then on there are twice as many as show that a VM is idle."""
    project.play("restless its disk is broken", "late 1.5")
    (project.data / "idle").write_text("1\n")
    assert project.run("start").returncode == 0
    log = project.data / "log"
    failure, look = b"the VM was not suspended: its disk is broken", b"sessions have used"
    wait_until(lambda: failure in log.read_bytes(), "a suspend has failed")
    wait_until(lambda: log.read_bytes().partition(failure)[2].count(look) >= 10, "looks at the guest go on")
    logs = project.run("logs").stdout
    assert logs.count(b"running -> suspending") == 1 and b"restarted" not in logs
    assert project.status()["state"] == "running"
    assert project.machines() == ["boot"] and "quit" not in project.commands()
