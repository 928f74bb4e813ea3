"""dxvm-image for real: the base images it makes, and what it leaves when it is interrupted, when the
disk is full, and when two run at once. Packages come from the mirror of this machine's apt."""
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ.get("DXVM_TEST_BUILD",
                                    pathlib.Path(__file__).resolve().parents[2] / "build"))
PROGRAM = BUILD / "src" / "image" / "dxvm-image"
# More of them than the suite has time for: DXVM_TEST_INTERRUPTIONS=20 tests/vm/test_image.py
INTERRUPTIONS = int(os.environ.get("DXVM_TEST_INTERRUPTIONS", "2"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """A state directory whose apt lists and packages are fetched; copied where one is needed."""
    state = tmp_path_factory.mktemp("packages")
    install("tiny", state, state / "data")
    shutil.rmtree(state / "base")
    shutil.rmtree(state / "data")
    return state


@pytest.fixture
def state(packages, tmp_path):
    path = tmp_path / "state"
    shutil.copytree(packages, path)
    return path


def start(kind, state, data, *options, **arguments):
    return subprocess.Popen([PROGRAM, "install", "--guest", kind, "--state", state, "--data", data,
                             *options], stdout=subprocess.PIPE, text=True, **arguments)


def install(kind, state, data, *options, **arguments):
    """Its lines; fails unless it succeeds."""
    with start(kind, state, data, *options, **arguments) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0 and lines[-1] == "done", lines
    return lines


def refuse(kind, state, data, *options, **arguments):
    """The text of its error."""
    with start(kind, state, data, *options, **arguments) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 1, lines
    assert lines[-1].startswith("error "), lines
    return lines[-1].removeprefix("error ")


def base_entries(state):
    return {path.name for path in (state / "base").iterdir()} - {"lock", "log"}


def processes_about(path):
    """Processes that have the path in their arguments, directory, root or mounts."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes().decode(errors="replace")
            text += os.readlink(entry / "cwd") + os.readlink(entry / "root")
            text += (entry / "mountinfo").read_text()
        except OSError:
            continue
        if str(path) in text:
            found.append((entry.name, text.split("\0")[0]))
    return found


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def cpio_names(image):
    listing = subprocess.run(["bsdtar", "-tf", image], capture_output=True, text=True, check=True) \
        if shutil.which("bsdtar") else \
        subprocess.run(["cpio", "-t", "--quiet"], stdin=open(image, "rb"), capture_output=True,
                       text=True, check=True)
    return listing.stdout.splitlines()


def test_tiny_has_a_kernel_and_modules_in_their_order(state, tmp_path):
    begin = time.monotonic()
    lines = install("tiny", state, tmp_path / "data")
    assert time.monotonic() - begin < 30
    assert any(line.startswith("stage ") for line in lines)
    boot = tmp_path / "data" / "boot"
    assert b"HdrS" in (boot / "kernel").read_bytes()[:4096] or os.uname().machine != "x86_64"
    initrd = (boot / "initrd").read_bytes()
    assert initrd.startswith(b"070701")
    order = re.search(rb"lib/dxvm/modules\.order\0+((?:[a-z0-9_]+\.ko\n)+)", initrd)
    names = order[1].decode().split()
    # each needs the one before it
    chain = [name for name in names if name in ("failover.ko", "net_failover.ko", "virtio_net.ko")]
    assert chain == ["failover.ko", "net_failover.ko", "virtio_net.ko"]
    assert "virtio_blk.ko" in names
    for name in names:
        assert f"lib/dxvm/modules/{name}".encode() in initrd
    assert not (tmp_path / "data" / "disk.img").exists()


def test_a_second_install_makes_nothing_anew(state, tmp_path):
    install("tiny", state, tmp_path / "one")
    lines = install("tiny", state, tmp_path / "two")
    assert lines == ["stage copying the base image", "done"]
    for name in ("boot/kernel", "boot/initrd"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_packages_of_older_kernels_do_not_pile_up(state, tmp_path):
    old = state / "apt" / "packages" / "linux-image-1.0-cloud"
    old.mkdir()
    (old / "x.deb").write_text("old")
    install("tiny", state, tmp_path / "data")
    names = [path.name for path in (state / "apt" / "packages").iterdir()]
    assert len([name for name in names if name.startswith("linux-image-")]) == 1
    assert "linux-image-1.0-cloud" not in names and "busybox-static" in names


def test_base_images_that_nobody_uses_do_not_pile_up(state, tmp_path):
    month = 30 * 24 * 3600
    ages = {"tiny-old": month + 60, "tiny-used": month - 600, "tinier-old": 2 * month}
    for name, age in ages.items():
        (state / "base" / name).mkdir(parents=True)
        (state / "base" / name / "initrd").write_text("old")
        os.utime(state / "base" / name, times=(time.time() - age,) * 2)
    install("tiny", state, tmp_path / "one")
    assert len(base_entries(state)) == 3 and "tiny-old" not in base_entries(state)
    image, = base_entries(state) - ages.keys()
    os.utime(state / "base" / image, times=(0, 0))
    install("tiny", state, tmp_path / "two")
    assert (state / "base" / image).stat().st_mtime > time.time() - 600, "it was used"


def test_two_at_once_wait_for_each_other_and_say_so(state, tmp_path):
    first = start("tiny", state, tmp_path / "one")
    wait_until(lambda: any(name.endswith(".part") for name in base_entries(state))
               if (state / "base").is_dir() else False)
    second = install("tiny", state, tmp_path / "two")
    assert "note another dxvm is making a base image: waiting for it" in second
    assert first.stdout.read().splitlines()[-1] == "done"
    assert first.wait() == 0
    assert len(base_entries(state)) == 1


def test_a_mirror_that_is_no_uri_is_refused(state, tmp_path):
    environment = dict(os.environ, DXVM_DEBIAN_MIRROR="the usual one")
    text = refuse("tiny", state, tmp_path / "data", env=environment)
    assert "DXVM_DEBIAN_MIRROR=the usual one: must be the URI" in text


def test_a_mirror_that_is_not_there_is_named_and_nothing_stays(state, tmp_path):
    environment = dict(os.environ, DXVM_DEBIAN_MIRROR="http://127.0.0.1:9/debian")
    text = refuse("tiny", state, tmp_path / "data", env=environment)
    assert "127.0.0.1:9" in text
    assert base_entries(state) == set()


@pytest.fixture(scope="session")
def debian(packages, tmp_path_factory):
    """A state directory with the Debian base image in it, and what making it printed."""
    path = tmp_path_factory.mktemp("debian")
    shutil.copytree(packages, path / "state")
    lines = install("debian", path / "state", path / "data", "--size", str(8 << 30))
    return path, lines


def debugfs(image, command):
    return subprocess.run(["/usr/sbin/debugfs", "-R", command, image], capture_output=True,
                          text=True, check=True).stdout


def rootfs(debian):
    (image,) = (debian[0] / "state" / "base").glob("debian-*/rootfs.img")
    return image


def test_debian_shows_stages_and_counts(debian):
    _, lines = debian
    stages = [line for line in lines if line.startswith("stage ")]
    assert "stage installing packages" in stages and "stage making the disk image" in stages
    counts = [tuple(map(int, line.split()[1:])) for line in lines if line.startswith("progress ")]
    assert counts and all(0 <= done <= total for done, total in counts)


def test_debian_is_a_clean_file_system_that_can_grow_to_1_tib(debian):
    image = rootfs(debian)
    check = subprocess.run(["/usr/sbin/e2fsck", "-fn", image], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    features = debugfs(image, "features")
    assert "resize_inode" in features
    # 1 TiB has 8192 groups of 64-byte descriptors, 128 blocks of them
    reserved = int(re.search(r"Reserved GDT blocks:\s+(\d+)", debugfs(image, "stats"))[1])
    assert reserved >= 127
    assert image.stat().st_blocks * 512 < 450 << 20


def test_debian_belongs_to_root_and_keeps_setuid(debian):
    text = debugfs(rootfs(debian), "stat /usr/bin/sudo")
    assert re.search(r"Mode:\s+04755", text) and re.search(r"User:\s+0\s+Group:\s+0", text)
    shadow = debugfs(rootfs(debian), "stat /etc/shadow")
    assert re.search(r"Mode:\s+0640", shadow) and re.search(r"Group:\s+42", shadow)


def test_debian_has_no_user_and_no_identity(debian):
    image = rootfs(debian)
    assert debugfs(image, "cat /etc/machine-id") == ""
    assert debugfs(image, "cat /etc/hostname").strip() == "localhost"
    assert debugfs(image, "cat /etc/resolv.conf") == ""
    assert "ssh_host" not in debugfs(image, "ls /etc/ssh")
    ids = [int(line.split(":")[2]) for line in debugfs(image, "cat /etc/passwd").splitlines()]
    assert not [number for number in ids if 1000 <= number < 65534]


def test_debian_disk_of_a_project_is_sparse_and_as_long_as_asked(debian):
    disk = (debian[0] / "data" / "disk.img").stat()
    assert disk.st_size == 8 << 30
    assert stat.S_IMODE(disk.st_mode) == 0o600
    assert disk.st_blocks * 512 < 450 << 20


def test_a_disk_is_replaced_only_with_force(debian):
    path, _ = debian
    disk = path / "data" / "disk.img"
    before = disk.stat().st_ino
    assert "is not overwritten" in refuse("debian", path / "state", path / "data")
    assert disk.stat().st_ino == before
    install("debian", path / "state", path / "data", "--force")
    assert disk.stat().st_ino != before


def test_a_disk_smaller_than_the_guest_is_refused(debian, tmp_path):
    text = refuse("debian", debian[0] / "state", tmp_path / "data", "--size", str(1 << 30))
    assert "1024 MiB is too small: this guest needs 4096 MiB" in text
    assert not (tmp_path / "data" / "disk.img").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that is too small; root only."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    image, mount = tmp_path / "small.img", tmp_path / "small"
    mount.mkdir()
    yield lambda size: (
        subprocess.run(["truncate", "-s", str(size), image], check=True),
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-m", "0", image], check=True),
        subprocess.run(["mount", "-o", "loop", image, mount], check=True),
    ) and mount
    subprocess.run(["umount", mount], check=False)


def test_too_little_room_is_said_before_anything_is_fetched(packages, small_disk, tmp_path):
    state = small_disk(400 << 20)
    text = refuse("debian", state, tmp_path / "data")
    assert re.search(r"1000 MiB are needed, \d+ MiB are free, \d+ MiB are missing", text)
    assert base_entries(state) == set()
    assert not (state / "apt").exists()


def fill(path):
    """Takes all room that is left, whatever others write meanwhile."""
    with open(path, "wb") as filler, contextlib.suppress(OSError):
        for offset in range(0, 1 << 40, 1 << 20):
            os.posix_fallocate(filler.fileno(), offset, 1 << 20)


def test_a_disk_that_becomes_full_leaves_nothing(packages, small_disk, tmp_path):
    state = small_disk(1500 << 20)
    shutil.copytree(packages / "apt", state / "apt")
    with start("debian", state, tmp_path / "data") as process:
        wait_until(lambda: list((state / "base").glob("*.part/scratch/root/usr"))
                   if (state / "base").is_dir() else False, 60)
        fill(state / "filler")
        last = process.stdout.read().splitlines()[-1]
    assert process.returncode == 1
    assert "became full: up to 1000 MiB are needed" in last
    assert base_entries(state) == set()
    assert processes_about(state / "base") == []


def test_no_room_for_the_disk_says_how_much_is_missing(debian, small_disk):
    mount = small_disk(200 << 20)
    text = refuse("debian", debian[0] / "state", mount / "data")
    assert re.search(r"\d+ MiB are needed, \d+ MiB are free, \d+ MiB are missing", text)
    assert sorted(path.name for path in (mount / "data").rglob("*")) == ["boot"]


@pytest.mark.parametrize("name", ["with space", "quote ' and \\", "ümläut"])
def test_a_state_directory_of_any_name(packages, tmp_path, name):
    state = tmp_path / name
    shutil.copytree(packages, state)
    install("tiny", state, state / "data")


@pytest.mark.parametrize("name, words", [('double"quote', "a quote or newline in the path"),
                                         ("d" * 100 + "/" + "e" * 100, "more than 200 bytes")])
def test_a_state_directory_that_apt_cannot_take_is_refused(tmp_path, name, words):
    assert words in refuse("tiny", tmp_path / name, tmp_path / "data")


def test_a_data_directory_of_any_depth(state, tmp_path):
    data = tmp_path.joinpath("new\nline 'n\" quotes", *(["d" * 60] * 15))
    install("tiny", state, data)
    assert (data / "boot" / "kernel").is_file()


@pytest.mark.parametrize("number", range(INTERRUPTIONS))
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_an_interrupted_build_leaves_nothing_and_the_next_succeeds(state, tmp_path, name, number):
    moment = random.Random(f"{name} {number}").uniform(0, 30)
    process = start("debian", state, tmp_path / "data")
    try:
        process.wait(moment)
        pytest.skip(f"it was ready before {moment:.1f} s")
    except subprocess.TimeoutExpired:
        process.send_signal(getattr(signal, name))
    process.stdout.read()
    assert process.wait() == (130 if name == "SIGINT" else -signal.SIGKILL)
    if name == "SIGINT":
        assert processes_about(state / "base") == []
        assert not [entry for entry in base_entries(state) if entry.endswith(".part")]
    else:
        wait_until(lambda: processes_about(state / "base") == [])
    # The tiny guest is made under the same lock, so it cleans up what the Debian build left.
    install("tiny", state, tmp_path / "tiny")
    assert not [entry for entry in base_entries(state) if entry.endswith(".part")]
    assert not (tmp_path / "data" / "disk.img").exists()
    assert str(state) not in pathlib.Path("/proc/self/mountinfo").read_text()
