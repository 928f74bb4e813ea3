"""The Devbox environment in the guest a newcomer meets: nothing of devbox is in it, but Nix is."""
import json
import pathlib
import re

import pytest

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


@pytest.mark.parametrize("status", [0, 1, 2, 77, 125, 126, 127, 128, 200, 255])
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


def test_the_hosts_devbox_directory_is_not_touched(hello):
    write(hello)
    before = sorted(str(path) for path in (hello.root / ".devbox").rglob("*"))
    host_only = hello.root / ".devbox" / "nix-print-dev-env-cache"
    host_only.write_text("the host's")
    assert set(hello.run("run", "--", "ls -A .devbox").stdout.decode().split()) - \
        {"shell_history"} == {"gen", "nix", "virtenv"}
    assert hello.run("run", "--", "echo mine >.devbox/nix-print-dev-env-cache").returncode == 0
    assert host_only.read_text() == "the host's"
    host_only.unlink()
    assert sorted(str(path) for path in (hello.root / ".devbox").rglob("*")) == before


def test_an_error_in_the_file_has_its_place(hello):
    (hello.root / "devbox.json").write_text('{\n  "env": {"A": 1}\n}')
    done = hello.run("run", "x")
    assert done.returncode == 1
    assert b'devbox.json:2:16: "A" in "env" must be a string, not a number' in done.stderr


WHICH_IT = """
set -e
system=$(uname -m)-linux
cat >/tmp/which-it.nix <<END
derivation { name = "which-it-1"; system = "$system"; builder = "/bin/sh";
  args = [ "-c" "/bin/mkdir -p \\$out/bin; printf '#!/bin/sh\\necho it is %s\\n' \\$out >\\$out/bin/which-it; /bin/chmod +x \\$out/bin/which-it" ]; }
END
path=$(nix-build --option sandbox false /tmp/which-it.nix --no-out-link)
nix key generate-secret --key-name test-1 >/tmp/secret
nix key convert-secret-to-public </tmp/secret >cache.pub
nix copy --to "file://$PWD/cache?secret-key=/tmp/secret" "$path"
nix-store --delete "$path" >&2
test ! -e "$path"
echo "$path"
"""


def test_a_locked_package_comes_from_a_signed_cache_without_a_network(hello):
    hello.stop()
    (hello.data / "net").write_text("off\n")
    path = guest(hello, WHICH_IT, timeout=600).splitlines()[-1]
    assert path.startswith("/nix/store/") and path.endswith("-which-it-1")
    system = guest(hello, "uname -m") + "-linux"
    write(hello, packages=["which-it@1"], shell={"scripts": {"which-it": "command -v which-it; which-it"}})
    lock = {"lockfile_version": "1", "packages": {"which-it@1": {"systems": {system: {
        "outputs": [{"name": "out", "path": path, "default": True}]}}}}}
    (hello.root / "devbox.lock").write_text(json.dumps(lock))
    home = guest(hello, "echo $HOME")
    cache = f"{home}/devbox/hello"
    hello.environment.update(DXVM_SUBSTITUTERS=f"file://{cache}/cache",
                             DXVM_TRUSTED_KEYS=(hello.root / "cache.pub").read_text())
    done = hello.run("run", "which-it", timeout=600)
    assert done.returncode == 0, (done.stdout, done.stderr)
    profile = f"{cache}/.devbox/nix/profile/default"
    assert done.stdout.decode() == f"{profile}/bin/which-it\nit is {path}\n"
    # Now it is there, nothing is asked for any more, and a garbage collection leaves it.
    del hello.environment["DXVM_SUBSTITUTERS"], hello.environment["DXVM_TRUSTED_KEYS"]
    guest(hello, "nix-store --gc >/dev/null 2>&1", timeout=600)
    again = hello.run("run", "which-it", timeout=600)
    assert (again.stdout, again.returncode) == (done.stdout, 0), again.stderr
    write(hello, packages=[])
    assert hello.run("run", "which-it").returncode == 127
    (hello.data / "net").write_text("user\n")
