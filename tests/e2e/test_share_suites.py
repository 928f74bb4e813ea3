"""What suites of others think of the project share."""
import shutil
import subprocess
import sys

import pytest

import share_suites
from share_rig import Rig


@pytest.fixture(scope="module")
def rig(dxvm):
    made = Rig(dxvm)
    yield made
    made.stop()


def run(rig, name, settings, *words, uid=None):
    """A suite in the guest, in the shared directory."""
    uid = rig.guest_id if uid is None else uid
    program = rig.scratch / name  # where the guest's user may run it
    shutil.copy(share_suites.suite(name), program)
    (rig.scratch / "settings").write_text(settings)
    return subprocess.run([program, *words], cwd=rig.guest, user=uid, group=uid, extra_groups=[],
                          umask=0o022, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=250)


def pjdfstest(rig, uid=None):
    done = run(rig, "pjdfstest", share_suites.PJDFSTEST, "-c", "../settings", "-p", ".", uid=uid)
    outcome = share_suites.pjdfstest_outcome(done.stdout)
    print("# pjdfstest: " + ", ".join(f"{len(names)} {what}" for what, names in outcome.items()),
          file=sys.stderr)
    return outcome, done.stdout


def test_pjdfstest_finds_nothing_wrong_for_a_user(rig):
    outcome, told = pjdfstest(rig)
    assert not outcome["FAILED"], told
    assert len(outcome["ok"]) > 200, told


def test_pjdfstest_finds_wrong_for_root_only_what_the_share_refuses_by_design(rig):
    """Devices, other owners, the setgid bit: docs/share.md has the list."""
    outcome, told = pjdfstest(rig, uid=0)
    wrong = [name for name in outcome["FAILED"] if not share_suites.PJDFSTEST_REFUSED.search(name)]
    assert not wrong, told
    assert len(outcome["ok"]) > 250, told


@pytest.mark.parametrize("seed", [1, 2])
def test_fsx_reads_what_it_wrote(rig, seed):
    done = run(rig, "fsx", share_suites.FSX, "-f", "../settings", "-N", "3000", "-S", str(seed),
               f"fsx-{seed}")
    assert done.returncode == 0, done.stdout[-4000:]
