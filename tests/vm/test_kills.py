"""kill -9 of what makes up a real VM, from outside and from inside: who was there is told, and the next
command works. The steps of a start and a stop are in tests/e2e/test_kills.py."""
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pexpect
import pytest

from projects import alive, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from dxvm_peer import Peer, session  # noqa: E402


def qemu_of(project):
    """The machine of a VM that may not have answered anybody yet."""
    words = (project.data / "lock").read_text().split() if (project.data / "lock").exists() else []
    found = subprocess.run(["pgrep", "-P", words[1], "qemu-system"], capture_output=True,
                           check=False).stdout.split() if len(words) > 1 else []
    return (int(words[1]), int(found[0])) if found else None


def check_next(project, before):
    for pid in before:
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone")
    done = project.run("-q", "exec", "echo", "fine", timeout=240)
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr


@pytest.mark.parametrize("victim,words,when", [
    ("machine", b"QEMU was killed by signal 9 (Killed)", "while it boots"),
    ("machine", b"QEMU was killed by signal 9 (Killed)", "at rest"),
    ("supervisor", b"its supervisor ended; `dxvm logs` may tell more\n", "at rest"),
])
def test_a_kill_from_outside(tiny, victim, words, when):
    if when == "at rest":
        tiny.run("start", timeout=240)
        client = tiny.popen("exec", "sh", "-c", "echo here; exec sleep 600", stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert client.stdout.readline() == b"here\n"
    else:
        tiny.run("stop")
        client = tiny.popen("exec", "true", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    supervisor, machine = wait_until(lambda: qemu_of(tiny), "there is a machine")
    os.kill({"supervisor": supervisor, "machine": machine}[victim], signal.SIGKILL)
    _, errors = client.communicate(timeout=60)
    assert client.returncode == 125
    lines = errors.splitlines()
    assert all(line.startswith(b"dxvm: ") for line in lines) and words in errors, errors
    check_next(tiny, (supervisor, machine))


def test_a_kernel_that_panics_is_told_with_its_own_words(tiny):
    """The agent is PID 1: nobody in the guest can kill it; this is what it would come to."""
    tiny.run("start", timeout=240)
    before = tiny.processes()
    client = tiny.popen("exec", "sleep", "600", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: tiny.status()["sessions"] == "1", "it is there")
    control = socket.socket(socket.AF_UNIX)
    control.connect((tiny.data / "lock").read_text().partition("socket ")[2].strip())
    peer = Peer(control)
    peer.handshake()
    peer.open(session(["sh", "-c", "echo c >/proc/sysrq-trigger"], user="root"))
    _, errors = client.communicate(timeout=60)
    control.close()
    assert client.returncode == 125, errors
    assert b"the guest's kernel failed: " in errors and b"sysrq triggered crash" in errors, errors
    check_next(tiny, before)


def test_a_kill_of_all_that_runs_in_the_guest(tiny):
    """PID 1 is spared by the kernel, and goes on to serve."""
    tiny.run("start", timeout=240)
    before = tiny.processes()
    client = tiny.popen("exec", "sleep", "600", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: tiny.status()["sessions"] == "1", "it is there")
    tiny.run("exec", "sh", "-c", "kill -9 1; kill -9 -1")
    assert client.wait(60) == 128 + signal.SIGKILL
    client.stderr.close()
    assert tiny.processes() == before
    check_next(tiny, ())


def test_a_shell_outlives_the_death_of_its_client(tiny):
    tiny.run("start", timeout=240)
    shell = tiny.terminal("shell", "--new")
    shell.expect("[$#] ")
    shell.sendline("kept=$((6 * 7)); echo pid $$.")
    shell.expect(r"pid (\d+)\.")
    pid = shell.match.group(1)
    os.kill(shell.pid, signal.SIGKILL)
    shell.expect(pexpect.EOF)
    wait_until(lambda: tiny.run("sessions").stdout.count(b"detached") == 1, "it is detached")
    back = tiny.terminal()
    back.expect_exact("dxvm: back in shell")
    back.sendline("echo it is $$ with $kept.")
    back.expect_exact(f"it is {pid} with 42.")
    back.sendline("exit")
    back.expect(pexpect.EOF)
