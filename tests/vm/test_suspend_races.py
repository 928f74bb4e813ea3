"""Whoever comes, goes or dies in the middle of a suspend or a resume: the guest never stays paused or
hung, and who wanted it has it. Each race is run a few times, at moments of its own; the long form has
DXVM_TEST_RACES=100."""
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

from loop_disk import LoopDisk, needs_root
from projects import Project, alive, stop_quietly, wait_until

RACES = int(os.environ.get("DXVM_TEST_RACES", "2"))
ROUNDS = range(RACES)
QUIESCING = "state: running -> suspending"
COPYING = "state: suspending -> saving"
RUNNING = "state: configuring -> running"
MACHINE = "info machine:"
FILLED = "resume: the memory is filled"
GOES_ON = "resume: the guest goes on"
PATIENCE = 240  # seconds, for a boot without KVM on a busy host


class Log:
    """The supervisor's log, from now on."""

    def __init__(self, project):
        self.path = project.data / "log"
        self.begin = self.path.stat().st_size

    def wait_for(self, text):
        def found():
            with open(self.path, "rb") as file:
                file.seek(self.begin)
                return text.encode() in file.read()
        wait_until(found, f"the log says {text!r}", PATIENCE)


def moment():
    """Some part of what a step takes: whichever."""
    time.sleep(random.choice((0, 0, 0.002, 0.01, 0.03, 0.1)) * random.random())


def start(project, *words):
    return project.popen("-q", *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)


def end(child):
    """Its status, output and error text."""
    out, text = child.communicate(timeout=PATIENCE)
    return child.returncode, out.decode().strip(), text.decode()


def enter(project):
    """A client that wants the guest; end() has the boot's number."""
    return start(project, "exec", "cat", "/proc/sys/kernel/random/boot_id")


def entered(child):
    status, boot, text = end(child)
    assert status == 0, text
    return boot


def suspend(project):
    status, _, text = end(start(project, "suspend"))
    assert status == 0, text


def is_suspended(project):
    return (project.data / "saved" / "manifest").exists()


def suspended_or_not(child):
    """What a `dxvm suspend` may say that was overtaken."""
    status, _, text = end(child)
    assert status == 0 or "the VM goes on: somebody wants it" in text, text


def entered_or_turned_out(child, boot, why):
    """Who had just come when the VM went: it may have begun something there."""
    status, now, text = end(child)
    assert (status == 0 and now == boot) or (status == 125 and why in text), (status, now, text)


@pytest.fixture
def boot(tiny):
    """The VM runs; the number of its boot."""
    return entered(enter(tiny))


@pytest.mark.parametrize("step", [QUIESCING, COPYING])
@pytest.mark.parametrize("how", ["asked", "signal"])
def test_who_comes_while_it_suspends_gets_the_same_guest(tiny, boot, step, how):
    for _ in ROUNDS:
        log = Log(tiny)
        if how == "signal":
            os.kill(tiny.processes()[0], signal.SIGTERM)
        else:
            suspending = start(tiny, "suspend")
        log.wait_for(step)
        moment()
        assert entered(enter(tiny)) == boot
        if how == "asked":
            suspended_or_not(suspending)


def test_two_who_come_at_once_get_the_same_guest(tiny, boot):
    for _ in ROUNDS:
        suspend(tiny)
        assert [entered(child) for child in [enter(tiny), enter(tiny)]] == [boot, boot]


def test_two_who_suspend_at_once_are_both_answered(tiny, boot):
    for _ in ROUNDS:
        for child in [start(tiny, "suspend"), start(tiny, "suspend")]:
            status, _, text = end(child)
            assert status == 0, text
        assert is_suspended(tiny)
        assert entered(enter(tiny)) == boot


ENTERING = [None, MACHINE, FILLED, GOES_ON, "starting -> configuring", RUNNING]


def enter_up_to(project, step):
    """A client on its way into a VM that runs, or that gets up to this step of its resume."""
    if step:
        suspend(project)
    log = Log(project)
    child = enter(project)
    if step:
        log.wait_for(step)
    moment()
    return child


def test_a_suspend_while_somebody_enters(tiny, boot):
    for step in random.choices(ENTERING, k=RACES):
        entering = enter_up_to(tiny, step)
        suspended_or_not(start(tiny, "suspend"))
        entered_or_turned_out(entering, boot, "the VM is being suspended")
        assert entered(enter(tiny)) == boot, step


