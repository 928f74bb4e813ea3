"""The Devbox environment in the guest a newcomer meets: nothing of devbox is in it, but Nix is."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import guest_programs
from projects import BUILD

TOP = pathlib.Path(__file__).resolve().parents[2]


def guest(project, script, **more):
    """Runs a script in the guest, outside of the environment; its output as text."""
    done = project.run("-q", "exec", "bash", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def hello(debian):
    """The project of examples/hello."""
    (debian.root / "devbox.json").write_text((TOP / "examples/hello/devbox.json").read_text())
    debian.run("start")
    return debian


def write(project, **config):
    (project.root / "devbox.json").write_text(json.dumps(config))


def test_the_hook_of_the_example_speaks_at_the_prompt(hello):
    child = hello.terminal()
    child.expect(r"Hello from devbox\.json, on Linux \d+\.\d+")
    child.expect_exact("(devbox) ")
    child.sendline("echo \"=$GREETING=\"; id -un; exit 6")
    child.expect_exact("=Hello from devbox.json=")
    child.wait()
    assert child.exitstatus == 6


def test_the_script_of_the_example(hello):
    done = hello.run("-q", "run", "hello")
    assert done.returncode == 0, done.stderr
    assert b"Hello from devbox.json\nLinux " in done.stdout
    assert hello.run("run", "-l").stdout == b"Available scripts:\n* hello\n"


def test_where_the_environment_says_it_is(hello):
    name = guest(hello, "id -un")
    text = hello.run("shell", "--print-env").stdout.decode()
    root = f"/home/{name}/devbox/hello"
    assert f'export DEVBOX_PROJECT_ROOT="{root}";' in text
    assert re.search(rf'^export PATH="{root}/\.devbox/nix/profile/default/bin:', text, re.M)
    assert str(hello.root) not in text


@pytest.mark.parametrize("status", [0, 1, 125, 126, 127, 128, 255])
def test_exit_status_is_the_scripts_own(hello, status):
    write(hello, shell={"scripts": {"status": "exit $1"}})
    assert hello.run("run", "status", str(status)).returncode == status


def test_arguments_arrive_as_they_are(hello):
    words = ["a  b", "it's", '"q"', "new\nline", "*", "back\\slash", "", "é"]
    write(hello, env={"NAME": "value"},
          shell={"scripts": {"show": "for word; do printf '<%s>' \"$word\"; done"}})
    shown = "".join(f"<{word}>" for word in words)
    assert hello.run("run", "show", *words).stdout.decode() == shown
    assert hello.run("run", "--", "printf", "<%s>", *words, "$NAME").stdout.decode() == \
        shown + "<value>"


def tree(top):
    """Everything below a directory but the VM itself, with what it holds and when it changed."""
    def look(path):
        state = path.lstat()
        content = (os.readlink(path) if path.is_symlink() else
                   path.read_bytes() if path.is_file() else sorted(p.name for p in path.iterdir()))
        return state.st_mode, state.st_mtime_ns, state.st_ctime_ns, content
    return {path: look(path) for path in [top, *top.rglob("*")]
            if top / "vm" not in path.parents and path != top / "vm"}


WRITE_A_LOT = """
set -e
mkdir -p .devbox/nix/profile .devbox/gen/flake .devbox/virtenv/x && cd .devbox
for i in $(seq 300); do echo "$i" >gen/flake/$i; done
head -c 3000000 /dev/urandom >virtenv/x/data
ln -sfn /tmp nix/profile/default-1; mkfifo virtenv/x/fifo
echo guest >state.json; echo guest >.nix-print-dev-env-cache; echo guest >.gitignore
chmod -R a-w gen/flake; chmod -R u+w gen/flake; mv gen/flake gen/moved; rm -rf gen/moved/1*
touch -d 1999-01-01 . state.json
find . | wc -l
"""


def test_the_hosts_devbox_directory_is_what_it_was(hello):
    """Its files are those that this project's environment has on the host, and some of devbox's."""
    write(hello, env={"SIDE": "$PWD"}, shell={"scripts": {"work": WRITE_A_LOT}})
    host = hello.root / ".devbox"
    done = subprocess.run([BUILD / "src/devbox/dxvm-devbox", "run", "--", "echo $SIDE"],
                          cwd=hello.root, env=hello.environment, capture_output=True, check=True)
    assert done.stdout.decode() == f"{hello.root}\n"
    (host / "state.json").write_text("the host's")
    (host / ".nix-print-dev-env-cache").write_text("the host's")
    before = tree(host)
    work = hello.run("run", "work", timeout=300)
    assert work.returncode == 0 and int(work.stdout) > 200, work.stderr
    assert guest(hello, "cat .devbox/state.json") == "guest"
    assert hello.run("run", "--", "echo $SIDE").stdout.decode() == \
        f"{guest(hello, 'pwd')}\n"
    assert tree(host) == before
    assert guest(hello, "test -e .devbox/vm || echo none") == "none"
    guest(hello, "rm -rf .devbox/* .devbox/.??*")
    assert tree(host) == before


def test_nothing_of_the_hosts_environment_is_in_the_guests(hello):
    write(hello, packages=[])
    theirs = {name: "of-the-host" for name in (
        "DEVBOX_PROJECT_ROOT", "DEVBOX_INIT_PATH", "DEVBOX_PATH_STACK", "DEVBOX_SHELL_ENABLED",
        "DEVBOX_PURE_SHELL", "DEVBOX_NO_PROMPT", "__DEVBOX_SHELLENV_HASH_1", "NIX_PATH",
        "NIX_PROFILES", "NIX_REMOTE", "NIX_CONFIG", "IN_NIX_SHELL", "LD_LIBRARY_PATH", "ZDOTDIR",
        "XDG_DATA_DIRS", "ENV", "BASH_ENV", "TMPDIR", "PYTHONPATH", "SHELL")}
    done = subprocess.run([hello.dxvm, "run", "--", "env", "-0"], cwd=hello.root, check=True,
                          env={**hello.environment, **theirs}, capture_output=True)
    got = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert not [name for name, value in got.items() if "of-the-host" in value]
    assert got["DEVBOX_PROJECT_ROOT"] == guest(hello, "pwd")
    assert not set(got) & {"NIX_PATH", "NIX_PROFILES", "NIX_REMOTE", "IN_NIX_SHELL"}
    assert str(hello.root.parent) not in got["PATH"]


def test_env_from_reads_the_guests_files_only(hello):
    """A path, and links, that lead out of the project on the host: what is there in the guest counts,
    and that is nothing, or the guest's own."""
    secret = hello.root.parent / "secret.env"
    secret.write_text("SECRET=of-the-host\n")
    (hello.root / "absolute.env").symlink_to(secret)
    (hello.root / "relative.env").symlink_to("../secret.env")
    (hello.root / "itself.env").symlink_to("itself.env")
    for name in (str(secret), "../secret.env", "absolute.env", "relative.env", "itself.env"):
        write(hello, env_from=name)
        done = hello.run("run", "env")
        assert (done.returncode, done.stdout) == (1, b""), name
        assert b"devbox.json:1:14: env_from: " in done.stderr, done.stderr
        assert b"of-the-host" not in done.stderr
    guest(hello, "echo SECRET=of-the-guest >../secret.env")
    for name in ("../secret.env", "relative.env"):
        write(hello, env_from=name)
        assert hello.run("run", "--", "echo $SECRET").stdout == b"of-the-guest\n"
    guest(hello, "rm ../secret.env")


