"""`dxvm -install` from a server to a prompt, and what becomes of such a guest: with a stand-in for the installer
ISO (nixos_standin.py), since NixOS itself comes from the internet. More of how an installation may end
is in tests/e2e/test_nixos_install.py."""
import functools
import hashlib
import http.server
import shutil
import threading

import pytest

import nixos_standin
from projects import BUILD, Project, stop_quietly, wait_until


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Without a line for each request."""

    def log_message(self, *_):
        pass


def make_project(dxvm, root, environment):
    """A project without a VM, with as little memory as the test needs."""
    project = object.__new__(Project)
    project.dxvm, project.root, project.environment = dxvm, root, environment
    project.data = root / ".devbox" / "vm"
    project.data.mkdir(parents=True)
    (root / "devbox.json").write_text('{"packages": []}\n')
    for name, value in {"mem": "512M", "cpu": "2", "idle": "never"}.items():
        (project.data / name).write_text(f"{value}\n")
    return project


@pytest.fixture(scope="module")
def place(dxvm, home, state_home):
    """A folder; an environment with a state of its own; and what makes an ISO."""
    path, environment = home
    Project(dxvm, path / "tiny", environment, "tiny") # brings the lists of packages
    build = functools.partial(nixos_standin.build, state_home)
    return path, {**environment, "XDG_STATE_HOME": str(path / "state")}, build


@pytest.fixture(scope="module")
def nixos(dxvm, place):
    """A project whose VM `dxvm -install` made on a terminal, from a server. Its screen is kept."""
    path, environment, build = place
    served = path / "served"
    served.mkdir()
    shutil.copyfile(build(), served / "nixos.iso")
    digest = hashlib.sha256((served / "nixos.iso").read_bytes()).hexdigest()
    (served / "nixos.iso.sha256").write_text(f"{digest}  nixos.iso\n")
    config = path / ".config" / "dxvm"
    config.mkdir(parents=True)
    (config / "configuration.nix").write_text("{ ... }: { }\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                             functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/nixos.iso"
    project = make_project(dxvm, path / "hello", {**environment, "DXVM_NIXOS_URL": url})
    try:
        child = project.terminal("-install", timeout=500)
        child.expect(r"started in [0-9.]+ s")
        project.screen = child.before
        child.sendline("echo here-$((1+1)); cat devbox.json; exit")
        child.expect("here-2")
        child.expect('"packages"')
        child.wait()
        yield project
    finally:
        server.shutdown()
        server.server_close()
        stop_quietly(project)


def guest(project, script, **more):
    """Runs a script in the guest; its output as text, its success checked."""
    done = project.run("-q", "exec", "sh", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def generation(project):
    """Which of the two systems runs."""
    words = guest(project, "cat /proc/cmdline").split()
    return next(word[-1] for word in words if word.startswith("standin.generation="))


def boot_id(project):
    return guest(project, "cat /proc/sys/kernel/random/boot_id")


def test_the_steps_are_told_with_their_time(nixos):
    for step in ("booting the installer", "making the file system", "copying the configuration",
                 "installing NixOS", "writing everything to disk", "powering off"):
        assert f"dxvm: {step}: " in nixos.screen, nixos.screen


def test_nothing_of_the_installation_is_left_but_its_console(nixos):
    names = {path.name for path in nixos.data.iterdir()}
    assert not names & {"installer", "bootstrap", "boot.new"}
    assert (nixos.data / "guest").read_text() == "nixos\n"
    assert {path.name for path in (nixos.data / "boot").iterdir()} == {"current"}


def test_systemd_is_pid_1_and_the_agent_a_service_with_the_users_ids(nixos):
    assert guest(nixos, "cat /proc/1/comm") == "systemd"
    assert guest(nixos, "cat /proc/self/cgroup").endswith("dxvm-agent.service/sessions")
    # The agent is there before what systemctl asks.
    wait_until(lambda: nixos.run("-q", "exec", "systemctl", "is-active", "dbus").returncode == 0, "D-Bus")
    assert guest(nixos, "systemctl show -p Delegate --value dxvm-agent") == "yes"
    assert guest(nixos, "sudo -n id -u; cat /etc/nixos/local.nix").split("\n") == ["0", "{ ... }: { }"]
    assert guest(nixos, "stat -c %u /nix /nix/store /nix/store/*nixos-system* | uniq") == "0", \
        "they are the daemon's, not the user's"
    assert guest(nixos, "cat /proc/self/oom_score_adj") == "0"
    guest(nixos, "echo guest >made")
    owner, made = nixos.root.stat(), (nixos.root / "made").stat()
    assert (made.st_uid, made.st_gid) == (owner.st_uid, owner.st_gid)


def test_it_is_not_overwritten_without_force(nixos):
    before = (nixos.data / "disk.img").stat().st_ino
    nixos.stop()
    done = nixos.run("install", "--guest", "nixos")
    assert done.returncode == 125 and b"--force replaces it" in done.stderr, done.stderr
    assert (nixos.data / "disk.img").stat().st_ino == before


def test_suspend_and_resume_also_over_a_rebuild(nixos):
    before = boot_id(nixos)
    assert b"suspended in" in nixos.run("suspend").stderr
    done = nixos.run("exec", "true")
    assert b"resumed in" in done.stderr, done.stderr
    assert boot_id(nixos) == before
    guest(nixos, "sudo nixos-rebuild boot")
    nixos.run("suspend")
    done = nixos.run("exec", "true")
    assert b"resumed in" in done.stderr, done.stderr
    assert boot_id(nixos) == before and generation(nixos) == "1"


def test_a_rebuild_is_booted_next_and_the_system_before_on_request(nixos):
    kernel = (nixos.data / "boot" / "previous" / "kernel").read_bytes()
    assert (nixos.data / "boot" / "current" / "kernel").read_bytes() != kernel
    assert nixos.run("start", "--previous").returncode == 125 # it runs
    nixos.stop()
    assert generation(nixos) == "2"
    nixos.stop()
    assert nixos.run("start", "--previous").returncode == 0
    assert generation(nixos) == "1"
    nixos.stop()


def running_agent(project):
    """The SHA-256 of the agent that runs in the guest."""
    return guest(project, "for p in /proc/[0-9]*; do case $(sudo -n readlink $p/exe) in"
                          " /var/lib/dxvm/dxvm-agent*) sudo -n sha256sum $p/exe;; esac; done").split()[0]


def test_another_agent_of_the_hosts_is_used_from_the_next_start_on(nixos, monkeypatch):
    old = (BUILD / "src" / "agent" / "dxvm-agent").read_bytes()
    libexec = nixos.root.parent / "libexec"
    libexec.mkdir()
    for path in (BUILD / "src").glob("*/dxvm-*"):
        if path.is_file():
            (libexec / path.name).symlink_to(path)
    (libexec / "dxvm-agent").unlink()
    (libexec / "dxvm-agent").write_bytes(old + b"newer")
    new = hashlib.sha256(old + b"newer").hexdigest()
    (libexec / "dxvm-agent").chmod(0o755)
    nixos.stop()
    monkeypatch.setitem(nixos.environment, "DXVM_LIBEXEC", str(libexec))
    assert nixos.run("start").returncode == 0
    wait_until(lambda: "the guest has a new dxvm-agent" in (nixos.data / "log").read_text(), "it has come")
    assert running_agent(nixos) == hashlib.sha256(old).hexdigest()
    assert guest(nixos, "sha256sum </var/lib/dxvm/dxvm-agent").split()[0] == new
    nixos.stop()
    assert running_agent(nixos) == new
    assert (nixos.data / "log").read_text().count("the guest has a new") == 1
    nixos.stop()


def test_what_a_guest_wrote_to_be_booted_is_not_trusted(nixos):
    current = nixos.data / "boot" / "current"
    text = (current / "cmdline").read_text()
    (current / "cmdline").write_text(text + " \ninit=/evil\n")
    done = nixos.run("start")
    assert done.returncode == 125 and b"one line of printable characters" in done.stderr, done.stderr
    (current / "cmdline").write_text(text)
    kernel = current / "kernel"
    kernel.rename(current / "kept")
    kernel.symlink_to("/etc/passwd")
    done = nixos.run("start")
    assert done.returncode == 125 and b"symbolic link" in done.stderr, done.stderr
    kernel.unlink()
    (current / "kept").rename(kernel)


def test_the_next_project_has_a_copy_with_an_identity_of_its_own(dxvm, nixos):
    nixos.stop()
    other = make_project(dxvm, nixos.root.parent / "other", nixos.environment)
    try:
        done = other.run("install", "--guest", "nixos")
        assert done.returncode == 0 and b"booting the installer" not in done.stderr, done.stderr
        (other.root / "mine").write_text("its own\n")
        identity = (other.data / "id").read_text().strip()
        assert guest(other, "cat /etc/machine-id; cat mine").split("\n") == [identity, "its own"]
        assert identity != (nixos.data / "id").read_text().strip()
    finally:
        stop_quietly(other)


def check_fault(dxvm, place, fault, words, **environment):
    """An installation that fails: why is said, with where to look, and there is no VM."""
    path, plain, build = place
    project = make_project(dxvm, path / fault, {**plain, **environment})
    done = project.run("install", "--guest", "nixos", "--iso", str(build(f"standin.{fault}")), timeout=170)
    assert done.returncode == 125 and words.encode() in done.stderr, done.stderr
    assert str(project.data / "console").encode() in done.stderr
    names = {entry.name for entry in project.data.iterdir()}
    assert not names & {"guest", "disk.img", "boot", "installer", "bootstrap", "boot.new"}, names
    return done.stderr.decode()


def test_an_installer_that_panics(dxvm, place):
    check_fault(dxvm, place, "panic", "Kernel panic")


def test_an_installer_that_restarts(dxvm, place):
    check_fault(dxvm, place, "reboot", "restarted or powered off before it was done")


def test_an_installation_that_fails_says_where(dxvm, place):
    text = check_fault(dxvm, place, "fail-system", "installing NixOS: install.sh ended with status 1")
    assert "last lines of the installer's console" in text and "| error: attribute missing" in text


def test_a_prompt_that_never_comes(dxvm, place):
    check_fault(dxvm, place, "no-prompt", "booting the installer: nothing was heard for 3 s",
                DXVM_INSTALL_SILENCE="3")
