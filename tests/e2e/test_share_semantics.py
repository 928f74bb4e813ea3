"""The semantics of share_checks.py on the project share, and whose the files are."""
import errno
import os
import shutil
import subprocess

import pytest

from share_checks import CHECKS
from share_rig import GUEST_ID, HOST_ID, Rig, get, put, refused, wait_for


@pytest.fixture(scope="module")
def rig(dxvm):
    made = Rig(dxvm)
    yield made
    made.stop()


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_guest(rig, check):
    def within():
        os.mkdir(check.__name__)
        os.chdir(check.__name__)
        check()
    rig.run(within)


def test_files_belong_to_the_user_on_either_side(rig):
    def write():
        put("from the guest", b"1")
        assert os.stat("from the guest").st_uid == GUEST_ID
    rig.run(write)
    assert (rig.host / "from the guest").stat().st_uid == HOST_ID
    assert (rig.host / "from the guest").stat().st_gid == HOST_ID


def test_what_root_of_the_guest_makes_belongs_to_the_user(rig):
    rig.as_root(put, "from root", b"1")
    assert (rig.host / "from root").stat().st_uid == HOST_ID


def test_the_hosts_inode_numbers_are_shown(rig):
    (rig.host / "numbered").write_text("1")
    assert (rig.guest / "numbered").stat().st_ino == (rig.host / "numbered").stat().st_ino


def test_two_file_systems_in_a_share_have_no_number_in_common(dxvm):
    rig = Rig(dxvm, disk="tmpfs")
    sub = rig.host / "sub"
    sub.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "dxvm-test", sub], check=True)
    try:
        for top in (rig.host, sub):
            for i in range(20):
                (top / f"{i}").write_text("1")
        assert sub.stat().st_ino == rig.host.stat().st_ino
        found = subprocess.run(["find", rig.guest, "-printf", "%i\\n"], check=True,
                               capture_output=True, text=True).stdout.split()
        assert len(found) == len(set(found)) == 43  # .devbox, sub and the top
        for place in (rig.guest, rig.guest / "sub"):
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name not in ("sub", ".devbox"):
                        assert entry.inode() == entry.stat().st_ino
        assert (rig.guest / "1").stat().st_ino == (rig.host / "1").stat().st_ino
    finally:
        subprocess.run(["umount", "-l", sub], check=True)
        rig.stop()


def test_a_file_of_an_overlays_lower_layer_is_written(rig):
    """It gets another birth time by that, but is the same file."""
    parts = [rig.scratch / part for part in ("lower", "upper", "work")]
    for part in (*parts, rig.host / "overlay"):
        part.mkdir()
        os.chown(part, HOST_ID, HOST_ID)
    (parts[0] / "f").write_text("lower")
    os.chown(parts[0] / "f", HOST_ID, HOST_ID)
    mounted = subprocess.run(["mount", "-t", "overlay", "dxvm-test", "-o", "lowerdir={},upperdir={},"
                              "workdir={}".format(*parts), rig.host / "overlay"], check=False)
    if mounted.returncode != 0:
        pytest.skip("no overlayfs on this host")

    def work():
        with open("overlay/f", "r+b") as file:
            assert file.read() == b"lower"
            file.write(b" and upper")
        assert get("overlay/f") == b"lower and upper"
    try:
        rig.run(work)
    finally:
        subprocess.run(["umount", "-l", rig.host / "overlay"], check=True)
    assert (parts[1] / "f").read_text() == "lower and upper"


def test_a_read_only_share_lifts_no_mode(dxvm):
    """Not even for a moment: somebody else could open the file."""
    rig = Rig(dxvm, read_only=True)
    file = rig.host / "closed"
    try:
        file.write_bytes(b"1")
        os.chown(file, HOST_ID, HOST_ID)
        os.chmod(file, 0)
        before = file.stat().st_ctime_ns
        rig.as_root(refused, errno.EACCES, get, "closed")
        assert file.stat().st_ctime_ns == before
    finally:
        rig.stop()


def test_what_belongs_to_others_shows_as_nobodys(rig):
    (rig.host / "roots").write_text("1")
    assert (rig.guest / "roots").stat().st_uid == 65534

    def change():
        refused(errno.EACCES, open, "roots", "wb")
        assert get("roots") == b"1"
    rig.run(change)


def test_nothing_is_kept_of_removed_files_in_the_end(rig):
    def remove_all():
        for name in os.listdir("."):
            if name != ".devbox":
                shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
    rig.as_root(remove_all)
    assert os.listdir(rig.host) == [".devbox"]
    assert rig.server.poll() is None
    wait_for(lambda: not list(rig.orphans.iterdir()), "the orphans' directory to be empty")
