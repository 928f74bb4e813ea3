"""A guest that is made on a disk that fails, or by a process that dies, at every operation of dxvm-image:
what e2e/test_faults.py does to dxvm itself. No VM is started."""
import pathlib
import shutil
import sys

import pytest

from projects import BUILD

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from test_faults import FAULTS, Faulty, told  # noqa: E402


class FaultyTiny(Faulty):
    guest = "tiny"

    def check(self):
        done = self.run("install", "--guest", "tiny")
        assert done.returncode == 0 or b"has a VM already" in done.stderr, done.stderr
        assert self.leftovers() == []
        assert {path.name for path in (self.data / "boot").iterdir()} == {"kernel", "initrd"}
        for name in ("kernel", "initrd"):
            (base,) = (self.scratch / "state" / "devbox" / "vm" / "base").glob(f"tiny-*/{name}")
            assert (self.data / "boot" / name).read_bytes() == base.read_bytes()


@pytest.fixture
def faulty(tiny, scratch, clean_environment, state_home):
    assert tiny.data.is_dir() # there is a base image
    shutil.copytree(state_home / "devbox" / "vm" / "base", scratch / "state" / "devbox" / "vm" / "base",
                    ignore=lambda _, names: [name for name in names if name.startswith("debian")])
    programs = scratch / "libexec"
    programs.mkdir()
    (programs / "dxvm-image").symlink_to(BUILD / "tests" / "vm" / "dxvm-image-faulty")
    return FaultyTiny(scratch, clean_environment)


@pytest.mark.parametrize("fault", FAULTS)
def test_install_at_every_operation_of_a_guest_with_files(faulty, fault):
    def nothing():
        assert faulty.run("rm", "--force").returncode == 0

    nothing()
    faulty.operations()
    assert faulty.run("install", "--guest", "tiny").returncode == 0
    operations = faulty.operations()
    begin = next(i for i, line in enumerate(operations) if "kernel.part" in line)
    end = max(i for i, line in enumerate(operations) if "boot" in line)
    for number in range(begin + 1, end + 2):
        nothing()
        done, seen = faulty.faulty(fault, number, "install", "--guest", "tiny")
        assert done.returncode != 0
        told(done, fault, seen)
        faulty.check()
