"""Shells that are left in a VM, and come back: from another terminal, and after a suspend."""
import json
import os
import re
import signal

import pexpect
import pytest

from projects import wait_until


def prompt(child):
    child.expect("[$#] ")
    child.sendline("PS1='<''ready> '")
    child.expect_exact("<ready> ")
    return child


def at_prompt(child):
    """Past what was replayed, prompts and all."""
    child.sendline("echo sync-$((40 + 2))")
    child.expect_exact("sync-42")
    child.expect_exact("<ready> ")


def say(child, command):
    child.sendline(command)
    child.expect_exact("<ready> ")
    return child.before.partition("\r\n")[2].replace("\r\n", "\n").strip()


def end(child):
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.wait()


def states(project):
    done = project.run("sessions", "--json")
    assert done.returncode == 0, done.stderr
    return [one["state"] for one in json.loads(done.stdout)]


@pytest.fixture
def left(tiny):
    """A shell of the tiny guest at its prompt; what it knows and nobody else: $kept and its pid."""
    assert tiny.run("start", timeout=240).returncode == 0
    assert states(tiny) == []
    child = prompt(tiny.terminal("shell", "--new"))
    say(child, "kept=one-$((40 + 2)); me=$$")
    yield child
    for number in [one["id"] for one in json.loads(tiny.run("sessions", "--json").stdout)]:
        child = tiny.terminal("attach", str(number))
        at_prompt(child)
        end(child)


def is_the_same(child):
    at_prompt(child)
    assert "one-42" in say(child, 'echo "$kept"')
    assert "yes" in say(child, '[ "$me" = "$$" ] && echo y""es')


@pytest.mark.parametrize("how", ["left", "killed", "attached"])
def test_after_a_suspend_the_same_shell_is_there(tiny, left, how):
    if how == "left":
        left.send("\r~.")
        left.expect_exact("dxvm: detached")
    elif how == "killed":
        os.kill(left.pid, signal.SIGKILL)
    if how != "attached":
        left.expect(pexpect.EOF)
        wait_until(lambda: states(tiny) == ["detached"], "it is detached")
    done = tiny.run("suspend")
    assert done.returncode == 0, done.stderr
    if how == "attached":
        left.expect(pexpect.EOF)
        left.wait()
        assert left.exitstatus == 125
    back = tiny.terminal()
    back.expect(r"dxvm: resumed in")
    back.expect(r"dxvm: back in shell \d+, opened \d+ s ago")
    is_the_same(back)
    end(back)
    assert states(tiny) == []


def test_files_that_changed_while_it_was_suspended_are_told(tiny, left):
    left.send("\r~.")
    left.expect_exact("dxvm: detached")
    wait_until(lambda: states(tiny) == ["detached"], "it is detached")
    assert tiny.run("suspend").returncode == 0
    (tiny.root / "devbox.lock").write_text('{"lockfile_version": "1"}')
    back = tiny.terminal()
    back.expect(r"devbox.json or devbox.lock has changed since shell \d+ was opened; `refresh` in it")
    is_the_same(back)
    # The guest takes it away again: then nothing has changed.
    say(back, "rm devbox.lock")
    back.send("\r~.")
    back.expect_exact("dxvm: detached")
    wait_until(lambda: states(tiny) == ["detached"], "it is detached")
    back = tiny.terminal()
    back.sendline("echo again-$((40 + 2))")
    back.expect_exact("again-42")
    assert "has changed" not in back.before
    back.expect_exact("<ready> ")
    end(back)


def test_an_editor_is_drawn_anew_on_another_terminal(tiny, left):
    left.sendline("i=1; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done >/tmp/text; "
                  "vi /tmp/text")
    left.expect_exact("line 23")
    os.kill(left.pid, signal.SIGKILL)
    left.expect(pexpect.EOF)
    wait_until(lambda: states(tiny) == ["detached"], "it is detached")
    back = tiny.terminal(rows=50, columns=132)
    back.expect_exact("line 49")
    back.send(":q!\r")
    back.expect_exact("<ready> ")
    assert "50 132" in say(back, "stty size")
    is_the_same(back)
    end(back)


def test_output_goes_on_through_a_suspend(tiny, left):
    """Much of it, and nobody there: what came last is shown, in one piece."""
    left.sendline("i=0; while [ $i -le 1000 ] || [ ! -e /tmp/enough ]; do i=$((i+1)); echo n $i; done; "
                  "rm /tmp/enough; echo all''done")
    left.expect_exact("n 100\r\n")
    left.send("\r~.")
    left.expect_exact("dxvm: detached")
    left.expect(pexpect.EOF)
    assert tiny.run("suspend").returncode == 0
    assert tiny.run("exec", "touch", "/tmp/enough").returncode == 0
    back = tiny.terminal()
    back.expect_exact("back in shell")
    back.expect_exact("alldone")
    numbers = [int(number) for number in re.findall(r"^n (\d+)\r$", back.before, re.MULTILINE)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] > 1000
    is_the_same(back)
    end(back)
