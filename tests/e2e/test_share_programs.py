"""Programs that are particular about file systems, on the project share, and what is left for the host."""
import errno
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest

from projects import SANITIZED
from share_rig import HOST_ID, Rig, put, wait_for

FILES = int(os.environ.get("DXVM_TEST_FILES", "10000"))


@pytest.fixture(scope="module")
def rig(dxvm):
    made = Rig(dxvm)
    yield made
    made.stop()


def git(*arguments):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
                   "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
                   "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git_commits_branches_packs_and_checks(rig):
    def work():
        git("init", "-q", "-b", "main", "repository")
        os.chdir("repository")
        for i in range(200):
            os.makedirs(f"d{i % 10}", exist_ok=True)
            put(f"d{i % 10}/f{i}", b"%d\n" % i * 50)
        git("add", ".")
        git("commit", "-q", "-m", "one")
        assert git("status", "--porcelain") == ""
        git("checkout", "-q", "-b", "other")
        for i in range(0, 200, 3):
            put(f"d{i % 10}/f{i}", b"changed\n")
        assert len(git("status", "--porcelain").splitlines()) == 67
        git("commit", "-q", "-a", "-m", "two")
        git("checkout", "-q", "main")
        git("merge", "-q", "other")
        git("gc", "-q")
        git("fsck", "--strict")
        assert git("status", "--porcelain") == ""
    rig.run(work)


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_hosts_git_finds_nothing_to_look_at_again(dxvm):
    """Sizes, times, inode numbers and, as is usual, ids are the same on both sides: the index of a
    repository is good for both."""
    rig = Rig(dxvm, guest_id=HOST_ID)

    def work():
        git("init", "-q", "-b", "main", ".")
        for i in range(100):
            put(f"f{i}", b"%d" % i)
        git("add", "f*")
        git("commit", "-q", "-m", "one")
        git("status")
    try:
        rig.run(work)
        assert git("-c", f"safe.directory={rig.host}", "-C", str(rig.host), "diff-files") == ""
    finally:
        rig.stop()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_keeps_its_word(rig, mode):
    def work():
        database = sqlite3.connect(f"{mode}.db")
        assert database.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
        database.execute("create table t (a integer primary key, b text)")
        for i in range(50):
            with database:
                database.executemany("insert into t (b) values (?)",
                                     [("x" * (i + j),) for j in range(20)])
        other = sqlite3.connect(f"{mode}.db")
        assert other.execute("select count(*) from t").fetchone()[0] == 1000
        assert other.execute("pragma integrity_check").fetchone()[0] == "ok"
        with pytest.raises(sqlite3.OperationalError):
            database.execute("begin immediate")
            other.execute("pragma busy_timeout=0")
            other.execute("begin immediate")
        database.rollback()
        other.close()
        database.close()
    rig.run(work)
    with sqlite3.connect(rig.host / f"{mode}.db") as database:
        assert database.execute("select count(*) from t").fetchone()[0] == 1000


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler is installed")
def test_a_program_is_built_and_run(rig):
    def work():
        os.mkdir("build")
        os.chdir("build")
        put("main.c", b'#include <stdio.h>\n#include "part.h"\nint main(void)'
                      b'{ printf("%d\\n", part()); return 0; }\n')
        put("part.h", b"int part(void);\n")
        put("part.c", b'#include "part.h"\nint part(void) { return 42; }\n')
        for name in ["main", "part"]:
            subprocess.run(["cc", "-c", f"{name}.c"], check=True)
        subprocess.run(["ar", "rcs", "libpart.a", "part.o"], check=True)
        subprocess.run(["cc", "-o", "program", "main.o", "libpart.a"], check=True)
        assert subprocess.run(["./program"], check=True, capture_output=True).stdout == b"42\n"
    rig.run(work)
    # And the host can run it: nobody holds it open for writing for long.

    def runs_on_the_host():
        try:
            return subprocess.run([rig.host / "build/program"], check=True,
                                  capture_output=True).stdout == b"42\n"
        except OSError as error:
            assert error.errno == errno.ETXTBSY
            return False
    wait_for(runs_on_the_host, "the program to be free", seconds=2)


def test_a_file_worked_on_at_random_holds_what_was_written(rig):
    """Reads, writes, appends, truncations, holes and mappings against a copy in memory."""
    def work():
        import mmap
        choose = random.Random(5)
        model = bytearray()
        fd = os.open("random", os.O_RDWR | os.O_CREAT, 0o644)
        for _ in range(3000):
            what = choose.randrange(6)
            at = choose.randrange(300000)
            size = choose.randrange(1, 30000)
            if what <= 1:
                data = choose.randbytes(size)
                if len(model) < at + size:
                    model.extend(bytes(at + size - len(model)))
                model[at:at + size] = data
                os.pwrite(fd, data, at)
            elif what == 2:
                model = model[:at] + bytes(max(0, at - len(model)))
                os.ftruncate(fd, at)
            elif what == 3 and len(model) > 1:
                at %= len(model)
                with mmap.mmap(fd, len(model)) as area:
                    data = choose.randbytes(min(size, len(model) - at))
                    area[at:at + len(data)] = data
                    model[at:at + len(data)] = data
            elif what == 4:
                os.close(fd)
                fd = os.open("random", os.O_RDWR)
            else:
                assert os.pread(fd, size, at) == model[at:at + size]
        os.fsync(fd)
        put("sum", hashlib.sha256(model).hexdigest().encode())
        os.close(fd)
    rig.run(work)
    assert (hashlib.sha256((rig.host / "random").read_bytes()).hexdigest()
            == (rig.host / "sum").read_text())


def test_everything_that_was_made_belongs_to_the_user(rig):
    for top, directories, files in os.walk(rig.host):
        for name in directories + files:
            status = os.lstat(os.path.join(top, name))
            assert (status.st_uid, status.st_gid) == (HOST_ID, HOST_ID), name


def test_a_full_host_disk_is_said_and_survived(dxvm):
    rig = Rig(dxvm, size="8m")

    def fits():
        try:
            put("small", b"fits again")
        except OSError as error:
            assert error.errno == 28, error
            return False
        return True

    def fill():
        fd = os.open("full", os.O_WRONLY | os.O_CREAT, 0o644)
        with pytest.raises(OSError) as caught:
            while True:
                os.write(fd, b"x" * 100000)
                os.fsync(fd)
        assert caught.value.errno == 28  # ENOSPC
        os.close(fd)
        os.unlink("full")
        wait_for(fits, "the room that it took", seconds=5)
    try:
        rig.run(fill)
        assert (rig.host / "small").read_text() == "fits again"
    finally:
        rig.stop()


def test_many_files_in_one_directory(rig):
    """Many more than the server keeps open; the long form has 200,000."""
    def work():
        os.mkdir("many")
        for i in range(FILES):
            os.close(os.open(f"many/{i}", os.O_CREAT | os.O_WRONLY, 0o644))
        assert len(os.listdir("many")) == FILES
        assert sum(entry.stat().st_size == 0 for entry in os.scandir("many")) == FILES
    rig.run(work)
    with open(f"/proc/{rig.server.pid}/status", encoding="ascii") as file:
        resident = int(file.read().partition("VmRSS:")[2].split()[0])
    print(f"# {FILES} files; server {resident} KiB", file=sys.stderr)
    assert SANITIZED or resident < (16 << 10) + FILES  # a KiB a file
    rig.run(shutil.rmtree, "many")
    assert not (rig.host / "many").exists()
