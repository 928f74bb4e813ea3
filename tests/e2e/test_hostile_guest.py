"""A guest that was taken over, on the agent's port: nobody is hurt, and people are told."""
import os
import pathlib
import stat
import subprocess
import time

import pytest

from projects import alive, wait_until

HERE = pathlib.Path(__file__).resolve().parent
VIOLATIONS = ["random_bytes", "data_before_accept", "data_after_eof",
              "credit_for_nothing"]
FLOODS = ["a_million_opens", "ping_flood", "requests_nobody_asked"]
MEMORY_MAX = 64 << 10 # KiB of the supervisor, sanitizers included


@pytest.fixture
def hostile(project, scratch):
    """A function that makes the guest of the project do one act."""
    libexec = scratch / "libexec"
    libexec.mkdir()
    program = libexec / "dxvm-agent"
    program.write_bytes((HERE / "hostile_agent.py").read_bytes())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def act(name):
        project.environment.update(DXVM_LIBEXEC=str(libexec), DXVM_TEST_PEER=str(HERE),
                                   DXVM_TEST_ACT=name)
        return project

    return act


def resident(pid):
    """KiB of memory that a process holds."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return int(text.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in text else 0


def recover(project):
    """The next start, with an honest guest, works."""
    del project.environment["DXVM_LIBEXEC"]
    assert project.run("stop", timeout=60).returncode == 0
    assert project.run("exec", "echo", "fine", timeout=60).stdout == b"fine\n"


@pytest.mark.parametrize("act", VIOLATIONS)
def test_a_violation_ends_the_link_and_says_so(hostile, act):
    project = hostile(act)
    done = project.run("exec", "true", timeout=60)
    assert done.returncode == 125, done.stderr
    assert b"the guest's agent is gone: " in done.stderr
    assert b"protocol violation: " in done.stderr
    assert b"protocol violation: " in project.run("logs").stdout
    recover(project)


def test_more_than_the_window_is_a_violation(hostile):
    project = hostile("data_over_the_window")
    # Nobody reads, so there is no credit.
    child = project.popen("exec", "true", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    wait_until(lambda: b"protocol violation: " in project.run("logs").stdout, "the log says so")
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 125
    assert b"the guest's agent is gone: " in errors
    recover(project)


def test_a_second_exit_is_a_violation_but_the_first_counts(hostile):
    project = hostile("two_exits")
    assert project.run("exec", "true", timeout=60).returncode == 0
    wait_until(lambda: b"protocol violation: " in project.run("logs").stdout, "the log says so")
    recover(project)


@pytest.mark.parametrize("act", FLOODS)
def test_a_flood_costs_bounded_memory_and_stop_works(hostile, act):
    project = hostile(act)
    project.run("start", timeout=60)
    pids = project.processes()
    end = time.monotonic() + 2
    most = 0
    while time.monotonic() < end and pids and alive(pids[0]):
        most = max(most, resident(pids[0]))
        time.sleep(0.05)
    assert most < MEMORY_MAX
    recover(project)
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), "nothing is left")


def test_a_refusal_is_told_with_its_escapes_made_harmless(hostile):
    project = hostile("refuse")
    done = project.run("start", timeout=60)
    assert done.returncode == 125
    assert b"the guest could not be set up: \\x1b[31mno\\x1b[0m user\\n" in done.stderr
    assert b"\x1b" not in project.run("logs").stdout
    recover(project)


def test_half_a_frame_and_silence_do_not_keep_anybody(hostile):
    project = hostile("half_a_frame")
    assert project.run("start", timeout=60).returncode == 0
    assert project.run("status", timeout=20).returncode == 0
    pids = project.processes()
    done = project.run("stop", timeout=60)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2:] == [
        b"dxvm: the guest has not stopped in 20 s; pressing its power button",
        b"dxvm: the guest does not power off; killing it"]
    assert not any(os.path.exists(f"/proc/{pid}") and alive(pid) for pid in pids)
