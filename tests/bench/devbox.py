#!/usr/bin/python3
"""What the project's environment costs at the prompt of a VM that runs: dxvm-devbox against a login
shell without it; devbox in the guest, where it has one, against the same typed there. In turns, in
one run. Prints medians and ratios; judges nothing.

Usage: devbox.py [KIND] [TIMES]     KIND of guest: fake (the agent on this host, the default), debian
DXVM_TEST_DEVBOX names a devbox for Linux, which the guest then has.
"""
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import pexpect

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from bench import row  # noqa: E402
from projects import BUILD, Project, stop_quietly  # noqa: E402

CONFIG = {
    "packages": [],
    "env": {"GREETING": "Hello from $PWD", "TOOLS": "$PWD/tools:$PATH"},
    "shell": {"init_hook": ["export HOOKED=yes"], "scripts": {"test": "true"}},
    "aliases": {"t": "true"},
}
PROMPT = r"[$#] "
NIXPKGS = """{ outputs = { self }: { legacyPackages.SYSTEM.mkShell = { buildInputs ? [ ], ... }: derivation {
  name = "nix-shell"; system = "SYSTEM"; builder = "/bin/bash"; args = [ "-c" "echo >$out" ];
  inherit buildInputs; stdenv = ./stdenv; outputs = [ "out" ]; }; }; }
""".replace("SYSTEM", f"{os.uname().machine}-linux")


def prompt_ms(project, *words, typed=None):
    """From the start of dxvm, or from a command typed at a prompt, to the (next) prompt."""
    child = project.terminal(*words, timeout=120)
    started = time.perf_counter()
    child.expect(PROMPT)
    if typed:
        # What is echoed is no prompt, and the prompt that follows is the last thing to come.
        started = time.perf_counter()
        child.sendline(typed)
        child.expect_exact("(devbox) ")
        child.expect(PROMPT)
    taken = (time.perf_counter() - started) * 1000
    child.sendline("exit")
    if typed:
        child.sendline("exit")
    child.expect(pexpect.EOF)
    child.wait()
    return taken


def in_turns(times, *measures):
    """The medians of measures taken in turns, after one of each to warm up."""
    taken = [[measure() for measure in measures] for _ in range(times + 1)]
    return [statistics.median(column) for column in zip(*taken[1:])]


def measure(project, times):
    has_devbox = project.run("exec", "sh", "-c", "command -v devbox").returncode == 0
    words = ("exec", "dxvm-devbox", "shell") if has_devbox else ("shell", "--new")
    plain, ours = in_turns(times, lambda: prompt_ms(project, "exec", "bash", "-l"),
                           lambda: prompt_ms(project, *words))
    row("dxvm exec bash -l, to the prompt", f"{plain:.1f}", "ms")
    row("dxvm to the prompt, by dxvm-devbox", f"{ours:.1f}", "ms", f"{ours / plain:.2f} x bash -l (goal 1.5)")


def prepare(project):
    """What devbox evaluates once for a project without packages, from a nixpkgs of a few lines in the guest:
    it needs no network then. True: devbox works."""
    if not os.environ.get("DXVM_TEST_DEVBOX"):
        print("SKIP: devbox typed in the guest: needs a VM, and DXVM_TEST_DEVBOX to name a devbox for it")
        return False
    (project.root / "flake.nix").write_text(NIXPKGS)
    home = project.run("exec", "sh", "-c", "mkdir -p ~/nixpkgs/stdenv ~/.config/nix; echo $HOME; "
                       "echo 'sandbox = false' >~/.config/nix/nix.conf; mv flake.nix ~/nixpkgs; "
                       "echo 'PATH=$PATH:/bin:/usr/bin' >~/nixpkgs/stdenv/setup").stdout.decode().strip()
    (project.root / "devbox.lock").write_text(json.dumps({"lockfile_version": "1", "packages": {
        "github:NixOS/nixpkgs/nixpkgs-unstable": {"resolved": f"path:{home}/nixpkgs"}}}))
    tried = project.run("exec", "devbox", "run", "true", timeout=600)
    if tried.returncode != 0:
        print("SKIP: devbox typed in the guest:", tried.stderr.decode(errors="replace").strip())
    return tried.returncode == 0


def measure_devbox(project, times):
    if not prepare(project):
        return
    # No login shell: dxvm opens none either.
    typed, through = in_turns(times, lambda: prompt_ms(project, "exec", "bash", typed="devbox shell"),
                              lambda: prompt_ms(project, "shell", "--new"))
    row("devbox shell, typed in the guest", f"{typed:.1f}", "ms")
    row("dxvm, with devbox in the guest", f"{through:.1f}", "ms",
        f"{through / typed:.2f} x typed (goal 1.1)")


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "fake"
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("XDG_", "DEVBOX_"))}
    (folder / "run").mkdir(mode=0o700)
    environment.update(HOME=str(folder), TERM="xterm-256color", XDG_RUNTIME_DIR=str(folder / "run"),
                       XDG_STATE_HOME=str(BUILD / "test-state"),
                       DXVM_DEVBOX=os.environ.get("DXVM_TEST_DEVBOX", ""))
    if kind == "fake":
        environment.update(SHELL="/bin/bash",
                           PATH=f"{environment['PATH']}:{BUILD / 'src' / 'devbox'}")
        for name in (".bashrc", ".profile"):
            shutil.copy(f"/etc/skel/{name}", folder)
    project = Project(str(BUILD / "dxvm"), folder / "project", environment, kind)
    (project.data / "mem").write_text("768M\n")
    (project.root / "devbox.json").write_text(json.dumps(CONFIG))
    print(f"guest: {kind}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        project.run("start", timeout=600)
        measure(project, times)
        measure_devbox(project, times)
    finally:
        stop_quietly(project)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