def test_an_idle_vm_is_entered_when_it_is_about_to_be_suspended(tiny, boot):
    suspend(tiny)
    (tiny.data / "idle").write_text("1\n")
    try:
        for _ in ROUNDS:
            assert entered(enter(tiny)) == boot
            time.sleep(random.uniform(0.9, 1.6))  # it is idle after a second, and looks five times in it
        assert entered(enter(tiny)) == boot
    finally:
        (tiny.data / "idle").write_text("never\n")
        suspend(tiny)


# What the supervisor or the agent, whichever was asked last, says to who meets a stop.
TURNED_OUT = ["the VM is being stopped", "the guest is shutting down"]
# What becomes of a program that a stop meets in the guest, if it has not just ended.
ENDED_WITH_IT = [0, 128 + signal.SIGHUP, 128 + signal.SIGTERM, 128 + signal.SIGKILL]


def test_a_stop_while_somebody_enters(tiny, boot):
    """It is stopped in order; who enters is let in before that, or starts it again."""
    for step in random.choices(ENTERING, k=RACES):
        entering = enter_up_to(tiny, step)
        status, _, text = end(start(tiny, "stop"))
        assert status == 0, text
        status, now, text = end(entering)
        assert status in ENDED_WITH_IT or any(why in text for why in TURNED_OUT), (step, status, text)
        assert not is_suspended(tiny)
        before, boot = boot, entered(enter(tiny))
        assert boot != before and (status != 0 or now in (before, boot)), step


def kill(log):
    """Kills the supervisor that writes this log; its machine must go with it."""
    pid = int(re.findall(r"supervisor of .* pid (\d+)", log.path.read_text(errors="replace"))[-1])
    children = [int(word) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")
                for word in path.read_text().split()]
    with contextlib.suppress(ProcessLookupError): # it had done its work
        os.kill(pid, signal.SIGKILL)
    for one in [pid, *children]:
        wait_until(lambda one=one: not alive(one), f"process {one} is gone")


@pytest.mark.parametrize("words, steps", [
    (["suspend"], [QUIESCING, "the guest is memory", COPYING, "on disk after"]),
    (["start"], [MACHINE, FILLED, GOES_ON, "starting -> configuring"]),
], ids=["suspends", "resumes"])
def test_a_supervisor_killed_while_it(tiny, boot, words, steps):
    """What it leaves is a suspended VM, or one that boots; never anything in between."""
    for step in random.choices(steps, k=RACES):
        if words == ["start"]:
            suspend(tiny)
        log = Log(tiny)
        child = start(tiny, *words)
        log.wait_for(step)
        moment()
        kill(log)
        end(child)
        saved = is_suspended(tiny)
        status, now, text = end(tiny.popen("exec", "cat", "/proc/sys/kernel/random/boot_id",
                                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE))
        assert status == 0, text
        # Between the steps "void" and "removed" there is a moment.
        assert now == boot if saved and "the VM has run since" not in text else now != boot, step
        boot = now


@needs_root
def test_a_disk_that_becomes_full_somewhere_in_a_suspend(dxvm, home):
    """In the copy, at the manifest, or not at all; and when it goes on there is no room either."""
    path, environment = home
    folder = path / "filled"
    folder.mkdir()
    disk = LoopDisk(folder, 256)
    project = Project(dxvm, disk.path / "project", environment, "tiny")
    for name, value in (("mem", "512M"), ("cpu", "2"), ("idle", "never")):
        (project.data / name).write_text(value + "\n")
    try:
        boot = entered(enter(project))
        suspend(project)
        needed = sum(file.stat().st_blocks * 512 for file in (project.data / "saved").iterdir())
        for _ in ROUNDS:
            assert entered(enter(project)) == boot
            ballast = disk.fill(random.randrange(needed * 3 // 2))
            status, _, text = end(start(project, "suspend"))
            if status:
                assert "the VM goes on, because it could not be saved" in text, text
                assert "No space left on device" in text, text
            assert is_suspended(project) == (status == 0)
            disk.fill()
            assert entered(enter(project)) == boot
            ballast.unlink()
            suspend(project)
    finally:
        stop_quietly(project)
        disk.unmount()
