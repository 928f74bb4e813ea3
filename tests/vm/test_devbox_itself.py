"""devbox of the host's in the Debian guest: first a program of the tests that is as static as devbox is, then,
where there is one, devbox itself."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import devbox_itself
from projects import BUILD, Project, stop_quietly
from test_devbox import guest

SOURCE = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "install") == 0) {
		if (access("offline", F_OK) < 0)
			return 0;
		fputs("Error: no such host\n", stderr);
		return 1;
	}
	printf("devbox %s:", argv[0]);
	for (int i = 1; i < argc; i++)
		printf(" <%s>", argv[i]);
	puts("");
	return 7;
}
"""


@pytest.fixture(scope="module")
def tools(dxvm, home, tmp_path_factory):
    """A project of a host that has a devbox."""
    path, environment = home
    folder = tmp_path_factory.mktemp("tools")
    (folder / "devbox.c").write_text(SOURCE)
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", folder / "devbox", folder / "devbox.c"],
                   check=True)
    project = Project(dxvm, path / "itself", {**environment, "DXVM_DEVBOX": str(folder / "devbox")},
                      "debian")
    for name, value in (("mem", "512M"), ("cpu", "2"), ("idle", "never"), ("net", "off")):
        (project.data / name).write_text(f"{value}\n")
    (project.root / "devbox.json").write_text(
        '{"shell": {"scripts": {"hello": "echo hello from $0"}}}')
    yield project
    stop_quietly(project)


def test_the_hosts_devbox_runs_in_the_guest_from_where_nobody_can_change_it(tools):
    done = tools.run("-q", "run", "hello", "a b")
    assert (done.returncode, done.stdout) == (7, b"devbox devbox: <run> <--> <hello> <a b>\n"), done
    assert guest(tools, "command -v devbox; cd /run/dxvm/tools; touch x 2>&1; sudo touch x 2>&1 | "
                        "grep -c Read-only; sudo rm devbox 2>&1 | grep -c Read-only") == \
        "/run/dxvm/tools/devbox\ntouch: cannot touch 'x': Read-only file system\n1\n1"
    assert guest(tools, "bash -lc 'command -v devbox dxvm-devbox'") == \
        "/run/dxvm/tools/devbox\n/run/dxvm/bin/dxvm-devbox", "also where /etc/profile makes PATH"
    shell = tools.run("-q", "-e", "A=1", input=b"")
    assert shell.stdout == b"devbox devbox: <shell> <--env> <A=1>\n"


def test_where_it_cannot_work_a_line_says_so_and_the_environment_is_made_without(tools):
    (tools.root / "offline").touch()
    (tools.root / "devbox.lock").write_text('{"lockfile_version": "1"}')
    done = tools.run("-q", "run", "hello")
    assert done.returncode == 0
    assert done.stdout.startswith(b"hello from "), done.stdout
    assert done.stderr.decode() == "Error: no such host\n" \
        "dxvm: devbox cannot make this environment (no such host); going on without it\n"


def test_after_a_suspend_it_is_where_it_was_whatever_who_comes_back_wants(tools, monkeypatch):
    ask = "cat /proc/sys/kernel/random/boot_id; /run/dxvm/tools/devbox version || echo $?"
    before = guest(tools, ask)
    assert before.endswith("\ndevbox /run/dxvm/tools/devbox: <version>\n7")
    suspended = tools.run("suspend")
    assert suspended.returncode == 0
    assert suspended.stderr.count(b"dxvm: suspending the VM\n") == 1
    assert tools.status()["state"].startswith("suspended")
    monkeypatch.setitem(tools.environment, "DXVM_DEVBOX", "")
    assert guest(tools, ask) == before


def test_another_devbox_of_the_hosts_is_there_after_the_next_start(tools):
    own = pathlib.Path(tools.environment["DXVM_DEVBOX"])
    before = guest(tools, "cksum </run/dxvm/tools/devbox")
    own.write_bytes(own.read_bytes() + b"another")
    assert guest(tools, "cksum </run/dxvm/tools/devbox") == before
    assert tools.run("restart").returncode == 0
    assert guest(tools, "tail -c 7 /run/dxvm/tools/devbox") == "another"


