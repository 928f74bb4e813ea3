"""The project's environment through dxvm, with this host's shell as the guest."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
from multiprocessing.pool import ThreadPool

import pexpect
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


def wait_for_cat(child):
    """A child of the shell's that is not yet another program loses the signal."""
    child.expect_exact("up")
    child.sendline("typed")
    for _ in ("the terminal's echo", "cat"):
        child.expect_exact("typed\r\n")


def test_ctrl_c_reaches_what_runs_and_is_its_end(environment):
    child = environment.terminal("run", "--", "trap 'echo caught; exit 7' INT; echo up; cat", timeout=30)
    wait_for_cat(child)
    child.sendintr()
    child.expect_exact("caught")
    child.wait()
    assert child.exitstatus == 7
    child = environment.terminal("run", "--", "echo up; exec cat", timeout=30)
    wait_for_cat(child)
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
    child.sendline("command ls -C /proc/$$/fd") # none is left of how the shell was started
    child.expect(r"[\r\n]0\s+1\s+2\s+255\r\n")
    child.sendline("dxvm-devbox shell")
    child.expect_exact("You are already in an active devbox shell.")
    child.sendline("exit 42")
    child.wait()
    assert child.exitstatus == 42
    assert not list(environment.root.parent.glob("dxvm-??????"))


def test_a_start_up_file_that_cannot_be_made_is_said(environment):
    child = environment.terminal("exec", "env", "SHELL=/bin/sh", "TMPDIR=/nowhere", "dxvm-devbox", "enter",
                                 "shell", timeout=30)
    child.expect_exact("make a directory for the shell's start-up file: No such file or directory")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 1


def start_up_files(project):
    """What shells of this project have left of their start-up files."""
    left = []
    for path in pathlib.Path("/tmp").glob("dxvm-??????/shellrc"):
        try:
            left += [path] if str(project.root) in path.read_text() else []
        except FileNotFoundError:
            pass  # somebody else's, and gone
    return left


def test_commands_from_a_pipe_have_the_environment_and_leave_nothing(environment):
    done = environment.run("-q", "-e", "X=1", input=b"echo $GREETING $X\n")
    assert out(done) == f"Hello from {environment.root} 1\n"
    out(environment.run("-q", input=b"exit 0\n"))
    assert not start_up_files(environment)


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
    assert done.returncode == 1
    assert b"dxvm: --env-file: read missing.env: No such file or directory\n" in done.stderr


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


def use_shell(environment, shell):
    """Makes it the user's."""
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"{shell} is not installed: `tools/install-deps test` does")
    environment.environment["SHELL"] = program


@pytest.mark.parametrize("shell", SHELLS)
def test_the_users_own_shell_and_start_up_file(environment, shell):
    """First the user's file, then the project's variables, then the hook, in that very shell."""
    use_shell(environment, shell)
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


@pytest.mark.parametrize("shell", SHELLS)
def test_refresh_takes_over_what_the_file_says_now(environment, shell):
    """From any directory, and with any PATH."""
    use_shell(environment, shell)
    value = "`b\\`'\""
    (environment.root / "devbox.json").write_text(json.dumps({"env": {"GREETING": "Hello"}}))
    child = environment.terminal("shell", columns=200)
    child.expect_exact("(devbox)")
    (environment.root / "devbox.json").write_text(json.dumps({"env": {"GREETING": value}}))
    child.sendline("cd /; PATH=/usr/bin:/bin")
    child.sendline("refresh")
    child.sendline("printf 'it is <%s>\\n' \"$GREETING\"; exit 9")
    child.expect_exact(f"it is <{value}>")
    child.wait()
    assert child.exitstatus == 9


