"""A guest that does not do what it is asked, in a machine that could be suspended; both are played."""
import time

import pytest

from played_guest import Played
from projects import wait_until


@pytest.fixture
def played(project, scratch):
    """Makes the project's VM a played one."""
    return lambda *kind, **settings: Played(project, scratch / "qemu", *kind, **settings)


def test_an_agent_that_is_restarted_during_a_suspend_is_set_up_anew(project, played):
    played(quiesce="restart")
    assert project.run("start").returncode == 0
    done = project.run("suspend", timeout=30)
    assert done.returncode == 125
    assert b"the VM was not suspended: the guest's agent was restarted meanwhile" in done.stderr
    assert project.run("exec", "say", "fine", timeout=30).stdout == b"fine"
    assert project.status()["state"] == "running"


def test_a_vm_that_cannot_be_suspended_is_not_put_to_rest_again_at_once(project, played):
    """Nobody is connected, and each look at that counts; one falls between the failure and what follows."""
    qemu = played(quiesce="its disk is broken", late=1.5)
    (project.data / "idle").write_text("1\n")
    assert project.run("start").returncode == 0
    wait_until(lambda: b"the VM was not suspended" in project.run("logs").stdout, "a suspend has failed")
    time.sleep(4)
    logs = project.run("logs").stdout
    assert logs.count(b"running -> suspending") == 1 and b"restarted" not in logs
    assert project.status()["state"] == "running"
    assert "quit" not in qemu.commands()


@pytest.fixture
def with_disk(project, played):
    """A VM with a disk of 1 MiB, which is to have one of 4 GiB at its next boot, and some text on its console."""
    played("debian")
    (project.data / "disk.img").write_bytes(bytes(1 << 20))
    (project.data / "disk").write_text("4G\n")
    (project.data / "console").write_text("what the kernel said\n")
    return project


def size(project):
    return (project.data / "disk.img").stat().st_size


def test_a_dry_run_changes_nothing(with_disk):
    before = {path: path.stat().st_mtime_ns for path in with_disk.data.rglob("*")}
    done = with_disk.run("start", "--dry-run")
    assert done.returncode == 0 and done.stdout.startswith(b"qemu-system-x86_64\n")
    assert {path: path.stat().st_mtime_ns for path in with_disk.data.rglob("*")} == before
    assert with_disk.run("start").returncode == 0
    assert size(with_disk) == 4 << 30
    assert (with_disk.data / "console").read_text() == ""


def test_a_suspended_vm_goes_on_with_its_disk_and_has_a_larger_one_when_it_boots(with_disk):
    assert with_disk.run("start").returncode == 0
    assert with_disk.run("suspend").returncode == 0
    (with_disk.data / "disk").write_text("5G\n")
    assert with_disk.run("start", "--dry-run").returncode == 0
    done = with_disk.run("start")
    assert done.returncode == 0 and b"resumed in " in done.stderr, done.stderr
    assert with_disk.run("exec", "say", "fine").stdout == b"fine"
    assert size(with_disk) == 4 << 30
    with_disk.stop()
    assert with_disk.run("start").returncode == 0
    assert size(with_disk) == 5 << 30