# -- devbox itself, of which the project ships none: --

# A flake in the place of nixpkgs, in which there is just what devbox asks of it.
NIXPKGS = """{ outputs = { self }: { legacyPackages.SYSTEM.mkShell = { buildInputs ? [ ], ... }: derivation {
  name = "nix-shell"; system = "SYSTEM"; builder = "/bin/bash"; args = [ "-c" "echo >$out" ];
  inherit buildInputs; outputs = [ "out" ]; stdenv = ./stdenv; }; }; }
"""
PACKAGE = """{ outputs = { self }: { packages.SYSTEM.default = derivation {
  name = "which-it-1"; system = "SYSTEM"; builder = "/bin/bash"; args = [ "-c"
    "PATH=/bin; mkdir -p $out/bin; printf '#!/bin/sh\\\\necho it is %s\\\\n' $out >$out/bin/which-it; chmod +x $out/bin/*" ];
}; }; }
"""
PREPARE = """set -e
mkdir -p ~/nixpkgs/stdenv ~/package ~/.config/nix
cat nixpkgs.nix >~/nixpkgs/flake.nix
cat package.nix >~/package/flake.nix
echo 'PATH=$PATH:/bin:/usr/bin' >~/nixpkgs/stdenv/setup
printf 'sandbox = false\\nbuild-users-group =\\n' >>~/.config/nix/nix.conf
"""
STDENV = "github:NixOS/nixpkgs/nixpkgs-unstable"
# What only devbox sets: for itself, and what nix print-dev-env tells of the shell's derivation.
BOOKKEEPING = {"__DEVBOX_SHELLENV_HASH_", "__DEVBOX_VERSION_CHECK"}
DERIVATION = {"IN_NIX_SHELL", "NIX_BUILD_CORES", "NIX_STORE", "OLDPWD", "buildInputs", "builder", "name",
              "dontAddDisableDepTrack", "out", "outputs", "stdenv", "system"}
# There the stdenv's directories come before the guest's.
PATHS = {"PATH", "DEVBOX_NIX_ENV_PATH_"}


def nix_will_do():
    """Whether this host has a Nix that devbox takes."""
    done = subprocess.run(["nix", "--version"], capture_output=True, check=False) \
        if shutil.which("nix") else None
    numbers = re.findall(rb"\d+", done.stdout) if done else []
    return len(numbers) > 1 and (int(numbers[0]), int(numbers[1])) >= (2, 18)


@pytest.fixture(scope="module", params=["fake", "debian"])
def real(dxvm, home, request, tmp_path_factory):
    """A project whose guest has devbox itself; a VM without a network, or this host."""
    found, why = devbox_itself.find()
    if not found:
        pytest.skip(why)
    path, environment = home
    environment = {**environment, "DXVM_DEVBOX": found}
    if request.param == "fake":
        if not nix_will_do():
            pytest.skip("this host has no nix of version 2.18 or newer")
        tools = tmp_path_factory.mktemp("devbox")
        (tools / "devbox").symlink_to(found)
        environment.update(SHELL="/bin/bash", DO_NOT_TRACK="1", https_proxy="http://127.0.0.1:9",
                           PATH=f"{tools}:{environment['PATH']}:{BUILD / 'src' / 'devbox'}")
    project = Project(dxvm, path / f"real-{request.param}", environment, request.param)
    for name, value in (("mem", "1G"), ("cpu", "2"), ("idle", "never"), ("net", "off")):
        (project.data / name).write_text(f"{value}\n")
    project.patience = 60 if request.param == "fake" else 400
    yield project
    stop_quietly(project)


