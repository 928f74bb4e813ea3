"""What the host does to a running VM with a disk: it runs full, and it shuts down."""
import json
import os
import signal
import subprocess

import pytest

from conftest import small
from projects import Project, alive, stop_quietly, wait_until

ROOM = 8 << 20 # left for the guest at first
WRITTEN = 32 # MiB; more than that

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")


@pytest.fixture(scope="module")
def disk(home):
    """A file system of the host's that is nearly full from the start of the guest on, and a function that
    says how large it is to be."""
    place = home[0] / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3G", "dxvm-test", str(place)], check=True)

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)

    yield place, resize
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def vm(dxvm, home, disk):
    project = small(Project(dxvm, disk[0] / "p", home[1], "debian"))
    yield project
    disk[1]("3G")
    stop_quietly(project)


def guest(project, script):
    done = project.run("-q", "exec", "sh", "-c", script, timeout=240)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def test_a_full_disk_pauses_the_guest_until_there_is_room(vm, disk):
    place, resize = disk
    guest(vm, "true")
    status = os.statvfs(place)
    resize((status.f_blocks - status.f_bfree) * status.f_frsize + ROOM)
    script = (f"yes data | head -c {WRITTEN}M >/var/tmp/data && sync /var/tmp/data && "
              "sha256sum </var/tmp/data")
    writing = vm.popen("exec", "sudo", "sh", "-c", script, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    log = vm.data / "log"
    wait_until(lambda: b"the host's disk is full: the guest is paused" in log.read_bytes(), "it is paused", 120)
    assert vm.status()["state"].startswith("paused, because the host's disk is full")
    assert writing.poll() is None
    refused = vm.run("suspend")
    assert refused.returncode == 125
    assert b"the guest is paused: the host's disk is full" in refused.stderr
    resize("3G")
    told, errors = writing.communicate(timeout=240)
    assert writing.returncode == 0, errors
    wait_until(lambda: b"the guest goes on" in log.read_bytes(), "the log says so")
    assert guest(vm, "sudo sh -c 'echo 3 >/proc/sys/vm/drop_caches; sha256sum </var/tmp/data'") == told.decode().strip()
    assert "error" not in guest(vm, "sudo dmesg | grep -i 'ext4\\|vda' || true").lower()


def test_a_shutdown_of_the_host_loses_nothing(vm):
    """It sends SIGTERM to all processes at once, in any order."""
    guest(vm, "head -c 3000000 /dev/urandom >~/kept && sync ~/kept")
    before = guest(vm, "sha256sum ~/kept; cat /proc/sys/kernel/random/boot_id")
    shell = vm.popen("exec", "sh", "-c", "echo here; exec sleep 600", stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdout.readline() == b"here\n"
    supervisor, machine = vm.processes()
    children = subprocess.run(["pgrep", "-P", str(supervisor)], capture_output=True, check=True).stdout.split()
    for pid in [machine, *map(int, children), shell.pid, supervisor]:
        os.kill(pid, signal.SIGTERM)
    shell.communicate(timeout=60)
    for pid in (supervisor, machine):
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone", 60)
    assert json.loads(vm.run("status", "--json").stdout)["state"] == "suspended"
    assert guest(vm, "sha256sum ~/kept; cat /proc/sys/kernel/random/boot_id") == before
