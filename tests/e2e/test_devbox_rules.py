"""dxvm-devbox alone, against the same rules written a second time."""
import os
import random
import re
import subprocess

import pytest

import devbox_rules as rules
from projects import BUILD

PROGRAM = BUILD / "src" / "devbox" / "dxvm-devbox"


def call(*words, cwd, environment):
    return subprocess.run([PROGRAM, *words], cwd=cwd, env=environment, capture_output=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL)


def read_exports(output):
    """What a shell would make of the export lines."""
    found = re.findall(r'^export (\w+)="((?:[^"\\]|\\.)*)";\n', output.decode(), re.M | re.S)
    assert "".join(f'export {k}="{v}";\n' for k, v in found) == output.decode()
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.S) for name, value in found}


@pytest.fixture
def current(scratch):
    """An environment in whose PATH there is no nix, so that nothing is installed."""
    tools = scratch / "tools"
    tools.mkdir()
    return {"PATH": f"{tools}:relative:/usr/./sbin/::/sbin/:/usr/sbin", "HOME": "/home/some one",
            "TERM": "x", "SHELL": "/bin/sh", "SHLVL": "3", "OLDPWD": "/", "XDG_DATA_DIRS": "/a:/b/",
            "DEVBOX_SYSTEM_BASH": "/bin/bash", "DEVBOX_SYSTEM_SED": "/bin/sed", "NEW": "a\nb$c"}


def test_1000_projects_at_random_agree_with_the_rules(scratch, current):
    seed = int(os.environ.get("DXVM_TEST_SEED", "20"))
    project = scratch / "a project"
    deep = project / "below"
    deep.mkdir(parents=True)
    for number in range(1000):
        rng = random.Random(f"{seed}/{number}")
        config, lock, dotenv = rules.random_project(rng)
        written = rules.as_written(rng, config)
        (project / "devbox.json").write_text(written, newline="")
        (project / "devbox.lock").write_text(rules.as_written(rng, lock), newline="")
        if dotenv is not None:
            (project / "some.env").write_text(rules.dotenv_as_written(rng, dotenv))
        given = {"GIVEN": rules.text(rng)} if rng.random() < .3 else {}
        cwd = rng.choice([project, deep])
        done = call("shell", "--print-env", *[w for k, v in given.items() for w in ("-e", f"{k}={v}")],
                    cwd=cwd, environment=current)
        where = f"seed {seed}, number {number}: {written}"
        assert done.returncode == 0, (where, done.stderr)
        assert read_exports(done.stdout) == rules.environment(
            config, dotenv or {}, current, str(project), str(cwd), given=given), where
        listed = call("packages", cwd=cwd, environment=current).stdout.decode()
        got = {}
        for line in listed.splitlines():
            key, *rest = line.split("\t")
            got[key] = (None if rest[0].startswith("not for ") else
                        [word for word in rest if word.startswith("/nix/store/")])
        assert got == rules.package_lines(config, lock), where
        missing = [key for key, paths in got.items() if paths == []]
        said = done.stderr.decode().splitlines()
        assert all(sum(line.startswith(f"dxvm: {key}: ") for line in said) == 1 for key in missing), \
            where
        named = rules.with_plugins(config)
        assert [line for line in said if "plugins" in line] == (
            [f"dxvm: without devbox's plugins (variables, services) for {', '.join(named)}"]
            if named else []), where


@pytest.mark.parametrize("name, has", [
    ("python", True), ("python310", True), ("python3Full", True), ("python-minimal", True),
    ("python310Packages.pip", True), ("python310Packages.numpy", False), ("pythonix", False),
    ("php", True), ("php81", True), ("php81Packages.composer", False), ("redis", True), ("redis7", False),
    ("apache", True), ("apacheHttpd", True), ("nodejs", True), ("nodejs-slim_20", True),
    ("nodejs_20", True), ("jruby", True), ("ruby_3_2", True), ("ruby_", False), ("poetry", True),
    ("python3.poetry", True), ("poetry2nix", False), ("haskell.compiler.ghc94", True),
    ("postgresql_15", True), ("postgresql15", False), ("mysql80", True), ("mysql84", False),
    ("mariadb_1011", True), ("gradle_8", True), ("rustc", True), ("rustc-wasm", False),
])
def test_packages_with_a_plugin_are_named(scratch, current, name, has):
    (scratch / "devbox.json").write_text('{"packages": ["%s@1"]}' % name)
    said = call("shell", "--print-env", cwd=scratch, environment=current).stderr.decode()
    assert (f"plugins (variables, services) for {name}\n" in said) == has


def test_pure_keeps_three_variables_and_no_directory_of_the_hosts(scratch, current):
    (scratch / "devbox.json").write_text('{"env": {"A": "$NEW$HOME"}}')
    got = read_exports(call("shell", "--print-env", "--pure", cwd=scratch, environment=current).stdout)
    expected = rules.environment({"env": {"A": "$NEW$HOME"}}, {}, current, str(scratch),
                                 str(scratch), pure=True)
    own = {name: value for name, value in expected.items() if value is not None}
    assert {name: got[name] for name in own} == own
    assert "relative" not in got["PATH"] and "tools" not in got["PATH"]
    assert "NEW" not in got and "XDG_DATA_DIRS" not in got