def configure(project, packages=(), lock=None):
    (project.root / "devbox.json").write_text(json.dumps({
        "packages": list(packages), "env": {"GREETING": "hi $PWD"},
        "shell": {"init_hook": "export HOOKED=1", "scripts": {
            "greet": "echo $GREETING $HOOKED $1", "show": "env -0"}}}))
    (project.root / "devbox.lock").write_text(json.dumps(
        {"lockfile_version": "1", "packages": lock or {}}))


def long(project, *words, **more):
    return project.run("-q", *words, timeout=project.patience, **more)


def test_the_first_time_without_a_network_devbox_is_gone_without(real):
    configure(real)
    done = long(real, "run", "greet", "you")
    root = guest(real, "pwd")
    assert (done.returncode, done.stdout.decode()) == (0, f"hi {root} 1 you\n")
    line = [line for line in done.stderr.decode().splitlines() if line.startswith("dxvm: ")]
    assert len(line) == 1 and "unable to download" in line[0], done.stderr
    assert "going on without it" in line[0] and "--option" not in line[0]


@pytest.fixture(scope="module")
def prepared(real):
    """The same with what devbox needs in the guest. `lock` is what devbox.lock has to have for that."""
    system = guest(real, "uname -m") + "-linux"
    for name, text in (("nixpkgs.nix", NIXPKGS), ("package.nix", PACKAGE)):
        (real.root / name).write_text(text.replace("SYSTEM", system))
    guest(real, PREPARE)
    real.guest_home, real.guest_root = guest(real, "echo $HOME; pwd").splitlines()
    real.lock = {STDENV: {"resolved": f"path:{real.guest_home}/nixpkgs", "source": "nixpkg"}}
    configure(real, lock=real.lock)
    return real


def test_with_what_it_needs_in_the_store_shell_and_run_are_devboxs_own(prepared):
    done = long(prepared, "run", "greet", "you")
    assert (done.returncode, done.stdout.decode()) == \
        (0, f"hi {prepared.guest_root} 1 you\n"), done.stderr
    assert b"Info: Running script \"greet\"" in done.stderr
    child = prepared.terminal("-q", timeout=prepared.patience)
    child.expect_exact("(devbox) ")
    child.sendline("echo $GREETING $HOOKED $DEVBOX_SHELL_ENABLED; devbox shell; devbox run greet she")
    child.expect_exact(f"hi {prepared.guest_root} 1 1")
    child.expect_exact("You are already in an active devbox shell.")
    child.expect_exact("Shell inception is not supported.")
    child.expect_exact(f"hi {prepared.guest_root} 1 she")
    child.sendline("exit 5")
    child.wait()
    assert child.exitstatus in (0, 5), "devbox's is 0 once the shell has started"


def test_options_a_subdirectory_and_services_are_devboxs_own(prepared):
    below = prepared.root / "below"
    below.mkdir()
    (prepared.root / "some.env").write_text("FROM=file\n")
    configure(prepared, lock=prepared.lock)
    done = long(prepared, "run", "-e", "GREETING=mine", "--env-file", "some.env", "--",
                "echo $GREETING $FROM $HOOKED")
    assert (done.returncode, done.stdout) == (0, b"mine file 1\n"), done.stderr
    assert long(prepared, "run", "-l").stdout == b"Available scripts:\n* greet\n* show\n"
    assert b"No services found in your project" in long(prepared, "services", "ls").stderr
    child = prepared.terminal("-q", timeout=prepared.patience, cwd=below)
    child.expect_exact("(devbox) ")
    child.sendline("echo \"in $PWD with $HOOKED\"; exit")
    child.expect_exact(f"in {prepared.guest_root}/below with 1")
    child.wait()


