"""The share's server may die or be replaced at any time, as it is at each suspend: no program in the
guest sees an error, and files that are open, moved or unlinked stay what they are."""
import errno
import os
import shutil
import subprocess
import sys
import time
import traceback

import pytest

from share_rig import Rig, get, put, wait_for

# Runs in the guest: works on the file system without a break, and stops at the first error.
HAMMER = """
import os, sys, time
name, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
os.mkdir(name)
os.chdir(name)
log = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
gone = os.open("gone", os.O_RDWR | os.O_CREAT, 0o644)
os.write(gone, b"gone but here")
os.unlink("gone")
count = 0
while time.monotonic() < end:
    os.write(log, b"%08d\\n" % count)
    os.mkdir("a")
    with open("a/f", "w") as file:
        file.write(str(count))
    os.symlink("f", "a/l")
    os.link("a/f", "a/h")
    os.rename("a", "b")
    assert open("b/l").read() == str(count)
    assert os.stat("b/h").st_nlink == 2
    os.unlink("b/f")
    os.unlink("b/h")
    os.unlink("b/l")
    os.rmdir("b")
    assert os.pread(gone, 100, 0) == b"gone but here"
    assert os.listdir(".") == ["log"]
    count += 1
data = os.pread(log, 1 << 24, 0)
assert data == b"".join(b"%08d\\n" % i for i in range(count)), "the log has gaps"
print(count)
"""


@pytest.fixture
def rig(dxvm):
    made = Rig(dxvm)
    yield made
    made.stop()


def hammer(rig, name, seconds):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            rig.become_guest()
            os.execv(sys.executable, [sys.executable, "-c", HAMMER, name, str(seconds)])
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
    os.close(writing)
    return child, reading


def finish(hammers):
    counts = []
    for child, reading in hammers:
        with open(reading, "rb") as pipe:
            told = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        assert status == 0, told
        counts.append(int(told))
    return counts


def test_a_server_killed_under_load_is_no_error_in_the_guest(rig):
    hammers = [hammer(rig, f"h{i}", 6) for i in range(4)]
    deaths = 0
    end = time.monotonic() + 5
    while time.monotonic() < end:
        time.sleep(0.05)  # at any moment of the load
        rig.kill_server()
        rig.start_server()
        deaths += 1
    assert all(count > 0 for count in finish(hammers))
    assert deaths > 10


def test_a_quiet_share_lets_no_request_through_until_it_goes_on(rig):
    rig.run(put, "f", b"1")
    rig.quiesce()
    child, reading = hammer(rig, "waits", 0.5)
    time.sleep(0.3)  # nothing to wait for: nothing must happen
    assert not (rig.host / "waits").exists()
    rig.resume()
    assert finish([(child, reading)])[0] > 0


def test_quiesce_under_load_comes_to_an_end_each_time(rig):
    hammers = [hammer(rig, f"h{i}", 4) for i in range(4)]
    end = time.monotonic() + 3
    rounds = 0
    while time.monotonic() < end:
        rig.quiesce()
        rig.kill_server()
        rig.start_server()
        rounds += 1
    assert all(count > 0 for count in finish(hammers))
    assert rounds > 10


def content_is(name, content):
    try:
        return get(name) == content
    except OSError:  # by an old id, until the name is looked up again
        return False


def test_what_the_host_changed_meanwhile_is_seen(rig):
    def before():
        for name in ["changed", "removed", "replaced", "kept"]:
            put(name, b"before")
            assert get(name) == b"before"
        assert not os.path.exists("new")
    rig.run(before)
    rig.quiesce()
    rig.kill_server()
    (rig.host / "changed").write_bytes(b"after, and longer")
    (rig.host / "removed").unlink()
    (rig.host / "other").write_bytes(b"other")
    (rig.host / "other").rename(rig.host / "replaced")
    (rig.host / "new").write_bytes(b"new")
    rig.start_server()

    def after():
        end = time.monotonic() + 5
        def settled():
            return (content_is("changed", b"after, and longer") and not os.path.exists("removed")
                    and content_is("replaced", b"other") and os.path.exists("new")
                    and get("kept") == b"before")
        wait_for(settled, "what the host changed")
        assert time.monotonic() < end
    rig.run(after)


def wait_for_path():
    """The agent has the kernel drop what nobody uses. Asking all the time would be use."""
    wait_for(lambda: content_is("f", b"1"), "the file by its path", pause=1)


def test_without_its_memory_a_server_still_serves_paths(rig):
    rig.run(put, "f", b"1")
    rig.kill_server()
    os.ftruncate(rig.state, 0)
    rig.start_server()

    def after():
        wait_for_path()
        put("g", b"2")
    rig.run(after)
    assert (rig.host / "g").read_bytes() == b"2"


def test_without_its_memory_a_server_takes_no_file_for_another(rig):
    def work():
        put("ours", b"ours")
        file = os.open("ours", os.O_RDWR)
        yield
        for i in range(20):
            put(f"other {i}", b"other")
        try:
            os.pwrite(file, b"lost", 0)
        except OSError as error:
            assert error.errno == errno.ESTALE
        for i in range(20):
            assert get(f"other {i}") == b"other"
    for _ in rig.steps(work):
        rig.kill_server()
        os.ftruncate(rig.state, 0)
        rig.start_server()
    assert all((rig.host / f"other {i}").read_bytes() == b"other" for i in range(20))


def test_what_is_mounted_over_the_projects_devbox_stays(rig):
    """Whatever the host does to its own, and with the next server, when the guest drops its caches."""
    place, ours = rig.guest / ".devbox", rig.host / ".devbox"
    subprocess.run(["mount", "-t", "tmpfs", "dxvm-test", place], check=True)
    try:
        (place / "mine").write_text("1")
        ours.rename(rig.host / "moved")
        wait_for((rig.guest / "moved").exists, "the host's change")
        ours.write_text("a file")
        ours.unlink()
        (rig.host / "moved").rename(ours)
        wait_for(lambda: not (rig.guest / "moved").exists(), "the host's change")
        rig.kill_server()
        rig.start_server()
        rig.run(put, "f", b"1")
        shutil.rmtree(ours)
        rig.run(put, "g", b"1")
        assert place.is_mount() and (place / "mine").read_text() == "1"
        assert sorted(os.listdir(rig.guest)) == ["f", "g"]
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_damaged_memory_is_said_and_starts_anew(rig):
    rig.run(put, "f", b"1")
    rig.kill_server()
    os.pwrite(rig.state, os.urandom(3000), 4096 + 20)
    rig.start_server()
    rig.run(wait_for_path)
    assert "damaged" in rig.read_log()
