"""The manual and the program's own help say the same."""
import pathlib
import re
import shutil
import subprocess

import pytest

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "man" / "dxvm.1.scd"


def section(name):
    """The text of one section of the manual."""
    match = re.search(rf"^# {name}\n(.*?)(?=^# |\Z)", MANUAL.read_text(), re.M | re.S)
    assert match, f"no section {name}"
    return match[1]


def said(dxvm, environment, *words):
    return subprocess.run([dxvm, *words], env=environment, capture_output=True, check=True,
                          text=True, stdin=subprocess.DEVNULL).stdout


def listed_commands(dxvm, environment):
    """Names in the list that `dxvm help` prints."""
    text = said(dxvm, environment, "help").split("Commands:\n", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^  (\S+)", text, re.M)


def options_in(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text))


def test_the_manual_has_the_commands_of_the_table_in_its_order(dxvm, clean_environment):
    described = re.findall(r"^\*([a-z-]+)\*", section("COMMANDS"), re.M)
    assert described == listed_commands(dxvm, clean_environment)


def test_the_manual_has_every_option_of_every_command(dxvm, clean_environment):
    general = options_in(section("OPTIONS"))
    assert general == options_in(
        said(dxvm, clean_environment, "help").split("Options:\n", 1)[1].split("\n\n", 1)[0])
    for command in listed_commands(dxvm, clean_environment):
        own = said(dxvm, clean_environment, "help", command).split("Options of every command:")[0]
        described = re.search(rf"^\*{command}\*.*?(?=^\*|\Z)", section("COMMANDS"), re.M | re.S)[0]
        assert options_in(own) == options_in(described), command


def test_help_names_no_command_twice(dxvm, clean_environment):
    names = listed_commands(dxvm, clean_environment)
    assert names == sorted(set(names))


def test_the_manual_names_the_files_that_a_vm_has(project):
    project.run("start")
    named = set(re.findall(r"_([a-z.]+)/?_", section("FILES")))
    there = {path.name for path in project.data.iterdir()}
    assert there <= named, f"not in the manual: {there - named}"


def completed(shell, dxvm, environment, *words):
    """What bash offers for the last of these words."""
    script = ('eval "$("$0" completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_dxvm; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run([shell, "--norc", "-c", script, dxvm, "dxvm", *words], env=environment,
                          capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_what_help_lists(dxvm, clean_environment):
    commands = listed_commands(dxvm, clean_environment)
    general = options_in(said(dxvm, clean_environment, "help").split("Options:\n", 1)[1])
    assert set(completed("bash", dxvm, clean_environment, "")) == {*commands, *general}
    assert completed("bash", dxvm, clean_environment, "comp") == ["completion"]
    for command in commands:
        own = options_in(said(dxvm, clean_environment, "help", command))
        offered = completed("bash", dxvm, clean_environment, command, "--")
        assert set(offered) == own | general, command
        assert len(offered) == len(set(offered)), command
        # Behind an option in front of the command's name as well.
        assert completed("bash", dxvm, clean_environment, "-q", command, "--") == offered


def test_zsh_and_fish_have_what_help_lists(dxvm, clean_environment):
    commands = listed_commands(dxvm, clean_environment)
    zsh = said(dxvm, clean_environment, "completion", "zsh")
    fish = said(dxvm, clean_environment, "completion", "fish")
    assert re.findall(r"^\t\t'([a-z-]+):", zsh, re.M) == commands
    assert re.findall(r"__fish_use_subcommand -a (\S+)", fish) == commands
    for command in commands:
        own = options_in(said(dxvm, clean_environment, "help", command))
        assert options_in(re.search(rf"^\t{command}\).*$", zsh, re.M)[0]) == own, command
        options = re.findall(rf"__fish_seen_subcommand_from {command}' -l (\S+)", fish)
        general = re.findall(r"^complete -c dxvm  -l (\S+)", fish, re.M)
        assert {f"--{name}" for name in options + general} == own, command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_its_completions(dxvm, clean_environment, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is missing (apt-get install {shell})")
    text = said(dxvm, clean_environment, "completion", shell)
    done = subprocess.run([shell, "-n"], input=text, env=clean_environment, capture_output=True,
                          check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
