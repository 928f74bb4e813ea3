"""What dxvm says when devbox.json or devbox.lock are no longer what running sessions began with."""
import os

import pytest

from projects import BUILD, wait_until
from test_attach import end, leave, prompt, shell, states
from test_terminal import say

CHANGED = "devbox.json or devbox.lock has changed since"


@pytest.fixture
def environment(project):
    """A project whose guest has dxvm-devbox in its PATH, as real guests have."""
    project.environment["PATH"] += f":{BUILD / 'src' / 'devbox'}"
    project.environment["SHELL"] = "/bin/bash"
    (project.root / "devbox.json").write_text('{"packages": [], "env": {"A": "one"}}')
    return project


def left(project):
    """A shell that was opened and left; it is at its prompt again when somebody comes back."""
    leave(shell(project), "tilde")
    wait_until(lambda: list(states(project).values()) == ["detached"], "the shell is detached")


def said(project, *words):
    """What `dxvm` says on its way back into the shell that was left; it is left again."""
    back = project.terminal(*words)
    back.sendline("echo sync-$((40 + 2))")
    back.expect_exact("sync-42")
    text = back.before
    back.expect_exact("<ready> ")
    leave(back, "tilde, quiet" if "-q" in words else "tilde")
    wait_until(lambda: list(states(project).values()) == ["detached"], "the shell is detached")
    return text


def touch(project, name, text):
    """A new file in the place of the old one, as editors and devbox make it."""
    (project.root / "new").write_text(text)
    os.replace(project.root / "new", project.root / name)


def test_coming_back_says_that_a_file_has_changed_and_only_then(environment):
    old = (environment.root / "devbox.json").read_text()
    left(environment)
    assert CHANGED not in said(environment)
    touch(environment, "devbox.json", old + "\n")
    assert f"{CHANGED} shell 1 was opened; `refresh` in it takes that over" in said(environment)
    assert CHANGED in said(environment, "attach")
    assert CHANGED in said(environment, "attach", "1")
    assert CHANGED not in said(environment, "-q")
    # The same bytes again: nothing has changed, whatever the file's time says.
    touch(environment, "devbox.json", old)
    assert CHANGED not in said(environment)


@pytest.mark.parametrize("change, expected", [
    (lambda path: path.write_text("{}"), True),
    (os.mkfifo, False),
    (lambda path: path.symlink_to("/etc/passwd"), False),
    (lambda path: path.mkdir(), False),
], ids=["file", "pipe", "link", "directory"])
def test_nothing_but_a_regular_file_is_read_as_the_lock(environment, change, expected):
    left(environment)
    change(environment.root / "devbox.lock")
    assert (CHANGED in said(environment)) == expected


def test_what_the_guest_changes_itself_is_said_as_well(environment):
    child = shell(environment)
    say(child, "echo '{\"packages\": []}' >devbox.json; sync-me() { :; }")
    leave(child, "tilde")
    wait_until(lambda: states(environment) == {1: "detached"}, "the shell is detached")
    assert CHANGED in said(environment)


def test_a_new_shell_says_what_runs_in_an_older_environment(environment):
    child = shell(environment)
    other = prompt(environment.terminal())
    touch(environment, "devbox.json", '{"env": {"A": "two"}}')
    third = environment.terminal()
    third.expect_exact(f"{CHANGED} 2 sessions were opened; they run in the environment from before")
    assert "two" in say(prompt(third), "echo $A")
    end(other)
    fourth = environment.terminal()
    fourth.expect_exact(f"{CHANGED} shell 1 was opened")
    end(prompt(fourth))
    end(third)
    end(child)


def test_a_command_that_runs_is_named(environment):
    child = environment.terminal("run", "--", "echo up; cat")
    child.expect_exact("up")
    touch(environment, "devbox.json", "{}")
    other = environment.terminal()
    other.expect(rf"{CHANGED} run .* 1 was opened; it runs in the environment from before")
    end(prompt(other))
    child.sendeof()
    child.wait()


def test_a_session_outside_of_the_environment_is_nobodys_business(environment):
    child = environment.terminal("exec", "sh", "-c", "echo up; cat")
    child.expect_exact("up")
    touch(environment, "devbox.json", "{}")
    other = environment.terminal()
    other.expect("[$#] ")
    assert CHANGED not in other.before
    end(other)
    child.sendeof()
    child.wait()


def test_no_program_has_the_descriptor_that_the_number_goes_through(environment):
    script = "ls -l /proc/self/fd | grep -c 'dxvm note'"
    for words in (("run", "--", script), ("exec", "sh", "-c", script)):
        assert environment.run(*words).stdout == b"0\n", words
    assert environment.run("-q", input=script.encode()).stdout == b"0\n"
