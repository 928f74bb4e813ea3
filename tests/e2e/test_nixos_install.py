"""`dxvm -install` around its machine, which is played here (played_qemu.py): how an installation ends, well or
not, what it leaves behind, and what the next project has of it."""
import os
import pathlib
import pwd
import shutil
import subprocess
import termios

import pexpect
import pytest

from projects import TOP, Project
from test_nixos_fetch import Server, make_iso

STEPS = {"disk": "making the file system", "files": "copying the configuration", "system": "installing NixOS",
         "finish": "writing everything to disk"}
HALF_MADE = {"guest", "disk.img", "boot", "boot.new", "installer", "installer.part", "bootstrap"}


class Played(Project):
    """A project whose installer's machine is played."""

    def __init__(self, dxvm, root, environment): # pylint: disable=super-init-not-called
        self.dxvm, self.root, self.environment = dxvm, root, environment
        self.data = root / ".devbox" / "vm"
        self.data.mkdir(parents=True)
        (root / "devbox.json").write_text('{"packages": []}\n')
        self.bin = pathlib.Path(environment["PATH"].split(":")[0])

    @property
    def runs(self):
        """How many machines were started so far."""
        return len((self.bin / "runs").read_text().splitlines()) if (self.bin / "runs").exists() else 0

    def install(self, play="good", *more):
        (self.bin / "play").write_text(play)
        return self.run("install", "--guest", "nixos", "--iso", str(self.bin / "nixos.iso"), *more)

    def names(self):
        return {path.name for path in self.data.iterdir()}

    def system(self):
        """What makes one installation different from another."""
        with open(self.data / "disk.img", "rb") as disk:
            disk.seek(1 << 20)
            return disk.read(16)


@pytest.fixture
def make(dxvm, clean_environment, scratch):
    """A function that makes a project."""
    folder = scratch / "bin"
    folder.mkdir()
    program = folder / "qemu-system-x86_64"
    shutil.copy(pathlib.Path(__file__).parent / "played_qemu.py", program)
    program.chmod(0o755)
    make_iso(folder)
    environment = {**clean_environment, "PATH": f"{folder}:{clean_environment['PATH']}", "DXVM_ACCEL": "tcg"}
    return lambda name, **more: Played(dxvm, scratch / name, {**environment, **more})


@pytest.fixture
def project(make):
    """One."""
    return make("one")


def made(done):
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def refused(project, done, words):
    """Why, with the console's end; and there is nothing but what explains it."""
    text = done.stderr.decode()
    assert done.returncode == 125 and words in text, text
    assert not project.names() & HALF_MADE, project.names()
    assert f"all of it: {project.data}/console" in text
    return text


def test_what_was_installed_is_the_vm(project):
    text = made(project.install())
    assert "dxvm: booting the installer: " in text and "dxvm: writing everything to disk: " in text, text
    assert project.names() & HALF_MADE == {"guest", "disk.img", "boot"}
    assert project.system().startswith(b"SYSTEM")
    assert {path.name: path.read_text() for path in (project.data / "boot" / "current").iterdir()} == {
        "kernel": "KERNEL", "initrd": "INITRD", "cmdline": "init=/init quiet"}
    identity = (project.data / "id").read_text().strip()
    assert f" systemd.machine_id={identity}" in project.run("start", "--dry-run").stdout.decode()


def test_the_guest_gets_the_hosts_user_zone_proxy_and_own_configuration(make, scratch):
    (scratch / ".config" / "dxvm").mkdir(parents=True)
    (scratch / ".config" / "dxvm" / "configuration.nix").write_text("{ ... }: { }\n")
    project = make("one", TZ='Mars/"${x}\\', http_proxy="http://127.0.0.1:3128/$(evil)'")
    made(project.install())
    text = (project.bin / "bootstrap" / "configuration.nix").read_text()
    host = pwd.getpwuid(os.geteuid())
    user, uid = ("dev", 1000) if host.pw_uid == 0 else (host.pw_name, host.pw_uid)  # nobody is root there
    assert f'  user = "{user}";\n  uid = {uid};\n' in text
    assert 'time.timeZone = "Mars/\\"\\${x}\\\\";' in text
    script = (project.bin / "bootstrap" / "install.sh").read_text()
    assert "export http_proxy='http://10.0.2.2:3128/$(evil)'\\'''\n" in script
    assert (project.bin / "bootstrap" / "local.nix").read_text() == "{ ... }: { }\n"


def test_only_a_proxy_on_this_hosts_loopback_gets_another_address(make):
    project = make("one", http_proxy="http://localhost.corp:3128", https_proxy="http://127.0.0.10/",
                   HTTP_PROXY="http://localhost", HTTPS_PROXY="http://[::1]:1/", all_proxy="socks5://localhost/x")
    made(project.install())
    script = (project.bin / "bootstrap" / "install.sh").read_text()
    lines = {line.removeprefix("export ") for line in script.splitlines() if "_proxy=" in line.lower()}
    assert {"http_proxy='http://localhost.corp:3128'", "https_proxy='http://127.0.0.10/'",
            "HTTP_PROXY='http://10.0.2.2'", "HTTPS_PROXY='http://10.0.2.2:1/'",
            "all_proxy='socks5://10.0.2.2/x'"} <= lines, lines


