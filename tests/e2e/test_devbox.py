"""The project's environment through dxvm, with this host's shell as the guest."""
import json
import pathlib
import shutil
import signal
import subprocess
from multiprocessing.pool import ThreadPool

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


def test_all_256_exit_statuses_are_the_scripts_own(environment):
    environment.run("start")
    with ThreadPool(4) as pool:
        got = pool.map(lambda n: environment.run("run", "status", str(n)).returncode, range(256))
    assert got == list(range(256))


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "ABRT", "KILL", "SEGV", "PIPE", "ALRM", "TERM",
                                  "USR1", "RTMIN"])
def test_death_by_signal_is_128_and_the_number(environment, name):
    number = signal.Signals[f"SIG{name}"]
    assert environment.run("run", "--", f"kill -{int(number)} $$").returncode == 128 + number


def test_ctrl_c_reaches_what_runs_and_is_its_end(environment):
    child = environment.terminal("run", "--", "trap 'echo caught; exit 7' INT; echo up; cat", timeout=30)
    child.expect_exact("up")
    child.sendintr()
    child.expect_exact("caught")
    child.wait()
    assert child.exitstatus == 7
    child = environment.terminal("run", "--", "echo up; exec cat", timeout=30)
    child.expect_exact("up")
    child.sendintr()
    child.wait()
    assert child.exitstatus == 128 + signal.SIGINT


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
    CONFIG_HOOK = {"shell": {"init_hook": "echo 'name? '; read NAME; export NAME; false"}}
    (environment.root / "devbox.json").write_text(json.dumps(CONFIG_HOOK))
    child = environment.terminal(timeout=30)
    child.expect_exact("name? ")
    child.sendline("some one")
    child.expect_exact("(devbox) ")
    child.sendline("echo \"<$NAME>\"; exit")
    child.expect_exact("<some one>")
    child.wait()


def test_a_hook_reads_before_a_script_too_and_one_that_fails_is_its_end(environment):
    config = {"shell": {"init_hook": "echo 'name? '; read NAME; export NAME; [ \"$NAME\" != bad ]",
                        "scripts": {"name": "echo \"<$NAME>\""}}}
    (environment.root / "devbox.json").write_text(json.dumps(config))
    child = environment.terminal("run", "name", timeout=30)
    child.expect_exact("name? ")
    child.sendline("some one")
    child.expect_exact("<some one>")
    child.wait()
    assert child.exitstatus == 0
    piped = environment.run("run", "name", input=b"bad\n")
    assert (piped.returncode, piped.stdout) == (1, b"name? \n")


def test_variables_given_on_the_command_line_and_in_a_file(environment):
    (environment.root / "given.env").write_text("# those\nFROM_FILE='a  b'\nBOTH=file\n")
    options = ("--env-file", "given.env", "-e", "BOTH=line", "--env", "TWO=x y=$z")
    show = 'printf "<%s>" "$FROM_FILE" "$BOTH" "$TWO" "$GREETING"'
    shown = f"<a  b><line><x y=$z><Hello from {environment.root}>"
    assert out(environment.run("run", *options, "--", show)).partition("\n")[2] == shown
    assert out(environment.run("-q", *options, input=show.encode())) == shown
    done = environment.run("run", "-e", "no-name", "where")
    assert done.returncode == 1 and b'-e wants NAME=VALUE, not "no-name"' in done.stderr
    done = environment.run("run", "--env-file", "missing.env", "where")
    assert done.returncode == 1 and b"missing.env" in done.stderr


def test_a_pure_environment_has_nothing_of_the_guests_but_three_variables(environment):
    show = "echo $DEVBOX_PURE_SHELL $GREETING; env | grep -c ^LANG="
    for done in (environment.run("run", "--pure", "--", show),
                 environment.run("-q", "shell", "--pure", input=show.encode())):
        assert done.stdout.decode().endswith(f"1 Hello from {environment.root}\n0\n")


# What a shell's own start-up file is, and how it sets a variable; dash has none unless a variable
# names it, which no session has.
SHELLS = {
    "bash": (".bashrc", "OWN=own; GREETING=overwritten; PS1='own> '\n"),
    "dash": (None, None),
    "ksh": (".kshrc", "OWN=own; GREETING=overwritten; PS1='own> '\n"),
    "zsh": (".zshrc", "OWN=own; GREETING=overwritten; PS1='own> '; unsetopt zle\n"),
    "fish": (".config/fish/config.fish", "set OWN own; set -x GREETING overwritten\n"
                                         "function fish_prompt; echo 'own> '; end\n"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_users_own_shell_and_start_up_file(environment, shell):
    """First the user's file, then the project's variables, then the hook, in that very shell."""
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"{shell} is not installed: `tools/install-deps test` does")
    environment.environment["SHELL"] = program
    home = environment.root.parent
    name, text = SHELLS[shell]
    if name:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    hook = ("set -gx HOOKED (status current-command)" if shell == "fish" else
            "export HOOKED=$(ps -o comm= -p $$)")
    config = {"env": {"GREETING": "Hello"}, "aliases": {"say": "echo said"},
              "shell": {"init_hook": ["echo \"hooked in $PWD\"", hook, "false"]}}
    (environment.root / "devbox.json").write_text(json.dumps(config))
    deep = environment.root / "below"
    deep.mkdir()
    child = environment.terminal(columns=200, cwd=deep)
    child.expect_exact(f"hooked in {environment.root}")
    child.expect_exact("(devbox)")
    if name:
        child.expect_exact("own>")
    child.sendline("echo OWN=$OWN=$GREETING=$HOOKED=; say \"in $PWD\"; exit 9")
    child.expect(rf"OWN={'own' if name else ''}=Hello={shell}\d*=")
    child.expect_exact(f"said in {deep}")
    child.wait()
    assert child.exitstatus == 9
    assert not list(home.glob("dxvm-??????"))


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
