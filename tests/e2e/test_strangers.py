"""Peers of other versions, guests that restart or lie, and what their texts may do to a terminal."""
import contextlib
import fcntl
import os
import pathlib
import socket
import threading
import time

import pexpect
import pytest

import dxvm_guest
from dxvm_peer import HELLO, Peer, hello
from projects import Project, wait_until

# Escape sequence, title, C1 control, carriage return, bidirectional override.
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J\rover\u202egnp"
ESCAPED = "\\x1b[31mred\\x1b]0;title\\x07 \\u009b2J\\rover\\u202egnp"
CONTROLS = [b"\x1b", b"\x07", b"\r", "\x9b".encode(), "\u202e".encode()]


def check_escaped(output, text=ESCAPED):
    assert text.encode() in output, output
    for control in CONTROLS:
        assert control not in output, output


@pytest.fixture
def guest(project, scratch):
    """Starts the project with a guest of dxvm_guest; returns what `dxvm start` said."""
    def start(**settings):
        dxvm_guest.install(project, scratch, **settings)
        return project.run("start")
    return start


@pytest.mark.parametrize("code,status", [(3, 127), (4, 126), (6, 125), (1, 125), (999, 125)])
def test_the_text_of_a_rejection_is_escaped(project, guest, code, status):
    assert guest().returncode == 0
    done = project.run("exec", "reject", str(code), HOSTILE)
    assert done.returncode == status
    check_escaped(done.stderr)


def test_the_text_of_a_refused_start_is_escaped_in_error_and_log(project, guest):
    done = guest(refuse=HOSTILE)
    assert done.returncode == 125
    assert b"the guest could not be set up: " in done.stderr
    check_escaped(done.stderr)
    check_escaped(project.run("logs").stdout)
    assert ESCAPED.encode() in (project.data / "log").read_bytes()


def test_the_name_of_a_guests_program_is_escaped(project, guest):
    assert guest(program="\x1b[2Jagent").returncode == 0
    check_escaped(project.run("logs").stdout, "\\x1b[2Jagent")


def test_what_a_session_prints_reaches_terminal_and_pipe_as_it_is(project):
    raw = HOSTILE.encode() + b"\x00\xff\xc0"
    (project.root / "raw").write_bytes(raw)
    done = project.run("-q", "exec", "sh", "-c", "cat raw; cat raw >&2")
    assert (done.stdout, done.stderr) == (raw, raw)
    child = pexpect.spawn(project.dxvm, ["exec", "cat", "raw"], cwd=str(project.root),
                          env=project.environment, timeout=60)
    child.expect(pexpect.EOF)
    assert raw in child.before


def test_a_hostile_project_name_is_escaped_everywhere(dxvm, scratch, clean_environment):
    project = Project(dxvm, scratch / ("n\x1b[31m" + "\x07\u202e"), clean_environment, "fake")
    name = "n\\x1b[31m\\x07\\u202e"
    try:
        assert project.run("start").returncode == 0
        for words in (["status"], ["ls"], ["logs"]):
            check_escaped(project.run(*words).stdout, name)
        for words in (["status", "--json"], ["ls", "--json"]):
            check_escaped(project.run(*words).stdout, name.replace("\\", "\\\\"))
        check_escaped(project.run("install", "--guest", "fake").stderr, name)
    finally:
        project.stop()
    check_escaped(project.run("stop").stderr, name)


@pytest.mark.parametrize("words", [["exec"], ["\x1b[31m"], ["status", "\x1b[31m"],
                                   ["--\x1b[31m"], ["completion", "\x1b[31m"],
                                   ["config", "\x1b[31m"], ["config", "mem=\x1b[31m"],
                                   ["--config", "/\x1b[31m", "status"],
                                   ["--datadir", "/proc/\x1b[31m", "start"]])
def test_errors_show_words_of_the_command_line_escaped(project, words):
    done = project.run(*words)
    assert done.returncode in (2, 125), done
    assert done.stderr.startswith(b"dxvm: ") and b"\x1b" not in done.stderr


def test_the_text_of_a_setting_is_escaped(project):
    (project.data / "cpu").write_bytes(HOSTILE.encode() + b"\n")
    done = project.run("start")
    assert done.returncode == 125
    check_escaped(done.stderr, "\\x1b[31mred")


