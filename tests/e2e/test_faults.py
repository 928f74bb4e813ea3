"""Disks that fail, and processes that die, at every single operation that changes what lies on disk:
afterwards there is one plain error, and the next command works as if nothing had been.

dxvm-faulty is dxvm with another base/fault.c (tests/fault_points.c); a run without a fault counts the
operations, then there is one run for each.
"""
import os
import pathlib
import re
import shutil
import tempfile

import pytest

from projects import BUILD, Project

FAULTS = ["fail", "abort"]
REASON = re.compile(rb"No space left on device; make room there and try again|Input/output error")


class Faulty(Project):
    """A project whose dxvm, and all that it starts, may fail."""

    guest = "fake"

    def __init__(self, scratch, environment):
        libexec = scratch / "libexec"
        libexec.mkdir(exist_ok=True)
        for room, name in (("agent", "dxvm-agent"), ("devbox", "dxvm-devbox")):
            (libexec / name).symlink_to(BUILD / "src" / room / name)
        environment.update(DXVM_LIBEXEC=str(libexec), DXVM_TEST_FAULTS=str(scratch / "faults"))
        self.scratch = scratch
        self.registry = scratch / "state" / "devbox" / "vm" / "registry"
        super().__init__(str(BUILD / "tests" / "e2e" / "dxvm-faulty"), scratch / "p", environment,
                         self.guest)

    def operations(self):
        """What was done on disk since the last of this."""
        path = self.scratch / "faults"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def faulty(self, fault, number, *words):
        """One command in which that operation is the last, or fails; what came of it, and what was
        done up to there."""
        self.operations()
        self.environment["DXVM_TEST_FAULT"] = f"{fault} {number}"
        done = self.run(*words, timeout=60)
        del self.environment["DXVM_TEST_FAULT"]
        return done, self.operations()[:number]

    def leftovers(self):
        """Files that no living thing needs."""
        return [str(path) for top in (self.data, self.registry) for path in top.rglob("*.part")]

    def check(self):
        """It is as if nothing had happened."""
        self.run("install", "--guest", self.guest)
        done = self.run("exec", "echo", "fine")
        assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr
        assert self.leftovers() == []
        assert [path.name for path in self.registry.iterdir()] == [(self.data / "id").read_text().strip()]
        assert self.run("ls").stdout.count(b"\n") == 1


@pytest.fixture
def scratch():
    """In memory, where it is to be had: hundreds of syncs of a real disk would tell nothing more."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    path = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir=memory))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def faulty(scratch, clean_environment):
    made = Faulty(scratch, clean_environment)
    yield made
    made.environment.pop("DXVM_TEST_FAULT", None)
    made.run("kill")


def told(done, fault, operations):
    """Every failure has one line, which says what failed where; a death cannot speak."""
    where = f"at {operations[-1]!r}: {done.stderr}"
    if fault == "abort" or done.returncode == 0:
        return
    assert done.returncode == 125, where
    line = done.stderr.splitlines()[-1]
    assert line.startswith(b"dxvm: ") and REASON.search(line), where
    assert b"/p" in line or b"registry of VMs" in line, where


def every(project, fault, words, before):
    """Runs the command with a fault at each of its operations, from the state that `before` makes."""
    before()
    project.operations()
    assert project.run(*words).returncode == 0
    count = len(project.operations())
    assert count > 0
    failed = 0
    for number in range(1, count + 1):
        before()
        done, operations = project.faulty(fault, number, *words)
        told(done, fault, operations)
        failed += done.returncode != 0
        yield done, operations
        project.check()
    assert failed > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_install_at_every_operation(faulty, fault):
    def nothing():
        faulty.run("kill")
        assert faulty.run("rm", "--force").returncode == 0
        assert not faulty.data.exists()

    for _ in every(faulty, fault, ["install", "--guest", "fake"], nothing):
        pass


@pytest.mark.parametrize("fault", FAULTS)
def test_removal_at_every_operation(faulty, fault):
    def made():
        faulty.run("kill")
        faulty.run("install", "--guest", "fake")

    for done, _ in every(faulty, fault, ["rm", "--force"], made):
        if done.returncode:
            faulty.run("rm", "--force")
        assert not faulty.data.exists() and not list(faulty.registry.iterdir())


@pytest.mark.parametrize("fault", FAULTS)
def test_start_at_every_operation(faulty, fault):
    for _ in every(faulty, fault, ["start"], lambda: faulty.run("kill")):
        pass


@pytest.mark.parametrize("fault", FAULTS)
def test_a_setting_at_every_operation(faulty, fault):
    """It has the value before or the one after, whatever happens."""
    values = iter(range(200, 100000))
    before = faulty.run("config", "mem").stdout

    def stopped():
        nonlocal before
        faulty.run("kill")
        before = faulty.run("config", "mem").stdout
        words[1] = f"mem={next(values)}M"

    words = ["config", ""]
    for done, _ in every(faulty, fault, words, stopped):
        after = faulty.run("config", "mem").stdout
        new = words[1].partition("=")[2].encode() + b"\n"
        assert after in (before, new)
        assert after == new or done.returncode != 0


@pytest.mark.parametrize("fault", FAULTS)
def test_adoption_at_every_operation(faulty, fault):
    def strange():
        faulty.run("kill")
        shutil.rmtree(faulty.registry)

    for done, _ in every(faulty, fault, ["adopt"], strange):
        if done.returncode and not faulty.run("status").returncode == 0:
            assert faulty.run("adopt").returncode == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_further_share_at_every_operation(faulty, fault):
    shared = faulty.scratch / "shared"
    shared.mkdir()

    def none():
        faulty.run("kill")
        faulty.run("config", f"share-={shared}")

    for done, _ in every(faulty, fault, ["config", f"share+={shared}"], none):
        assert (str(shared).encode() in faulty.run("config").stdout) == (done.returncode == 0) or done.returncode