def test_add_and_rm_in_the_guest_are_the_hosts_files_and_a_reason_to_say_so(prepared):
    package = f"path:{prepared.guest_home}/package"
    child = prepared.terminal("-q", timeout=prepared.patience)
    child.expect_exact("(devbox) ")
    child.sendline(f"devbox add {package} && devbox run which-it; echo added $?")
    child.expect(r"it is /nix/store/[a-z0-9]{32}-which-it-1")
    child.expect_exact("added 0")
    assert json.loads((prepared.root / "devbox.json").read_text())["packages"] == [package]
    other = prepared.terminal("shell", timeout=prepared.patience)
    other.expect(r"devbox.json or devbox.lock has changed since shell \d+ was opened; `refresh`")
    other.expect_exact("(devbox) ")
    other.sendline("command -v which-it; exit")
    other.expect_exact(".devbox/nix/profile/default/bin/which-it")
    other.wait()
    child.sendline(f"devbox rm {package}; echo removed $?")
    child.expect_exact("removed 0")
    assert json.loads((prepared.root / "devbox.json").read_text())["packages"] == []
    # Whatever has to be looked up is out of reach, and then nothing is changed.
    child.sendline("devbox add jq@latest; echo refused $?")
    child.expect_exact("Package jq@latest not found")
    child.expect_exact("refused 1")
    assert json.loads((prepared.root / "devbox.json").read_text())["packages"] == []
    child.sendline("exit")
    child.wait()


def test_rm_takes_a_locked_package_out_of_both_files(prepared):
    system = guest(prepared, "uname -m") + "-linux"
    entry = {"resolved": "github:NixOS/nixpkgs/0000000000000000000000000000000000000000#which-it",
             "source": "devbox-search", "version": "1", "systems": {system: {"outputs": [
                 {"name": "out", "path": f"/nix/store/{'a' * 32}-which-it-1", "default": True}]}}}
    configure(prepared, ["which-it@1"], {**prepared.lock, "which-it@1": entry})
    done = long(prepared, "exec", "devbox", "rm", "which-it@1")
    assert done.returncode == 0, done.stderr
    assert json.loads((prepared.root / "devbox.json").read_text())["packages"] == []
    assert list(json.loads((prepared.root / "devbox.lock").read_text())["packages"]) == [STDENV]


def test_a_locked_package_that_is_there_runs_though_devbox_cannot_ask_the_cache_about_it(prepared):
    system = guest(prepared, "uname -m") + "-linux"
    path = guest(prepared, "nix build --extra-experimental-features 'nix-command flakes' --no-link "
                           "--print-out-paths path:$HOME/package", timeout=prepared.patience)
    entry = {"resolved": "github:NixOS/nixpkgs/0000000000000000000000000000000000000000#which-it",
             "source": "devbox-search", "version": "1", "systems": {system: {"outputs": [
                 {"name": "out", "path": path, "default": True}]}}}
    configure(prepared, ["which-it@1"], {**prepared.lock, "which-it@1": entry})
    done = long(prepared, "run", "which-it")
    assert (done.returncode, done.stdout.decode()) == (0, f"it is {path}\n"), done.stderr
    assert b'dxvm: devbox cannot make this environment (Head "https://' in done.stderr


def environment_of(done):
    assert done.returncode == 0, done.stderr
    pairs = (entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    return {name: value for name, value in pairs if name not in ("_", "SHLVL", "PWD")}


def differing(one, other):
    """Names that are not the same in both; those that end in a project's hash without it."""
    names = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    return {name.rstrip("0123456789abcdef") if len(name) > 64 else name for name in names}


def test_the_environment_without_devbox_is_that_of_devbox(prepared):
    package = f"path:{prepared.guest_home}/package"
    configure(prepared, [], prepared.lock)
    plain = environment_of(long(prepared, "exec", "dxvm-devbox", "run", "show"))
    omitted = environment_of(long(prepared, "exec", "devbox", "run", "--omit-nix-env", "show"))
    whole = environment_of(long(prepared, "run", "show"))
    assert plain["GREETING"] and plain["HOOKED"] == "1" and package not in plain
    assert differing(plain, omitted) <= BOOKKEEPING
    assert differing(plain, whole) <= BOOKKEEPING | DERIVATION | PATHS
    # The same directories, in another order, but for the stdenv's.
    assert set(plain["PATH"].split(":")) <= set(whole["PATH"].split(":"))
