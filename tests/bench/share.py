#!/usr/bin/python3
"""What the project share costs in a Debian VM, against other ways to a directory of the host's in the
same VM, in turns: 9p (cache=none, mmap, loose), virtiofsd (cache=auto, run by root only), and the guest's
own disk. 2000 files are made, looked at cold and warm, `git status` cold and warm, removed; one
of 64 MiB is written and read. Medians in seconds, and ratios, of what was measured when it ends or is
ended; judges nothing.

Debian's cloud kernel has no 9p. The guest of this benchmark gets the generic one, and the machine its
further devices, from stand-ins for apt-cache and QEMU that come first in PATH.

Usage: share.py [9p-none] [9p-mmap] [9p-loose] [virtiofsd] [disk]    what to compare with; the default: all
"""
import lzma
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from projects import BUILD, Project, stop_quietly, wait_until  # noqa: E402

ROUNDS = 3
WARM = 3
FILES = 2000
LARGE_MIB = 64
CACHES = ("none", "mmap", "loose")
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
# Ratios that are wanted, of the share to another way.
GOALS = {"git-status-warm": ("virtiofsd", 0.8), "create": ("9p-loose", 1.0),
         "remove": ("9p-loose", 1.0)}
# Prints a line "NAME NANOSECONDS" for each measurement.
SCRIPT = f"""
set -e
timed() {{
    name=$1; shift
    a=$(date +%s%N); "$@" >/dev/null; b=$(date +%s%N)
    echo "$name" $((b - a))
}}
cold() {{ sync; echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; }}
create() {{ for i in $(seq {FILES}); do : >d$((i % 20))/$i; done; }}
look() {{ find . -path ./.git -prune -o -type f -size 1; }}
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd "$1" && rm -rf bench && mkdir bench && cd bench && git init -q
for i in $(seq 0 19); do mkdir d$i; done
timed create create
git add . && git commit -qm one
cold; timed stat-cold look
for i in $(seq {WARM}); do timed stat-warm look; done
cold; timed git-status-cold git status
for i in $(seq {WARM}); do timed git-status-warm git status; done
timed write dd status=none if=/dev/zero of=large bs=1M count={LARGE_MIB}
cold; timed read dd status=none if=large of=/dev/null bs=1M
timed remove rm -rf d*
cd .. && rm -rf bench
"""


