"""Sessions on a terminal, and the terminal afterwards."""
import os
import pathlib
import signal
import subprocess
import termios
import time

import pexpect
import pytest

from projects import alive, wait_until


def settings(child):
    """The terminal's own settings, from its other side."""
    return termios.tcgetattr(child.child_fd)


def shell(project, **more):
    """A shell at its prompt; the prompt is one that no echo can be taken for."""
    child = project.terminal("exec", "sh", **more)
    child.expect("[$#] ")
    child.sendline("PS1='<''ready> '")
    child.expect_exact("<ready> ")
    return child


def say(child, command):
    """Runs a command in the shell and returns its output."""
    child.sendline(command)
    child.expect_exact("<ready> ")
    return child.before.partition("\r\n")[2].replace("\r\n", "\n").strip()


def test_the_size_is_right_from_the_start_and_after_a_resize(project):
    child = shell(project, rows=33, columns=111)
    assert say(child, "stty size") == "33 111"
    child.setwinsize(44, 122)
    wait_until(lambda: say(child, "stty size") == "44 122", "the new size", 10)
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_two_terminals_of_different_size(project):
    one, two = shell(project, rows=20, columns=70), shell(project, rows=50, columns=150)
    assert say(one, "stty size") == "20 70"
    assert say(two, "stty size") == "50 150"
    assert say(one, "tty") != say(two, "tty")
    for child in (one, two):
        child.sendline("exit")
        child.expect(pexpect.EOF)


def test_control_c_interrupts_the_command_not_dxvm(project):
    child = shell(project)
    child.sendline("sleep 300 || echo gone-$?")
    child.expect_exact("\r\n")
    wait_until(lambda: subprocess.run(["pgrep", "-f", "^sleep 300$"], stdout=subprocess.DEVNULL,
                                      check=False).returncode == 0, "sleep runs")
    child.sendintr()
    child.expect_exact("<ready> ")
    assert say(child, "echo still here") == "still here"
    child.sendline("exit 7")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 7


def test_control_backslash_quits_the_command_with_its_status(project):
    child = shell(project)
    child.sendline("trap : QUIT; sleep 301; echo quit-$?")
    wait_until(lambda: subprocess.run(["pgrep", "-f", "^sleep 301$"], stdout=subprocess.DEVNULL,
                                      check=False).returncode == 0, "sleep runs")
    child.send("\x1c")
    child.expect_exact("quit-131")
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_control_z_stops_the_command_and_fg_goes_on(project):
    child = project.terminal("exec", "bash", "--norc", "-i")
    child.expect("[$#] ")
    child.sendline("PS1='<''ready> '")
    child.expect_exact("<ready> ")
    child.sendline("sh -c 'echo r''eady; exec cat'")
    child.expect_exact("ready\r\n")
    child.sendline("one line")
    child.expect_exact("one line\r\none line\r\n")
    child.send("\x1a")
    child.expect_exact("Stopped")
    child.expect_exact("<ready> ")
    child.sendline("fg")
    child.expect_exact("exec cat'\r\n")
    child.sendline("another")
    child.expect_exact("another\r\nanother\r\n")
    child.sendeof()
    child.expect_exact("<ready> ")
    child.sendline("exit 9")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 9


def test_tilde_dot_leaves_a_guest_that_answers_nothing(project):
    child = shell(project)
    machine = project.processes()[1]
    os.kill(machine, signal.SIGSTOP)
    try:
        child.send("\rtyped into the void\r~.")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
        blocked = project.terminal("exec", "true")
        wait_until(lambda: not settings(blocked)[3] & termios.ICANON, "the terminal is raw")
        blocked.send("~.")
        blocked.expect(pexpect.EOF)
    finally:
        os.kill(machine, signal.SIGCONT)
    assert project.run("exec", "echo", "well").stdout == b"well\n"


def test_sigterm_ends_a_client_whose_terminal_takes_nothing(project):
    child = project.terminal("exec", "sh", "-c", "yes 0123456789")
    child.expect_exact("0123456789")
    # Nobody reads the terminal any more: it fills up, and the client hangs in its output.
    seen = []

    def stands_still():
        with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
            seen.append([line for line in status if "ctxt_switches" in line])
        return len(seen) > 10 and seen[-1] == seen[-10]

    wait_until(stands_still, "the client stands still")
    os.kill(child.pid, signal.SIGTERM)
    os.kill(child.pid, signal.SIGTERM)
    child.expect(pexpect.EOF)
    child.wait()
    assert child.signalstatus == signal.SIGTERM