def test_an_agent_that_is_restarted_inside_a_frame_is_taken_up_again(project, guest):
    assert guest().returncode == 0
    supervisor = project.processes()[0]
    done = project.run("exec", "restart")
    assert done.stdout == b"before\n" and done.returncode == 125
    assert b"ended the session without a status" in done.stderr
    for _ in range(3):
        wait_until(lambda: project.run("exec", "say", "again").stdout == b"again", "it runs again")
        assert project.processes()[0] == supervisor
        assert project.run("exec", "restart").stdout == b"before\n"


def test_a_stop_while_the_agent_restarts_presses_the_power_button(project, guest):
    assert guest(hold="reconfigure").returncode == 0
    assert project.run("exec", "restart").stdout == b"before\n"
    wait_until(lambda: (project.root / "held").exists(), "the new agent is being set up")
    done = project.run("stop")
    assert done.returncode == 0
    assert b"the guest's agent cannot be asked; pressing the power button" in done.stderr
    assert (project.root / "pressed").exists()


def test_one_client_more_than_there_is_room_for_is_told_so_at_once(project):
    assert project.run("start").returncode == 0
    path = next(path for path in pathlib.Path(project.environment["XDG_RUNTIME_DIR"]).rglob("*.sock"))
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(path))
            Peer(sock).handshake()
        for words in (["exec", "true"], ["stop"]):
            done = project.run(*words, timeout=20)
            assert (done.returncode, done.stderr) == (
                125, b"dxvm: the VM has no room for one more `dxvm`: 64 are connected to it; end one of them first\n")
        assert project.run("logs").stdout.count(b"sent a client away") == 2
    wait_until(lambda: project.run("exec", "true").returncode == 0, "there is room again")


def test_an_agent_that_breaks_the_protocol_ends_its_vm_with_a_reason(project, guest):
    assert guest().returncode == 0
    done = project.run("exec", "violate")
    assert done.returncode == 125 and b"\x1b" not in done.stderr
    wait_until(lambda: project.status()["state"] == "not running", "the VM is gone")
    assert b"\x1b" not in project.run("logs").stdout


def test_an_agent_of_a_newer_version_is_spoken_to_in_ours(project, guest):
    assert guest(versions=[1, 7]).returncode == 0
    assert project.run("exec", "say", "hello").stdout == b"hello"


@pytest.mark.parametrize("versions", [[2, 3], [0, 0]])
def test_an_agent_without_a_version_in_common_is_said_so(project, guest, versions):
    started = time.monotonic()
    done = guest(versions=versions, program="other 9.9")
    assert done.returncode == 125 and time.monotonic() - started < 20
    assert f"other 9.9 speaks {versions[0]} to {versions[1]}".encode() in done.stderr, done.stderr


class OtherSupervisor:
    """Holds the lock of a project and says HELLO; leaves when it is asked something, if so told."""

    def __init__(self, project, folder, greeting, leaves=False):
        self.path = folder / "other.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.lock = open(project.data / "lock", "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.lock.write(f"pid {os.getpid()}\nsocket {self.path}\n")
        self.lock.flush()
        self.connections = 0
        self.greeting = greeting
        self.leaves = leaves
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.sendall(self.greeting)
            peer = Peer(connection)
            try:
                while peer.read_frame()[0] == HELLO or not self.leaves:
                    pass
                self.__exit__()
                connection.close()
                return
            except Exception:  # whatever ends it
                connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.lock.close()


@pytest.mark.parametrize("versions", [(2, 3), (0, 0)])
def test_a_supervisor_of_another_dxvm_is_told_at_once_and_once(project, scratch, versions):
    greeting = hello(*versions, program="dxvm \x1b[31m9.9")
    with OtherSupervisor(project, scratch, greeting) as other:
        started = time.monotonic()
        done = project.run("exec", "true")
        assert time.monotonic() - started < 10 and other.connections == 1
        assert done.returncode == 125
        text = f"dxvm \\x1b[31m9.9 speaks {versions[0]} to {versions[1]}; update the older one"
        check_escaped(done.stderr, text)
        assert f"`kill {os.getpid()}` stops it".encode() in done.stderr


@pytest.mark.parametrize("command", ["status", "sessions"])
def test_a_vm_that_ends_while_it_is_asked_is_one_that_does_not_run(project, scratch, command):
    with OtherSupervisor(project, scratch, hello(), leaves=True) as other:
        done = project.run(command)
        assert other.connections == 1
        assert done.returncode == 0, done.stderr
        assert b"not running" in done.stdout + done.stderr
