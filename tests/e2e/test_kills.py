"""kill -9 of each process at each step of a start and of a stop: who was there is told in one plain line,
the next command works at once, and nothing is left over.

The guest of these tests waits in a step (dxvm_guest.py), so that every blow falls where it should; the kills
in a real VM are in tests/vm/test_kills.py, those between two operations on the disk in test_faults.py.
"""
import os
import pathlib
import signal
import subprocess

import pytest

import dxvm_guest
from projects import alive, wait_until

STARTING = ["hello", "configure", "session"]
STOPPING = ["shutdown", "end"]
VICTIMS = ["client", "supervisor", "machine"]


def pids(pattern):
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=False).stdout
    return [int(word) for word in found.split() if alive(int(word))]


def supervisors(project):
    return pids(f"dxvm supervise {project.root}")


def check_next(project, command):
    """It works, and there is one supervisor, which is the one that the lock names."""
    done = project.run(*command)
    assert (done.returncode, done.stdout) == (0, b"fine"), done
    assert supervisors(project) == [project.processes()[0]]


def check_nothing_left(project):
    project.stop()
    wait_until(lambda: pids(str(project.root)) == [], "no process is left")
    sockets = pathlib.Path(project.environment["XDG_RUNTIME_DIR"], "dxvm")
    assert list(sockets.iterdir()) == []
    assert list(project.data.rglob("*.part")) == []


@pytest.fixture
def held(project, scratch):
    """Starts a command of a project whose guest waits in that step, and returns when it does."""
    clients = []

    def begin(step, *words):
        dxvm_guest.install(project, scratch, hold=step)
        if step in STOPPING:
            assert project.run("start").returncode == 0
        client = project.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
        clients.append(client)
        wait_until(lambda: (project.root / "held").exists(), f"the guest waits in {step}")
        return client

    yield begin
    for client in clients:
        client.kill()
        client.communicate()


def strike(project, victim, client):
    """Kills it, and lets the guest go on if it still can."""
    supervisor = supervisors(project)[0]
    machine = int(subprocess.run(["pgrep", "-P", str(supervisor), "-f", "link-fd"],
                                 capture_output=True, check=True).stdout)
    pid = {"client": client.pid, "supervisor": supervisor, "machine": machine}[victim]
    os.kill(pid, signal.SIGKILL)
    if victim != "machine":
        (project.root / "go").touch()
    _, errors = client.communicate(timeout=60)
    (project.root / "go").touch()
    lines = errors.decode().splitlines()
    assert all(line.startswith("dxvm: ") for line in lines), errors
    return client.returncode, lines[-1] if lines else ""


LOST = "dxvm: the connection to the VM was lost: "
MORE = "; `dxvm logs` may tell more"
KILLED = "the agent was killed by signal 9 (Killed)"


@pytest.mark.parametrize("step", STARTING)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_in_each_step_of_a_start(project, held, victim, step):
    client = held(step, "exec", "say", "fine")
    status, words = strike(project, victim, client)
    if victim == "client":
        assert status == -signal.SIGKILL
    elif victim == "supervisor":
        assert (status, words) == (125, f"{LOST}its supervisor ended{MORE}")
    elif step == "session":
        # The end of the session may be heard before that of the connection.
        assert status == 125
        assert words in (f"{LOST}{KILLED}{MORE}", f"dxvm: {KILLED}{MORE}")
    else:
        assert (status, words) == (125, f"dxvm: {KILLED}")
    check_next(project, ["exec", "say", "fine"])
    check_nothing_left(project)


@pytest.mark.parametrize("step", STOPPING)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_in_each_step_of_a_stop(project, held, victim, step):
    client = held(step, "stop")
    status, words = strike(project, victim, client)
    if victim == "client":
        assert status == -signal.SIGKILL
    elif victim == "supervisor":
        assert (status, words) == (125, f"{LOST}its supervisor ended{MORE}")
    else:
        assert status == 0  # it is off, which is what was asked for
    check_next(project, ["exec", "say", "fine"])
    check_nothing_left(project)