def test_a_client_that_is_stopped_gives_the_terminal_back_and_takes_it_again(project):
    script = (r"stty -echo; printf '\033[?1049hup\n'; trap 'echo drawn' WINCH; "
              "while :; do read line && echo got $line; done")
    child = project.terminal("-q", "exec", "sh", "-c", script)
    child.expect_exact("up")
    before = termios.tcgetattr(child.child_fd)
    # Of a process group that nobody waits for a stop does nothing: it has a shell above it here.
    os.kill(child.pid, signal.SIGTSTP)
    child.expect_exact("\x1b[?1049l")
    os.kill(child.pid, signal.SIGCONT)
    child.expect_exact("\x1b[?1049h")
    child.expect_exact("drawn")
    wait_until(lambda: termios.tcgetattr(child.child_fd) == before, "the terminal is raw again")
    child.sendline("text")
    child.expect_exact("got text")
    child.close()


@pytest.mark.parametrize("how", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_stopped_client_in_the_background_can_be_ended(project, how):
    shell = pexpect.spawn("bash", ["--norc", "-i"], cwd=str(project.root), env=project.environment,
                          timeout=30, encoding="utf-8", codec_errors="replace")
    shell.sendline(f"'{project.dxvm}' -q exec sh -c 'echo up-$((1 + 1)); exec sleep 1000'")
    shell.expect_exact("up-2")
    client = int(pathlib.Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()[0])
    os.kill(client, how)
    shell.expect_exact("Stopped")
    shell.sendline("kill %1")
    wait_until(lambda: not alive(client), "it has ended")
    shell.close()


def test_control_d_ends_the_shell(project):
    child = shell(project)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


def test_tilde_dot_leaves_and_tilde_question_helps(project):
    child = shell(project)
    before = settings(child)
    child.send("\r~?")
    child.expect_exact("~.  detach")
    child.send("\r~.")
    child.expect(pexpect.EOF)
    assert before is not None


FULL_SCREEN = r"printf '\033[?1049h\033[?2004h\033[?1000h\033[?25l'; echo dra''wn; sleep 300"
UNDONE = ["\x1b[?1049l", "\x1b[?1000l", "\x1b[?2004l", "\x1b[?25h"]


class OuterShell:
    """dxvm started by a shell on a terminal, so that the terminal can be looked at afterwards."""

    def __init__(self, project):
        self.child = pexpect.spawn("/bin/sh", cwd=str(project.root), encoding="utf-8", timeout=60,
                                   env={**project.environment, "PS1": "outer> "})
        self.child.delaybeforesend = None
        self.child.expect_exact("outer> ")
        self.stty = self.run("stty -g")

    def run(self, command):
        self.child.sendline(command)
        self.child.expect_exact("outer> ")
        return self.child.before.partition("\r\n")[2].strip()


def full_screen(project):
    """dxvm with a full-screen program in it, on a terminal of an outer shell."""
    outer = OuterShell(project)
    outer.child.sendline(f'"{project.dxvm}" exec sh -c "{FULL_SCREEN}"; echo status-$?')
    outer.child.expect_exact("drawn")
    pid = wait_until(lambda: subprocess.run(["pgrep", "-f", f"^{project.dxvm} exec sh"],
                                            capture_output=True, check=False).stdout.split(),
                     "the client's pid")
    return outer, int(pid[0])


@pytest.mark.parametrize("how", ["term", "hup", "supervisor", "machine"])
def test_the_terminal_is_as_it_was_after(project, how):
    outer, client = full_screen(project)
    supervisor, machine = project.processes()[:2]
    victim = {"term": client, "hup": client, "supervisor": supervisor, "machine": machine}[how]
    os.kill(victim, {"term": signal.SIGTERM, "hup": signal.SIGHUP}.get(how, signal.SIGKILL))
    outer.child.expect(r"status-(\d+)")
    text = outer.child.before
    assert outer.child.match[1] == {"term": "143", "hup": "129"}.get(how, "125"), text
    for sequence in UNDONE:
        assert sequence in text
    outer.child.expect_exact("outer> ")
    assert outer.run("stty -g") == outer.stty
    if how in ("supervisor", "machine"):
        assert "dxvm: the" in text


def test_a_normal_exit_leaves_the_terminal_alone(project):
    outer = OuterShell(project)
    output = outer.run(f'"{project.dxvm}" exec sh -c "echo hello; exit 3"; echo status-$?')
    assert "hello" in output and "status-3" in output
    assert "\x1b" not in output.partition("hello")[2]
    assert outer.run("stty -g") == outer.stty