def test_an_error_in_the_file_has_its_place(hello):
    (hello.root / "devbox.json").write_text('{\n  "env": {"A": 1}\n}')
    done = hello.run("run", "x")
    assert done.returncode == 1
    assert b'devbox.json:2:16: "A" in "env" must be a string, not a number' in done.stderr


def test_a_flake_in_the_projects_repository_is_evaluated(hello):
    (hello.root / "flake.nix").write_text("{ outputs = _: { answer = 42; }; }\n")
    subprocess.run("git init -q && git add flake.nix", shell=True, cwd=hello.root, check=True)
    try:
        assert guest(hello, "nix eval .#answer", timeout=300) == "42"
        # Whoever asks, and whoever it belongs to.
        assert guest(hello, "sudo env -u SUDO_UID git status --short flake.nix") == "A  flake.nix"
    finally:
        (hello.root / "flake.nix").unlink()
        shutil.rmtree(hello.root / ".git")


MAKE_CACHE = """
set -e
system=$(uname -m)-linux
cat >/tmp/which-it.nix <<END
let make = name: script: derivation { inherit name; system = "$system"; builder = "/bin/sh";
                                      args = [ "-c" script ]; };
    words = make "words-1" "echo it is >\\$out";
in make "which-it-1" "/bin/mkdir -p \\$out/bin;
  printf '#!/bin/sh\\nread -r words <%s; echo \\$words %s\\n' \\${words} \\$out >\\$out/bin/which-it;
  /bin/chmod +x \\$out/bin/which-it"
END
paths="$(nix-build --option sandbox false /tmp/which-it.nix --no-out-link) $(nix-store --add redis)"
nix key generate-secret --key-name test-1 >/tmp/secret
nix copy --to "file://$PWD/cache?compression=none&secret-key=/tmp/secret" $paths
nix key convert-secret-to-public </tmp/secret >cache/test.pub
nix-store --gc >/dev/null 2>&1
for path in $paths; do test ! -e "$path"; echo "$path"; done
"""


