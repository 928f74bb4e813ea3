"""News from the host that could be missed: they come at the wrong moment, look like nothing, or are
about what cannot be found just then."""
import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from share_rig import HOST_ID, Rig, get, put, wait_for
from test_share_coherence import requests

SPIN = """
import os, sys
os.sched_setaffinity(0, [int(sys.argv[1])])
os.setpriority(os.PRIO_PROCESS, 0, 0)
while True:
    pass
"""


@pytest.fixture
def rig(dxvm):
    made = Rig(dxvm)
    yield made
    made.stop()


def append(path, data):
    with open(path, "ab", buffering=0) as file:
        file.write(data)


def test_a_change_is_seen_although_the_files_times_and_size_are_the_same(dxvm):
    """On a file system whose clock ticks coarsely, as all did before Linux 6.13."""
    rig = Rig(dxvm, disk="ramfs")
    file = os.open(rig.host / "f", os.O_RDWR | os.O_CREAT, 0o644)
    same = 0
    try:
        for i in range(50):
            before, after = b"%03d before" % i, b"%03d after " % i
            os.pwrite(file, before, 0)
            wait_for(lambda before=before: get(rig.guest / "f") == before, "the first")
            told = os.fstat(file).st_mtime_ns
            os.pwrite(file, after, 0)
            same += os.fstat(file).st_mtime_ns == told
            wait_for(lambda after=after: get(rig.guest / "f") == after, "the second", seconds=3)
        assert same > 0
    finally:
        os.close(file)
        rig.stop()


def test_a_listing_is_new_although_the_directorys_times_are_the_same(dxvm):
    rig = Rig(dxvm, disk="ramfs")
    same = 0
    try:
        for i in range(50):
            (rig.host / f"a{i}").touch()
            wait_for(lambda i=i: f"a{i}" in os.listdir(rig.guest), "the first")
            told = rig.host.stat().st_mtime_ns
            (rig.host / f"b{i}").touch()
            same += rig.host.stat().st_mtime_ns == told
            wait_for(lambda i=i: f"b{i}" in os.listdir(rig.guest), "the second", seconds=3)
        assert same > 0
    finally:
        rig.stop()


def test_what_the_host_writes_through_a_mapping_is_seen_when_it_closes_the_file(rig):
    (rig.host / "f").write_bytes(b"0" * 4096)
    for i in range(1, 6):
        file = os.open(rig.host / "f", os.O_RDWR)
        area = mmap.mmap(file, 4096)
        os.close(file)
        area[0:1] = b"x"  # the page is dirty: from now on the times do not change
        assert len(get(rig.guest / "f")) == 4096
        area[0:1] = b"%d" % i
        area.close()
        wait_for(lambda i=i: get(rig.guest / "f")[:1] == b"%d" % i, "what was written", seconds=3)


def test_what_the_guest_closes_is_no_news_to_it(rig):
    """The server closes a file that was written to when it was left alone, and so do others."""
    def work():
        for i in range(5):
            put("f", b"%d" % i * 4096)
            assert get("f")[:1] == b"%d" % i
            yield
            assert get("f")[:1] == b"%d" % i
            yield
    asked = []
    for _ in rig.steps(work):
        if len(asked) % 2 == 0:
            time.sleep(0.3)  # longer than it is kept open
        asked.append(requests(rig))
    # Read once more it comes from the guest's own memory; when it was read last the kernel asks.
    spent = [after - before for before, after in zip(asked[::2], asked[1::2])]
    assert max(spent) <= 2, spent


