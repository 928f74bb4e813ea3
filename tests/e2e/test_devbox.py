"""The project's environment through dxvm, with this host's shell as the guest."""
import json
import pathlib
import subprocess

import pytest

from projects import BUILD

CONFIG = {
    "packages": [],
    "env": {"GREETING": "Hello from $PWD"},
    "shell": {
        "init_hook": ['echo "hooked in $(pwd)"', "export HOOKED=yes"],
        "scripts": {
            "show": "for word; do printf '<%s>' \"$word\"; done; echo \" $HOOKED\"",
            "where": "pwd",
            "status": "exit $1",
            "stops": ["false", "echo never"],
            "nested": "dxvm-devbox run where",
        },
    },
    "aliases": {"say": "echo said"},
}


@pytest.fixture
def environment(project):
    """A project whose guest has dxvm-devbox in its PATH, as real guests have."""
    project.environment["PATH"] += f":{BUILD / 'src' / 'devbox'}"
    project.environment["SHELL"] = "/bin/bash"
    (project.root / "devbox.json").write_text(json.dumps(CONFIG))
    return project


def out(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_a_script_runs_in_the_projects_directory_after_the_hook(environment):
    deep = environment.root / "a" / "b"
    deep.mkdir(parents=True)
    assert out(environment.run("run", "where", cwd=deep)) == \
        f"hooked in {environment.root}\n{environment.root}\n"


def test_arguments_reach_scripts_and_commands(environment):
    words = ["a  b", "", "it's", '"q"', "new\nline", "*", "back\\slash", "-l", "--", "é"]
    shown = "".join(f"<{word}>" for word in words) + " yes\n"
    assert out(environment.run("run", "show", *words)).partition("\n")[2] == shown
    printed = out(environment.run("run", "--", "printf", "<%s>", *words)).partition("\n")[2]
    assert printed == "".join(f"<{word}>" for word in words)


def test_a_dollar_in_an_argument_is_the_projects_shells(environment):
    printed = out(environment.run("run", "echo", "$HOOKED", "`echo x`", "\\$HOME"))
    assert printed.splitlines()[1] == f"yes x \\{environment.environment['HOME']}"


@pytest.mark.parametrize("status", [0, 1, 2, 77, 125, 126, 127, 128, 255])
def test_exit_status_is_the_scripts_own(environment, status):
    assert environment.run("run", "status", str(status)).returncode == status


def test_death_by_signal_is_128_and_the_number(environment):
    assert environment.run("run", "--", "kill -TERM $$").returncode == 128 + 15


def test_a_script_stops_at_its_first_failure(environment):
    done = environment.run("run", "stops")
    assert done.returncode == 1 and b"never" not in done.stdout


def test_the_hook_runs_once_also_when_a_script_runs_another(environment):
    assert out(environment.run("run", "nested")).count("hooked") == 1


def test_an_alias_is_a_command(environment):
    assert out(environment.run("run", "say", "so")).splitlines()[1] == "said so"


def test_scripts_are_listed(environment):
    listed = "Available scripts:\n* nested\n* show\n* status\n* stops\n* where\n"
    assert out(environment.run("run", "-l")) == listed
    assert out(environment.run("run")) == listed


def test_a_script_that_is_gone_from_the_file_is_a_command(environment):
    out(environment.run("run", "where"))
    (environment.root / "devbox.json").write_text('{"shell": {"scripts": {"new": "echo new"}}}')
    assert environment.run("run", "where").returncode == 127
    assert not (environment.root / ".devbox/gen/scripts/where.sh").exists()
    assert out(environment.run("run", "new")) == "new\n"


def test_the_prompt_is_inside_the_environment(environment):
    deep = environment.root / "below"
    deep.mkdir()
    child = environment.terminal(timeout=30)
    child.expect_exact(f"hooked in {environment.root}")
    child.expect_exact("(devbox) ")
    child.sendline("echo =$GREETING= $HOOKED; say alias; cd below; echo $DEVBOX_SHELL_ENABLED")
    child.expect_exact(f"=Hello from {environment.root}= yes")
    child.expect_exact("said alias")
    child.sendline("dxvm-devbox shell")
    child.expect_exact("You are already in an active devbox shell.")
    child.sendline("exit 42")
    child.wait()
    assert child.exitstatus == 42
    assert not list(environment.root.parent.glob("dxvm-??????"))


def test_commands_from_a_pipe_have_the_environment_and_leave_nothing(environment):
    done = environment.run("-q", "-e", "X=1", input=b"echo $GREETING $X\n")
    assert out(done) == f"Hello from {environment.root} 1\n"
    before = set(pathlib.Path("/tmp").glob("dxvm-??????"))
    out(environment.run("-q", input=b"exit 0\n"))
    assert set(pathlib.Path("/tmp").glob("dxvm-??????")) <= before


def test_a_hook_may_fail_and_may_read_from_the_terminal(environment):
    CONFIG_HOOK = {"shell": {"init_hook": "read -p 'name? ' NAME; export NAME; false"}}
    (environment.root / "devbox.json").write_text(json.dumps(CONFIG_HOOK))
    child = environment.terminal(timeout=30)
    child.expect_exact("name? ")
    child.sendline("some one")
    child.expect_exact("(devbox) ")
    child.sendline("echo \"<$NAME>\"; exit")
    child.expect_exact("<some one>")
    child.wait()


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_users_own_shell_and_start_up_file(environment, shell):
    environment.environment["SHELL"] = f"/bin/{shell}"
    rc = environment.root.parent / (".bashrc" if shell == "bash" else "own-rc")
    rc.write_text("OWN=own; GREETING=overwritten; PS1='own> '\n")
    words = () if shell == "bash" else ("-e", f"ENV={rc}")
    # The start-up file of dash is named by a variable, which is the session's.
    child = environment.terminal(*words, timeout=30)
    if shell == "bash":
        child.expect_exact("(devbox) own> ")
        child.sendline("echo $OWN $GREETING")
        child.expect_exact(f"own Hello from {environment.root}")
    else:
        child.expect_exact("(devbox) ")
        child.sendline("echo $GREETING")
        child.expect_exact(f"Hello from {environment.root}")
    child.sendline("exit")
    child.wait()


def test_the_environment_for_a_shell_to_read(environment):
    text = out(environment.run("shell", "--print-env", "-e", "X=a 'b' \"c\" $d `e`\\\nf"))
    done = subprocess.run(["sh", "-c", text + 'printf %s "$X"'], capture_output=True, check=True)
    assert done.stdout.decode() == "a 'b' \"c\" $d `e`\\\nf"


def test_nothing_of_the_hosts_environment_gets_in(environment):
    environment.environment.update(DEVBOX_SHELL_ENABLED="1", NIX_PATH="x", IN_NIX_SHELL="1",
                                   DEVBOX_PROJECT_ROOT="/elsewhere", SECRET="s")
    text = out(environment.run("shell", "--print-env"))
    assert "IN_NIX_SHELL" not in text and "elsewhere" not in text and "SECRET" not in text
    environment.stop()


def test_an_error_of_the_file_is_said_with_its_place_and_ends_with_1(environment):
    (environment.root / "devbox.json").write_text('{\n  "env": {"A": 1}\n}')
    done = environment.run("run", "x")
    assert done.returncode == 1
    assert b'dxvm: devbox.json:2:16: "A" in "env" must be a string, not a number' in done.stderr


def test_what_needs_devbox_is_said_before_a_script_only_when_it_is_news(environment):
    (environment.root / "devbox.json").write_text('{"packages": ["jq@1", "github:a/b#c"]}')
    first = environment.run("run", "true").stderr.decode()
    assert first.count("dxvm: jq@1: needs devbox") == 1
    assert first.count("dxvm: github:a/b#c: needs devbox") == 1
    assert "needs devbox" not in environment.run("run", "true").stderr.decode()
    assert "jq@1" in environment.run("shell", "--print-env").stderr.decode()


def test_devbox_itself_is_preferred(environment):
    tools = environment.root.parent / "tools"
    tools.mkdir()
    (tools / "devbox").write_text('#!/bin/sh\nprintf "<%s>" "$@"; echo; exit 9\n')
    (tools / "devbox").chmod(0o755)
    environment.environment["PATH"] += f":{tools}"
    done = environment.run("run", "-e", "A=1", "where", "a b")
    assert (done.returncode, done.stdout) == (9, b"<run><--env><A=1><--><where><a b>\n")
    assert environment.run("services", "up", "-b").stdout == b"<services><up><-b>\n"
    assert environment.run("shell", "--pure").stdout == b"<shell><--pure>\n"


def test_services_say_that_they_need_devbox(environment):
    done = environment.run("services", "ls")
    assert done.returncode == 1 and b"services need devbox itself" in done.stderr


def test_a_guest_without_dxvm_devbox_opens_a_plain_shell(project):
    done = project.run(input=b"echo plain $DEVBOX_SHELL_ENABLED\n")
    assert done.returncode == 0
    assert b"plain\n" in done.stdout
    assert b"this guest has no dxvm-devbox" in done.stderr
