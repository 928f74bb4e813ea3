"""The project share through a real machine: what programs may expect, both sides working at once, and
a server that dies. The long forms: DXVM_TEST_CHURN=1800 (seconds), DXVM_TEST_FILES=200000."""
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import guest_python
from projects import wait_until
from share_checks import CHECKS
from share_churn import churn, probe, tree

CHURN_SECONDS = float(os.environ.get("DXVM_TEST_CHURN", "20"))
FILES = int(os.environ.get("DXVM_TEST_FILES", "2000"))
ROUND_SECONDS = 10


def shell(project, script):
    done = project.run("-q", "exec", "sh", "-c", script)
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode()


@pytest.fixture(scope="module")
def python(tiny):
    return [*guest_python.lay(tiny.root), "python/share_in_guest.py"]


@pytest.fixture(scope="module")
def results(tiny, python):
    """What each check had to say."""
    names = [check.__name__ for check in CHECKS]
    done = tiny.run("-q", "exec", *python, "check", *names, timeout=900)
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
def test_programs_find(results, name):
    assert not results[name], results[name]


class Follower:
    """A process in the guest that reads files of the share on demand."""

    def __init__(self, project, python):
        self.child = project.popen("-q", "exec", *python, "follow", stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)

    def read(self, path):
        self.child.stdin.write(f"{path}\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def end(self):
        self.child.stdin.close()
        assert self.child.wait(60) == 0


def guests_tree(project, python):
    done = project.run("-q", "exec", *python, "tree", "churned", timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def round_of(project, python, follower, seed, seconds, found):
    """Both sides at once; returns how much either did."""
    failure = []

    def probing():
        try:
            probe(project.root / "probe", lambda: follower.read("probe"), seconds,
                  lambda: 0, found)  # in a machine nobody can tell
        except BaseException as error:
            failure.append(error)
    thread = threading.Thread(target=probing)
    child = project.popen("-q", "exec", *python, "churn", "churned", str(seed), str(seconds),
                          stdout=subprocess.PIPE, text=True)
    thread.start()
    ours = churn(project.root / "churned", seed + 1_000_000, seconds, "host")
    thread.join()
    theirs, _ = child.communicate(timeout=seconds + 60)
    assert child.returncode == 0 and not failure, failure
    return ours, int(theirs)


def test_both_sides_work_on_one_tree_and_no_read_is_stale(tiny, python):
    """After each round the trees are equal, inode numbers included. Among the reads begun later than
    the limit after the host's change, none is stale but those that an overloaded test machine
    delays: one, or one in a hundred, and none for longer than a second."""
    for i in range(4):
        (tiny.root / "churned" / f"d{i}").mkdir(parents=True, exist_ok=True)
    follower = Follower(tiny, python)
    follower.read("probe")
    found, ours, theirs, rounds = [], 0, 0, 0
    end = time.monotonic() + CHURN_SECONDS
    try:
        while time.monotonic() < end:
            mine, its = round_of(tiny, python, follower, random.randrange(1000), ROUND_SECONDS, found)
            ours, theirs, rounds = ours + mine, theirs + its, rounds + 1
            wait_until(lambda: guests_tree(tiny, python) == tree(tiny.root / "churned"), "one tree",
                       10)
    finally:
        late = [stale for stale, _ in found if stale]
        worst = max(late, default=0)
        print(f"# {rounds} rounds, {ours} changes by the host, {theirs} by the guest, "
              f"{len(found)} probes, {len(late)} stale, the worst for {worst:.3f} s",
              file=sys.stderr)
        follower.child.stdin.close()
    assert follower.child.wait(60) == 0
    assert theirs > 0 and ours > 0 and len(found) > rounds
    assert len(late) <= max(1, len(found) / 100) and worst < 1, late


def test_sqlite_keeps_its_word(tiny, python):
    done = tiny.run("-q", "exec", *python, "sqlite", ".", timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    for mode in ("delete", "wal"):
        with sqlite3.connect(tiny.root / f"{mode}.db") as database:
            assert database.execute("select count(*) from t").fetchone()[0] == 1000


def server_of(project):
    """The process that serves the project's share."""
    supervisor = project.processes()[0]
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{supervisor}\n" in (entry / "status").read_text() and \
               b"serve-share" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    return None


def resident(pid):
    """KiB of memory that a process holds."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def test_many_files_in_one_directory(tiny, python):
    (tiny.root / "many").mkdir()
    done = tiny.run("-q", "exec", *python, "many", "many", str(FILES), timeout=1800)
    assert done.returncode == 0, done.stderr.decode()
    memory = resident(server_of(tiny))
    print(f"# {FILES} files, seconds: {done.stdout.decode().strip()}; server {memory} KiB",
          file=sys.stderr)
    assert os.listdir(tiny.root / "many") == []
    assert memory < 256 << 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_of_the_hosts_is_said_and_survived(tiny):
    small = tiny.root.parent / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "dxvm-test", small], check=True)
    try:
        assert tiny.run("config", f"share+={small}").returncode == 0
        tiny.stop()
        script = ("cd ~/devbox/small && dd if=/dev/zero of=full bs=64k count=100; sync full; "
                  "rm full && echo fits >again && cat again")
        status, told, errors = shell(tiny, script)
        assert "No space left on device" in errors and (status, told) == (0, "fits"), errors
        assert (small / "again").read_text() == "fits\n"
        assert tiny.run("config", f"share-={small}").returncode == 0
        tiny.stop()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_server_that_is_killed_under_load_is_not_noticed(tiny, python):
    (tiny.root / "load").mkdir()
    child = tiny.popen("-q", "exec", *python, "load", "load", stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        assert int(child.stdout.readline()) > 0  # it works
        server = server_of(tiny)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda server=server: server_of(tiny) not in (None, server), "another server")
        assert int(child.stdout.readline()) > 0  # and goes on
    (tiny.root / "stop").write_text("")
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors


def test_further_directories_are_shared_with_the_next_start(tiny):
    further, read_only = tiny.root.parent / "further", tiny.root.parent / "library"
    for path in (further, read_only):
        (path / ".devbox" / "vm").mkdir(parents=True)
        (path / "from host").write_text("host\n")
    assert tiny.run("config", f"share+={further}").returncode == 0
    assert tiny.run("config", f"share+={read_only}:ro:/opt/library").returncode == 0
    assert tiny.run("config", "share").stdout.decode() == \
        f"{further}:~/devbox/further\n{read_only}:ro:/opt/library\n"
    assert f"share     {further}:" in tiny.run("config").stdout.decode()
    tiny.stop()
    assert shell(tiny, "cat ~/devbox/further/'from host' /opt/library/'from host'")[:2] == \
        (0, "host\nhost")
    # Both ways, coherent, and with the same boundary.
    assert shell(tiny, "echo guest >~/devbox/further/made; ls -A ~/devbox/further/.devbox; "
                       "mkdir ~/devbox/further/.devbox/vm 2>/dev/null || echo refused")[1] == "refused"
    made = further / "made"
    assert made.read_text() == "guest\n" and made.stat().st_uid == tiny.root.stat().st_uid
    made.write_text("changed\n")
    wait_until(lambda: shell(tiny, "cat ~/devbox/further/made")[1] == "changed", "the change", 5)
    # The server refuses too: a_read_only_share_changes_nothing in tests/unit.
    status, _, errors = shell(tiny, "echo x >/opt/library/made")
    assert status != 0 and "Read-only file system" in errors
    assert sorted(os.listdir(read_only)) == [".devbox", "from host"]


def test_a_shared_directory_that_is_gone_is_named_and_can_be_taken_out(tiny):
    tiny.stop()
    further = tiny.root.parent / "further"
    further.rename(tiny.root.parent / "moved")
    done = tiny.run("exec", "true")
    assert done.returncode == 125
    assert f"`dxvm config share-={further}` takes it out".encode() in done.stderr
    assert tiny.run("config", f"share-={further}").returncode == 0
    assert shell(tiny, "ls -A ~/devbox/further 2>/dev/null; ls /opt/library")[:2] == (0, "from host")
    assert tiny.run("config", f"share-={tiny.root.parent / 'library'}").returncode == 0
    assert tiny.run("config", "share").stdout == b""


def test_too_much_is_not_shared(tiny):
    for path in ("/", tiny.environment["HOME"], tiny.environment["XDG_STATE_HOME"]):
        done = tiny.run("config", f"share+={path}")
        assert done.returncode == 125 and b"is refused" in done.stderr, done.stderr