@pytest.mark.parametrize("how", ["quiesce", "quiesce, then", "kill"])
def test_news_that_were_not_told_yet_are_told_by_the_next_server(rig, how):
    """There are more than are told at once; or they come when the guest is being saved."""
    many = [rig.host / "many" / f"{i}" for i in range(5000)]
    (rig.host / "many").mkdir()
    for path in many:
        path.touch()
    (rig.host / "a").write_text("old")

    def work():
        assert len(os.listdir("many")) == len(many) and len(list(os.scandir("many"))) == len(many)
        for name in os.listdir("many"):
            os.stat(f"many/{name}")
        file = os.open("a", os.O_RDONLY)  # so that the guest's kernel keeps what it knows of it
        assert os.read(file, 10) == b"old"
        yield
        wait_for(lambda: not os.path.exists("a"), "the end of the old name", seconds=5)
        assert get("b") == b"newer"
        os.close(file)
        wait_for(lambda: not os.listdir("many"), "the end of the others", seconds=5)
    for _ in rig.steps(work):
        if how == "quiesce, then":
            rig.quiesce()
        for path in many:
            path.unlink()
        (rig.host / "a").write_text("newer")
        (rig.host / "a").rename(rig.host / "b")
        if how == "quiesce":
            rig.quiesce()
        elif how == "quiesce, then":
            time.sleep(0.3)  # to be heard of, if it were to be
        rig.kill_server()
        rig.start_server()


def test_a_path_that_was_used_while_no_server_knew_it_can_be_used_again(rig):
    (rig.host / "f").write_text("1")

    def work():
        os.stat("f")
        yield
        for _ in range(4):
            try:
                assert get("f") == b"1"
                return
            except OSError as error:
                assert error.errno == errno.ESTALE, error
            time.sleep(1)  # as somebody who tries again
        raise AssertionError("it stays stale")
    for _ in rig.steps(work):
        rig.kill_server()
        os.ftruncate(rig.state, 0)
        threading.Timer(0.3, rig.start_server).start()


def test_a_disk_that_the_host_unmounts_below_the_project_is_gone(rig):
    (rig.host / "disk").mkdir()
    (rig.host / "disk/below").touch()
    subprocess.run(["mount", "-t", "tmpfs", "dxvm-test", rig.host / "disk"], check=True)
    try:
        (rig.host / "disk/d").mkdir()
        (rig.host / "disk/d/f").touch()
        for _ in range(3):  # then it is cached
            assert os.listdir(rig.guest / "disk/d") == ["f"] and os.listdir(rig.guest / "disk") == ["d"]
    finally:
        subprocess.run(["umount", "-l", rig.host / "disk"], check=True)

    def listed():
        try:
            return os.listdir(rig.guest / "disk")
        except OSError as error:
            assert error.errno == errno.ESTALE, error
            return None
    wait_for(lambda: listed() == ["below"], "what was below", seconds=5)


def test_a_file_that_lost_the_name_it_is_open_by_has_as_many_links_as_the_host_sees(rig):
    (rig.host / "f").write_text("1")
    (rig.host / "h").hardlink_to(rig.host / "f")
    os.chown(rig.host / "f", HOST_ID, HOST_ID)

    def work():
        fd = os.open("f", os.O_RDONLY)
        os.unlink("f")
        assert os.stat("h").st_nlink == 1 and os.fstat(fd).st_nlink == 1
    rig.run(work)


def test_a_name_of_several_that_the_host_removes_is_gone_with_the_next_server_too(rig):
    (rig.host / "f").write_text("1")
    (rig.host / "h").hardlink_to(rig.host / "f")

    def work():
        file = os.open("h", os.O_RDONLY)
        assert get("f") == b"1"
        yield
        assert get("f") == b"1"
        yield
        wait_for(lambda: not os.path.exists("h"), "the end of the name", seconds=3)
        assert get("f") == b"1"
        os.close(file)
    for number, _ in enumerate(rig.steps(work)):
        if number == 0:
            rig.kill_server()
            rig.start_server()
        else:
            time.sleep(0.5)  # all has been looked at again
            (rig.host / "h").unlink()