def test_a_console_on_which_the_kernel_writes_into_everything(project):
    made(project.install("torn"))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_named_with_what_it_said(project, step):
    text = refused(project, project.install(f"fail {step}"), f"{STEPS[step]}: install.sh ended with status 3")
    assert f"| error: {step} does not work" in text and "\x1b" not in text
    if step == "system":
        made(project.install())  # and once it is mended, it works


def test_a_step_that_says_nothing_for_too_long_is_given_up(make):
    project = make("silent", DXVM_INSTALL_SILENCE="4")
    refused(project, project.install("silent system"), "installing NixOS: nothing was heard for 4 s")


def test_a_prompt_that_never_comes(make):
    project = make("mute", DXVM_INSTALL_SILENCE="1")
    text = refused(project, project.install("mute"), "booting the installer: nothing was heard for 1 s")
    assert "the installer has written nothing to its console" in text


def test_a_shell_that_never_answers(make):
    project = make("deaf", DXVM_INSTALL_SILENCE="3")
    refused(project, project.install("deaf"), "booting the installer: nothing was heard for 3 s")


def test_an_installer_that_panics_is_started_once_more(project):
    text = refused(project, project.install("panic"), "Kernel panic - not syncing: test")
    assert project.runs == 2 and "starting it once more" in text


def test_an_installer_that_restarts(project):
    refused(project, project.install("reboot"), "restarted or powered off before it was done")


def test_what_the_installer_leaves_to_be_booted_is_not_trusted(project):
    done = project.install("link")
    assert done.returncode == 125 and b"is a symbolic link" in done.stderr, done.stderr
    assert not project.names() & HALF_MADE


# -- the script itself --

COMMANDS = {"mkfs.ext4": "", "mount": "", "umount": "", "sync": "",
            "nixos-install": "mkdir $M/boot/current; cd $M/boot/current; echo x | tee kernel initrd >cmdline"}


@pytest.mark.parametrize("fault, steps", [("", 4), ("no disk", 1), ("mkfs.ext4", 1), ("mount", 1),
                                          ("dxvm-agent", 2), ("nixos-install", 3), ("cmdline", 4)])
def test_the_script_stops_at_the_step_that_fails(scratch, fault, steps):
    bootstrap, root, disk = scratch / "bootstrap", scratch / "mnt", scratch / "sys" / "vda"
    for folder in (bootstrap, scratch / "bin", disk):
        folder.mkdir(parents=True)
    (disk / "serial").write_text("another\n" if fault == "no disk" else "dxvm-root\n")
    for name in {"configuration.nix", "dxvm-boot.sh", "dxvm-agent", "dxvm-devbox"} - {fault}:
        (bootstrap / name).write_text(name)
    for name, script in {**COMMANDS, **({fault: "exit 7"} if fault in COMMANDS else {})}.items():
        (scratch / "bin" / name).write_text(f"#!/bin/sh\nM={root}\n{script}\n")
        (scratch / "bin" / name).chmod(0o755)
    if fault == "cmdline":
        (scratch / "bin" / "nixos-install").write_text(f"#!/bin/sh\nmkdir {root}/boot/current\n")
    text = (TOP / "templates" / "nixos" / "install.sh.in").read_text().replace("@environment@", "")
    (bootstrap / "install.sh").write_text(text.replace("/mnt", str(root)).replace("/sys/block", str(scratch / "sys")))
    done = subprocess.run(["sh", bootstrap / "install.sh"], env={"PATH": f"{scratch / 'bin'}:/usr/bin:/bin"},
                          capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (fault == ""), done
    told = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("DXVM-STEP")]
    assert told == list(STEPS)[:steps], done


def test_the_script_leaves_no_identity_on_the_disk(scratch):
    test_the_script_stops_at_the_step_that_fails(scratch, "", 4)
    root = scratch / "mnt"
    assert (root / "etc" / "nixos" / "configuration.nix").read_text() == "configuration.nix"
    assert (root / "var" / "lib" / "dxvm" / "dxvm-agent").stat().st_mode & 0o777 == 0o755
    (root / "etc" / "ssh").mkdir()
    (root / "var" / "lib" / "systemd").mkdir()
    for name in ("etc/machine-id", "etc/ssh/ssh_host_rsa_key", "var/lib/systemd/random-seed"):
        (root / name).write_text("of one machine")
    shutil.rmtree(root / "boot" / "current")
    subprocess.run(["sh", scratch / "bootstrap" / "install.sh"], capture_output=True, check=True,
                   env={"PATH": f"{scratch / 'bin'}:/usr/bin:/bin"})
    assert (root / "etc" / "machine-id").read_bytes() == b""
    assert not list((root / "etc" / "ssh").iterdir()) and not list((root / "var" / "lib" / "systemd").iterdir())


# -- a VM that is there --