@pytest.mark.parametrize("where", [None, ".config/zsh"])
def test_zsh_is_left_with_the_directory_of_the_users_files(environment, where):
    """Also when .zshenv is what names it, as many have it."""
    use_shell(environment, "zsh")
    home = environment.root.parent
    own = home / where if where else home
    own.mkdir(parents=True, exist_ok=True)
    (home / ".zshenv").write_text(f"ENVS=$((ENVS + 1))\n" + (f"ZDOTDIR={own}\n" if where else ""))
    (own / ".zshrc").write_text("OWN=$((OWN + 1)); PS1='own> '; unsetopt zle\n")
    child = environment.terminal()
    child.expect_exact("(devbox) own>")
    child.sendline("echo RC=$OWN ENV=$ENVS DIR=${ZDOTDIR-none} HOOKED=$HOOKED; zsh -c 'echo IN=$ENVS'; exit")
    child.expect_exact(f"RC=1 ENV=1 DIR={own if where else 'none'} HOOKED=yes")
    child.expect_exact("IN=1")
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


@pytest.mark.parametrize("names, calls", [(["a"], [1]), (["a", "b"], [2, 1, 1])])
def test_packages_are_tried_together_and_then_each_alone(environment, names, calls):
    """How many are asked for at a time, by a Nix that can install none."""
    tools = environment.root.parent / "tools"
    tools.mkdir()
    (tools / "nix-store").write_text('#!/bin/sh\necho "$*" >>"$HOME/calls"; exit 1\n')
    (tools / "nix-store").chmod(0o755)
    environment.environment["PATH"] = f"{tools}:{environment.environment['PATH']}"
    system = os.uname().machine + "-linux"
    (environment.root / "devbox.json").write_text(json.dumps({"packages": [f"{n}@1" for n in names]}))
    (environment.root / "devbox.lock").write_text(json.dumps({"packages": {
        f"{n}@1": {"systems": {system: {"store_path": f"/nix/store/{n * 32}-no"}}} for n in names}}))
    done = environment.run("run", "true")
    assert done.returncode == 0
    assert [line for line in done.stderr.decode().splitlines() if "installed" in line] == \
        [f"dxvm: {n}@1: could not be installed" for n in names]
    asked = (environment.root.parent / "calls").read_text().splitlines()
    assert [line.count("/nix/store/") for line in asked] == calls


DEVBOX = """#!/bin/sh
echo "$*" >>"$HOME/calls"
if [ "$1" = install ]; then
    echo "Ensuring packages are installed." >&2
    [ -e "$HOME/offline" ] || exit 0
    printf 'Info: trying\\nError: nix: command error: nix --option x y path:/z: no such host: exit code 1\\n\\n' >&2
    exit 1
fi
printf "<%s>" "$@"; echo " $SHELL"; exit 9
"""