def test_a_directory_moved_out_of_sight_brings_its_news_when_it_is_found(rig):
    (rig.host / "d/sub").mkdir(parents=True)
    (rig.host / "u").mkdir()
    (rig.host / "d/sub/log").write_text("old")

    def work():
        log = os.open("d/sub/log", os.O_RDONLY)
        assert os.read(log, 10) == b"old"
        yield
        time.sleep(0.2)
        assert os.listdir("u") == ["d"]
        os.stat("u/d")
        wait_for(lambda: os.pread(log, 10, 0) == b"new", "the new content", seconds=3)
        yield  # it comes back
        time.sleep(0.2)
        wait_for(lambda: os.pread(log, 10, 0) == b"later", "the later content", seconds=3)
        os.close(log)
    for number, _ in enumerate(rig.steps(work)):
        if number == 0:
            (rig.host / "d").rename(rig.host / "u/d")
            (rig.host / "u/d/sub/log").write_text("new")
        else:
            (rig.host / "away").mkdir()
            (rig.host / "u/d").rename(rig.host / "away/d")
            (rig.host / "away/d/sub/log").write_text("later")
            time.sleep(0.1)
            (rig.host / "away/d").rename(rig.host / "u/d")


def test_news_that_come_right_after_the_first_answer_are_not_lost(rig):
    """The kernel knows the file only once the program that asked for it has run again, and that has
    to wait for a processor here."""
    processor = min(os.sched_getaffinity(0))
    files = [rig.host / f"f{i}" for i in range(20)]

    def look():
        os.sched_setaffinity(0, [processor])
        os.setpriority(os.PRIO_PROCESS, 0, 10)
        for file in files:
            yield
            os.stat(file.name)

    for file in files:
        file.write_text("1")
    hogs = [subprocess.Popen([sys.executable, "-c", SPIN, str(processor)]) for _ in range(2)]
    try:
        steps = rig.steps(look)
        next(steps)
        for file in files:
            rig.server.send_signal(signal.SIGSTOP)
            looking = threading.Thread(target=lambda: next(steps, None))
            looking.start()
            time.sleep(0.1)  # the question is on its way
            rig.pump.send_signal(signal.SIGSTOP)
            rig.server.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            file.write_text("22")
            time.sleep(0.05)
            rig.pump.send_signal(signal.SIGCONT)
            looking.join()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    wait_for(lambda: all((rig.guest / file.name).stat().st_size == 2 for file in files), "the news",
             seconds=3)


def test_what_both_sides_append_is_all_there(rig):
    """The guest by a descriptor that stays open: its kernel does not ask where the file ends."""
    (rig.host / "log").write_text("")
    os.chmod(rig.host / "log", 0o666)

    def work():
        log = os.open("log", os.O_RDWR | os.O_APPEND)
        os.write(log, b"guest 1\n")
        yield
        time.sleep(0.2)
        os.write(log, b"guest 2\n")
        yield  # truncated
        time.sleep(0.2)
        os.write(log, b"guest 3\n")
        assert get("log") == b"guest 3\n" and os.fstat(log).st_size == 8
        yield
        for i in range(2000):
            os.write(log, b"guest %d\n" % (i + 4))
        time.sleep(0.2)
        assert os.pread(log, 1 << 20, 0) == (rig.host / "log").read_bytes()
    for number, _ in enumerate(rig.steps(work)):
        with open(rig.host / "log", "ab", buffering=0) as log:
            if number == 0:
                log.write(b"host line, appended\n")
            elif number == 1:
                assert get(rig.host / "log") == b"guest 1\nhost line, appended\nguest 2\n"
                log.truncate(0)
            else:
                # The guest is at work while this thread is: it goes on with the next step.
                writer = threading.Thread(target=lambda: [
                    append(rig.host / "log", b"host %d\n" % i) for i in range(2000)])
                writer.start()
    writer.join()
    lines = get(rig.host / "log").splitlines()
    assert lines.count(b"") == 0 and len(lines) == 4001, len(lines)
    for side, numbers in (("guest", range(3, 2004)), ("host", range(2000))):
        assert [line for line in lines if line.startswith(side.encode())] == \
            [f"{side} {i}".encode() for i in numbers]