@pytest.fixture(scope="module")
def packages(hello):
    """The lock of two packages, of which one refers to a third, that are nowhere but in a signed
    binary cache, the project's directory `cache`. From here on the guest has no network."""
    hello.stop()
    (hello.data / "net").write_text("off\n")
    guest_programs.lay_package({"redis-server": "/usr/bin/redis-check-rdb",
                                "redis-cli": "/usr/bin/redis-cli"}, hello.root / "redis")
    paths = guest(hello, MAKE_CACHE, timeout=600).splitlines()[-2:]
    assert [path.partition("-")[2] for path in paths] == ["which-it-1", "redis"]
    shutil.rmtree(hello.root / "redis")
    system = guest(hello, "uname -m") + "-linux"
    lock = {key: {"systems": {system: {"outputs": [{"name": "out", "path": path, "default": True}]}}}
            for key, path in zip(("which-it@1", "redis@7"), paths)}
    (hello.root / "devbox.lock").write_text(json.dumps({"lockfile_version": "1", "packages": lock}))
    yield dict(zip(("which-it", "redis"), paths))
    (hello.data / "net").write_text("user\n")


@pytest.fixture(scope="module")
def lent(hello, packages):
    """The cache on the host, outside of the project, lent to the guest; the paths in it."""
    guest(hello, "rm -rf .devbox/nix && nix-store --gc", timeout=600)
    cache = hello.root.parent / "lent"
    (hello.root / "cache").rename(cache)
    hello.stop()
    done = hello.run("config", f"cache={cache}")
    assert done.returncode == 0, done.stderr
    assert hello.run("config", "cache").stdout.decode() == f"{cache}\n"
    return packages


def write_which_it(project):
    write(project, packages=["which-it@1"],
          shell={"scripts": {"which-it": "command -v which-it; which-it"}})


def which_it(project, path):
    """What the script prints when the package is there."""
    home = guest(project, "echo $HOME")
    return f"{home}/devbox/hello/.devbox/nix/profile/default/bin/which-it\nit is {path}\n"


def test_a_locked_package_comes_from_a_signed_cache_without_a_network(hello, packages):
    path = packages["which-it"]
    write_which_it(hello)
    home = guest(hello, "echo $HOME")
    hello.environment["DXVM_SUBSTITUTERS"] = f"file://{home}/devbox/hello/cache"
    unsigned = hello.run("run", "which-it", timeout=600)
    assert b"dxvm: which-it@1: could not be installed" in unsigned.stderr, unsigned.stderr
    assert (unsigned.returncode, unsigned.stdout) == (127, b"")
    hello.environment["DXVM_TRUSTED_KEYS"] = (hello.root / "cache" / "test.pub").read_text()
    done = hello.run("run", "which-it", timeout=600)
    assert (done.returncode, done.stdout.decode()) == (0, which_it(hello, path)), done.stderr
    # Now it is there, nothing is asked for any more, and a garbage collection leaves it.
    del hello.environment["DXVM_SUBSTITUTERS"], hello.environment["DXVM_TRUSTED_KEYS"]
    guest(hello, "nix-store --gc >/dev/null 2>&1", timeout=600)
    again = hello.run("run", "which-it", timeout=600)
    assert (again.stdout, again.returncode) == (done.stdout, 0), again.stderr
    write(hello, packages=[])
    assert hello.run("run", "which-it").returncode == 127


def test_a_cache_that_the_host_lends_is_used_by_all_of_nix_and_only_read(hello, lent):
    write_which_it(hello)
    done = hello.run("run", "which-it", timeout=600)
    assert (done.returncode, done.stdout.decode()) == (0, which_it(hello, lent["which-it"])), \
        done.stderr
    assert guest(hello, f"nix build --no-link --print-out-paths {lent['redis']}",
                 timeout=600) == lent["redis"]
    assert "Read-only" in hello.run("exec", "sh", "-c",
                                    "sudo touch /run/dxvm/cache/x").stderr.decode()
    assert "10.0.2.2" not in guest(hello, "nix config show substituters")


def test_a_server_keeps_its_socket_and_data_in_the_guests_devbox_directory(hello, lent):
    write(hello, packages=["redis@7"], env={"REDIS": "$PWD/.devbox/virtenv/redis"}, shell={"scripts": {
        "up": 'mkdir -p "$REDIS"; redis-server --port 0 --unixsocket "$REDIS/socket" '
              '--dir "$REDIS" --daemonize yes >/dev/null',
        "ask": 'redis-cli -s "$REDIS/socket" "$@"',
        "wait": 'until redis-cli -s "$REDIS/socket" ping 2>/dev/null; do sleep .1; done'}})
    up = hello.run("run", "up", timeout=600)
    assert up.returncode == 0, up.stderr
    assert hello.run("run", "wait").stdout == b"PONG\n"
    assert hello.run("run", "ask", "set", "key", "a value").stdout == b"OK\n"
    assert hello.run("run", "ask", "get", "key").stdout == b"a value\n"
    assert hello.run("run", "ask", "save").stdout == b"OK\n"
    assert set(guest(hello, "ls .devbox/virtenv/redis").split()) >= {"socket", "dump.rdb"}
    assert not (hello.root / ".devbox" / "virtenv" / "redis").exists()
    hello.run("run", "ask", "shutdown")