def test_a_vm_that_is_there_is_replaced_only_by_force(project):
    made(project.install())
    before = (project.system(), (project.data / "id").read_text())
    done = project.install()
    assert done.returncode == 125 and b"--force replaces it" in done.stderr, done.stderr
    assert (project.system(), (project.data / "id").read_text()) == before
    (project.data / "saved").mkdir()
    (project.data / "saved" / "ram").write_text("of the old one")
    shutil.rmtree(pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "base")
    made(project.install("good", "--force"))
    assert project.system().startswith(b"SYSTEM") and project.system() != before[0]
    assert (project.data / "id").read_text() != before[1] and not (project.data / "saved" / "ram").exists()
    assert project.run("ls").stdout.decode().count(str(project.root)) == 1


def test_what_is_to_be_replaced_lives_until_the_new_one_is_complete(project):
    made(project.install())
    before = (project.system(), (project.data / "id").read_text(), project.names() - {"console", "log"})
    shutil.rmtree(pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "base")
    assert project.install("fail finish", "--force").returncode == 125
    assert (project.system(), (project.data / "id").read_text(), project.names() - {"console", "log"}) == before


# -- Ctrl-C --

def interrupted(project, shown, *options):
    """Ctrl-C on a terminal, once it shows these words; it is as it was before. What dxvm says then."""
    child = project.terminal("-install", *options)
    before = termios.tcgetattr(child.child_fd)
    child.expect_exact(shown)
    child.sendintr()
    child.expect(pexpect.EOF)
    assert termios.tcgetattr(child.child_fd) == before
    child.close()
    assert child.exitstatus == 130, (child.exitstatus, child.before)
    return child.before


@pytest.mark.parametrize("play, shown", [("mute", "booting the installer"), ("silent disk", STEPS["disk"]),
                                         ("silent finish", STEPS["finish"])])
def test_interrupted_it_leaves_nothing_and_can_be_run_again(project, play, shown):
    (project.bin / "play").write_text(play)
    assert "interrupted" in interrupted(project, shown, "--iso", str(project.bin / "nixos.iso"))
    assert not project.names() & HALF_MADE
    if play == "silent finish":
        made(project.install())


def test_interrupted_while_it_downloads_it_keeps_what_it_has(project):
    server = Server((project.bin / "nixos.iso").read_bytes())
    server.faults = [lambda handler: handler.image(pause=0.2)]
    project.environment["DXVM_NIXOS_URL"] = server.url
    part = pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "nixos.iso.part"
    try:
        assert "are kept, the next run goes on there" in interrupted(project, "downloading nixos.iso [#")
        assert not project.names() & HALF_MADE and part.exists()
        (project.bin / "play").write_text("good")
        made(project.run("install", "--guest", "nixos"))
        assert server.ranges[0] is None and server.ranges[1].startswith("bytes=") and not part.exists()
    finally:
        server.shutdown()
        server.server_close()


def test_interrupted_by_force_it_leaves_what_was_there(project):
    made(project.install())
    before = project.system()
    shutil.rmtree(pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "base")
    (project.bin / "play").write_text("silent system")
    interrupted(project, STEPS["system"], "--force", "--iso", str(project.bin / "nixos.iso"))
    assert project.system() == before and project.names() & HALF_MADE == {"guest", "disk.img", "boot"}


# -- the next project --

def bases(project):
    """The names of base images."""
    folder = pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "base"
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_next_project_is_a_copy_of_what_was_installed(make):
    one, two = make("one"), make("two")
    made(one.install())
    text = made(two.install())
    assert two.runs == 1 and "booting the installer" not in text, text
    assert two.system() == one.system() and two.names() & HALF_MADE == {"guest", "disk.img", "boot"}
    assert (two.data / "disk.img").stat().st_size == (one.data / "disk.img").stat().st_size
    assert (two.data / "boot" / "current" / "kernel").read_text() == "KERNEL"
    assert (two.data / "id").read_text() != (one.data / "id").read_text()


def test_what_would_be_installed_otherwise_is_installed(make, scratch):
    one, two = make("one"), make("two", TZ="Asia/Tokyo")
    made(one.install())
    made(two.install())
    assert two.runs == 2
    names = bases(two)
    assert len(names) == 1  # nobody asks for the other one any more
    (scratch / ".config" / "dxvm").mkdir(parents=True)
    (scratch / ".config" / "dxvm" / "configuration.nix").write_text("{ ... }: { }\n")
    made(two.install("good", "--force"))
    assert two.runs == 3 and len(bases(two)) == 1 and bases(two) != names
    make_iso(two.bin)
    made(two.install("good", "--force"))
    assert two.runs == 4


def test_without_a_base_image_the_vm_is_complete(project):
    state = pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm"
    state.mkdir(parents=True)
    (state / "base").write_text("in the way")
    assert "no base image was kept for the next project" in made(project.install())
    assert project.system().startswith(b"SYSTEM")


def test_what_an_interrupted_run_left_of_a_base_image_is_no_base_image(make):
    one, two = make("one"), make("two")
    made(one.install())
    folder = pathlib.Path(one.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "base"
    name = bases(one)[0]
    (folder / name).rename(folder / f"{name}.part")
    made(two.install())
    assert two.runs == 2 and bases(two) == [name]