@pytest.fixture
def genuine(environment):
    """The same with a devbox in the guest that tells what it is asked, and is online or not."""
    tools = environment.root.parent / "tools"
    tools.mkdir()
    for name, text in (("devbox", DEVBOX), ("nix", "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment.environment["PATH"] = f"{tools}:{environment.environment['PATH']}"
    return environment


def installs(project):
    """How often devbox has been asked to install since the last time."""
    path = project.root.parent / "calls"
    calls = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    assert set(call for call in calls if call.startswith("install")) <= \
        {f"install --config {project.root}"}
    return sum(call.startswith("install") for call in calls)


def test_devbox_itself_is_preferred(genuine):
    done = genuine.run("run", "-e", "A=1", "where", "a b")
    assert (done.returncode, done.stdout) == (9, b"<run><--env><A=1><--><where><a b> /bin/bash\n")
    assert genuine.run("services", "up", "-b").stdout == b"<services><up><-b> /bin/bash\n"
    assert genuine.run("shell", "--pure").stdout == b"<shell><--pure> /bin/bash\n"
    assert genuine.run("shell", "--print-env").stdout == b"<shell><--print-env> /bin/bash\n"


def test_devbox_installs_once_for_what_the_files_say_and_then_for_nothing(genuine):
    for _ in range(2):
        assert genuine.run("run", "where").returncode == 9
        assert genuine.run("-q", input=b"").returncode == 9
    assert installs(genuine) == 1
    (genuine.root / "devbox.lock").write_text("{}")
    for _ in range(2):
        genuine.run("run", "where")
    assert installs(genuine) == 1
    genuine.run("run", "-l")
    genuine.run("services", "ls")
    assert installs(genuine) == 0


def test_a_devbox_that_cannot_work_is_said_in_a_line_and_gone_without(genuine):
    offline = genuine.root.parent / "offline"
    offline.touch()
    why = "dxvm: devbox cannot make this environment (no such host); going on without it"
    first = genuine.run("run", "where")
    assert first.stdout.decode() == f"hooked in {genuine.root}\n{genuine.root}\n"
    assert first.stderr.decode().splitlines().count(why) == 1
    # It is not asked at each shell, but said at each; before scripts it is no news any more.
    again = genuine.run("run", "where")
    assert (again.returncode, again.stderr) == (0, b"")
    shell = genuine.run(input=b"echo $GREETING\n")
    assert shell.stdout.decode() == f"Hello from {genuine.root}\n"
    assert shell.stderr.decode().splitlines() == [why]
    assert installs(genuine) == 1
    # Other files are another try, and so is a later time.
    (genuine.root / "devbox.lock").write_text("{}")
    assert why in genuine.run("run", "where").stderr.decode()
    assert installs(genuine) == 1
    stamp = genuine.root / ".devbox" / "gen" / "dxvm-devbox"
    os.utime(stamp, (0, stamp.stat().st_mtime - 601))
    offline.unlink()
    assert genuine.run("run", "where").returncode == 9
    assert installs(genuine) == 1


def test_devbox_is_not_asked_where_there_is_no_project_or_no_nix(genuine):
    (genuine.root.parent / "tools" / "nix").unlink()
    genuine.environment["PATH"] = f"{genuine.root.parent / 'tools'}:{BUILD / 'src' / 'devbox'}"
    for name in ("sh", "cat", "bash"):
        (genuine.root.parent / "tools" / name).symlink_to(f"/bin/{name}")
    done = genuine.run("run", "where")
    assert done.returncode == 0
    assert b"devbox needs nix, which this guest does not have; going on without it" in done.stderr
    (genuine.root.parent / "tools" / "nix").symlink_to("/bin/true")
    assert genuine.run("run", "where").returncode == 9
    plain = subprocess.run([BUILD / "src" / "devbox" / "dxvm-devbox", "enter", "shell"],
                           cwd=genuine.root.parent, env=genuine.environment, input=b"echo $0\n",
                           capture_output=True, check=True)
    assert plain.stderr.startswith(b"dxvm: no devbox.json here: a plain shell\n")
    assert plain.stdout == b"-bash\n"


def test_without_a_devbox_json_the_shell_is_a_plain_one_and_each_says_so_once(environment):
    plain = environment.root.parent / "plain"
    plain.mkdir()
    assert environment.run("install", "--guest", "fake", cwd=plain).returncode == 0
    try:
        for _ in range(2):
            done = environment.run(cwd=plain, input=b"echo $0 $DEVBOX_PROJECT_ROOT\n")
            assert (done.returncode, done.stdout) == (0, b"-bash\n"), done.stderr
            assert done.stderr.decode().count("dxvm: no devbox.json here: a plain shell\n") == 1
        for words in (("run", "x"), ("services", "ls"), ("shell", "--print-env")):
            done = environment.run(*words, cwd=plain)
            assert done.returncode == 1 and b"no devbox.json found" in done.stderr, words
    finally:
        environment.run("stop", cwd=plain)


def test_services_say_that_they_need_devbox(environment):
    done = environment.run("services", "ls")
    assert done.returncode == 1 and b"services need devbox itself" in done.stderr


def test_a_guest_without_dxvm_devbox_opens_a_plain_shell(project):
    done = project.run(input=b"echo plain $DEVBOX_SHELL_ENABLED\n")
    assert done.returncode == 0
    assert b"plain\n" in done.stdout
    assert b"this guest has no dxvm-devbox" in done.stderr