@pytest.mark.parametrize("files, words", [
    ({"devbox.json": '{\n  "env": {"A": 1}\n}'}, 'devbox.json:2:16: "A" in "env" must be a string'),
    ({"devbox.json": '{"packages": {"a": [1]}}'}, 'devbox.json:1:20: the package "a" must be'),
    ({"devbox.json": '{"packages": 1}'}, 'devbox.json:1:14: "packages" must be a list or an object'),
    ({"devbox.json": '{\n\t"é": "x",\n\t"b" 2}'}, "devbox.json:3:6: expected ':' after the name"),
    ({"devbox.json": '{"a": "b'}, "devbox.json:1:7: this string has no end"),
    ({"devbox.json": '{"a": "\\x"}'}, "devbox.json:1:8: a backslash"),
    ({"devbox.json": "{} x"}, "devbox.json:1:4: expected nothing more, found 'x'"),
    ({"devbox.json": "/* {}"}, "devbox.json:1:1: this comment has no end"),
    ({"devbox.json": "[" * 100}, "devbox.json:1:66: nested deeper than 64 levels"),
    ({"devbox.json": '{"shell": {"scripts": {"a b": "x"}}}'}, "white space"),
    ({"devbox.json": '{"shell": {"scripts": {"a": " "}}}'}, 'the script "a" has nothing to run'),
    ({"devbox.json": '{"shell": {"scripts": {"../a": "x"}}}'}, "has a slash in it"),
    ({"devbox.json": '{"aliases": {"a": ""}}'}, 'the alias "a" has nothing to run'),
    ({"devbox.json": '{"nixpkgs": {"commit": "abc"}}'}, "nixpkgs.commit has 3 characters"),
    ({"devbox.json": '{"env_from": "x.env.local"}'}, "devbox.json:1:14: unknown env_from value"),
    ({"devbox.json": '{\n"env_from": "x.env"}'}, "devbox.json:2:13: env_from: read"),
    ({"devbox.json": '{"env_from": "x.env"}', "x.env": "A=1\n  B 2\n"},
     "x.env:2:3: this line has no '='"),
    ({"devbox.json": '{"env_from": "x.env"}', "x.env": 'A="1\n'}, "x.env:1:3: this quote has no end"),
    ({"devbox.json": '{"env_from": "x.env"}', "x.env": "1A=1\n"}, "x.env:1:1: a name starts with"),
    ({"devbox.json": '{"packages": ["a"]}', "devbox.lock": '{"packages": []}'},
     'devbox.lock:1:14: "packages" must be an object, not a list'),
    ({"devbox.json": '{"packages": ["a"]}', "devbox.lock": "<<<<<<< HEAD\n"},
     "devbox.lock:1:1: expected a value, found '<'"),
    ({"devbox.json": '{"packages": ["a"]}', "devbox.lock": '{"packages": {"a": {"systems": {"%s": '
      '{"outputs": [{"path": "/nix/store/../etc"}]}}}}}' % rules.SYSTEM},
     '"path" must be a path like /nix/store/HASH-NAME'),
])
def test_what_is_wrong_is_named_with_its_place(scratch, current, files, words):
    for name, content in files.items():
        (scratch / name).write_text(content)
    done = call("shell", "--print-env", cwd=scratch, environment=current)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize("line, value", [
    ("X=plain", "plain"), ("X=", ""), ("export X=a b  # c", "a b"), ("X='raw \\n $HOME'", "raw \\n /h"),
    ('X="a\\tb\\u00e9\\ud83d\\udc0e"', "a\tbé\U0001f40e"), ("X=a'b'\"c\"d", "abcd"), ("X=a#b", "a"),
    ("X = 'spaced '  ", "spaced "),
])
def test_a_line_of_env_from(scratch, current, line, value):
    (scratch / "devbox.json").write_text('{"env_from": ".env"}')
    (scratch / ".env").write_text(line)
    done = call("shell", "--print-env", cwd=scratch, environment={**current, "HOME": "/h"})
    assert read_exports(done.stdout)["X"] == value


def test_an_entry_with_nothing_new_writes_nothing(scratch, current):
    (scratch / "devbox.json").write_text('{"env": {"A": "$HOME"}, "shell": {"init_hook": "true"}}')

    def look():
        call("run", "true", cwd=scratch, environment=current)
        return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
                for path in (scratch / ".devbox").rglob("*")}
    assert look() == look()


def test_no_project_is_an_error_of_run_and_a_directory_is_no_file(scratch, current):
    (scratch / "devbox.json").mkdir()
    done = call("run", "x", cwd=scratch, environment=current)
    assert done.returncode == 1
    assert b"no devbox.json found" in done.stderr


def test_a_file_too_large_or_no_file_at_all_is_refused_at_once(scratch, current):
    (scratch / "devbox.json").write_text("[" + "1," * 3_000_000 + "]")
    done = call("shell", "--print-env", cwd=scratch, environment=current)
    assert done.returncode == 1 and b"larger than 4194304 bytes" in done.stderr
    (scratch / "devbox.json").write_text("[" + "1," * 1_000_000 + "]")
    done = call("shell", "--print-env", cwd=scratch, environment=current)
    assert done.returncode == 1 and b"more than 200000 values" in done.stderr
    (scratch / "devbox.json").write_text('{"env_from": "p.env"}')
    os.mkfifo(scratch / "p.env")
    done = call("shell", "--print-env", cwd=scratch, environment=current)
    assert done.returncode == 1 and b"is not a regular file" in done.stderr