class Ways:
    """Directories of the host's and how the guest gets at them, beside the share."""

    def __init__(self, folder):
        self.folder = folder
        self.devices = []
        self.mounts = {}
        self.daemon = None
        for cache in CACHES:
            path = self.directory(f"9p-{cache}")
            self.devices += ["-fsdev", f"local,id={cache},path={path},security_model=none",
                             "-device", f"virtio-9p-pci,fsdev={cache},mount_tag={cache}"]
            self.mounts[f"9p-{cache}"] = \
                f"-t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache={cache} {cache}"
        if os.geteuid() != 0 or not os.access(VIRTIOFSD, os.X_OK):
            print(f"SKIP: comparison with virtiofsd: only root can run it, and {VIRTIOFSD} is needed")
            return
        self.devices += ["-chardev", f"socket,id=vfs,path={folder}/vfs.sock",
                         "-device", "vhost-user-fs-pci,chardev=vfs,tag=vfs"]
        self.mounts["virtiofsd"] = "-t virtiofs vfs"

    def directory(self, name):
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def serve(self):
        """A virtiofsd serves one machine."""
        if "virtiofsd" not in self.mounts:
            return
        with open(self.folder / "vfs.log", "wb") as log:
            self.daemon = subprocess.Popen(
                [VIRTIOFSD, f"--socket-path={self.folder}/vfs.sock", "-o",
                 f"source={self.directory('virtiofsd')},cache=auto"], stdout=log, stderr=log)
        wait_until((self.folder / "vfs.sock").exists, "virtiofsd listens")

    def mount(self, project):
        user = guest(project, "id -u; id -g").split()
        for name, how in self.mounts.items():
            if os.geteuid() == 0:
                os.chown(self.directory(name), *map(int, user))
            guest(project, f"sudo mkdir -p /mnt/{name} && sudo mount {how} /mnt/{name}")

    def end(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()


def stand_ins(folder, devices):
    """A directory for PATH."""
    path = folder / "bin"
    path.mkdir()
    real = {name: shutil.which(name) for name in ("qemu-system-x86_64", "apt-cache")}
    scripts = {
        "qemu-system-x86_64": f"exec {real['qemu-system-x86_64']} \"$@\" {' '.join(devices)}",
        "apt-cache": f"for w; do shift; case $w in linux-image-cloud-*) w=linux-image-${{w##*-}};; esac\n"
                     f"set -- \"$@\" \"$w\"; done; exec {real['apt-cache']} \"$@\"",
    }
    for name, text in scripts.items():
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    return path


def newc(name, data):
    """One file as the kernel's archive format has it, and what pads it."""
    name = name.encode() + b"\0"
    fields = [0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def add_crc32c(project, state):
    """The generic kernel's ext4 asks for an algorithm by a name that no dependency of it tells."""
    package, = state.glob("devbox/vm/apt/packages/linux-image-*/*.deb")
    listing = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    module = subprocess.run(["tar", "-xO", "--wildcards", "*/crypto/crc32c_generic.ko*"],
                            stdin=listing.stdout, stdout=subprocess.PIPE, check=True).stdout
    listing.communicate()
    initrd = project.data / "boot" / "initrd"
    whole = initrd.read_bytes()
    order = re.search(rb"modules\.order\0+((?:\w+\.ko\n)+)", whole)[1]
    initrd.write_bytes(whole + bytes(-len(whole) % 4)
                       + newc("lib/dxvm/modules/crc32c.ko", lzma.decompress(module))
                       + newc("lib/dxvm/modules.order", b"crc32c.ko\n" + order)
                       + newc("TRAILER!!!", b""))


def guest(project, script, *arguments):
    done = project.run("-q", "exec", "bash", "-c", script, "bench", *arguments, timeout=900)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def measure(project, place, found):
    """Adds seconds by name, measured in one place."""
    for line in guest(project, SCRIPT, place).splitlines():
        name, number = line.split()
        found.setdefault(name, []).append(int(number) / 1e9)


def print_all(found, places):
    median = {place: {what: statistics.median(numbers) for what, numbers in found[place].items()}
              for place in places}
    if "share" not in places:
        return
    print(f"{'':17}" + "".join(f"{place:>11}" for place in places))
    for what in found["share"]:
        print(f"{what:17}" + "".join(f"{median[place][what]:>9.3f} s" for place in places))
    for what, (other, goal) in GOALS.items():
        if other in places:
            ratio = median["share"][what] / median[other][what]
            print(f"{what}: {ratio:.2f} x {other} (goal {goal})")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # nothing is left behind
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    (folder / "run").mkdir(mode=0o700)
    state = BUILD / "test-state" / "generic-kernel"
    state.mkdir(parents=True, exist_ok=True)
    ways = Ways(folder)
    environment.update(HOME=str(folder), TERM="xterm-256color", XDG_RUNTIME_DIR=str(folder / "run"),
                       XDG_STATE_HOME=str(state),
                       PATH=f"{stand_ins(folder, ways.devices)}:{environment['PATH']}")
    project = Project(str(BUILD / "dxvm"), folder / "project", environment, "debian")
    (project.data / "idle").write_text("never\n")
    add_crc32c(project, state)
    print(f"{FILES} files, {ROUNDS} rounds, {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        ways.serve()
        done = project.run("start", timeout=600)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        ways.mount(project)
        places = {"share": ".", **{name: f"/mnt/{name}" for name in ways.mounts}, "disk": "/var/tmp"}
        if sys.argv[1:]:
            places = {name: places[name] for name in ("share", *sys.argv[1:])}
        found = {place: {} for place in places}
        try:
            for number in range(ROUNDS):
                for place, path in places.items():
                    started = time.monotonic()
                    measure(project, path, found[place])
                    print(f"# round {number + 1}, {place}: {time.monotonic() - started:.0f} s",
                          file=sys.stderr, flush=True)
        finally:
            print_all(found, [place for place in places if found[place]])
    finally:
        stop_quietly(project)
        ways.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
