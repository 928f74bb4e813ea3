"""A file system of its own for a test: small, or one whose power is cut. Needs root and loop devices."""
import fcntl
import os
import struct
import subprocess

import pytest

from projects import wait_until

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2

needs_root = pytest.mark.skipif(os.geteuid() != 0,
                                reason="only root can make a file system of its own")


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.strip()


class LoopDisk:
    """An ext4 in a file, mounted at `path`."""

    def __init__(self, folder, megabytes):
        self.image = folder / "image"
        self.other = folder / "other"
        self.path = folder / "mounted"
        self.path.mkdir()
        self.device = None
        self.mounts = 0
        for image, size in ((self.image, megabytes << 20), (self.other, 1 << 20)):
            with open(image, "wb") as file:
                file.truncate(size)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.image))
        self.mount()

    def mount(self):
        """On another device each time, as after a reboot."""
        self.mounts += 1
        other = self.mounts % 2 and run("losetup", "--find", "--show", str(self.other))
        self.device = run("losetup", "--find", "--show", str(self.image))
        if other:
            run("losetup", "--detach", other)
        run("mount", self.device, str(self.path))

    def cut(self):
        """What was not flushed is lost, the journal too; everything fails from now on."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def unmount(self):
        def gone():
            return subprocess.run(["umount", str(self.path)], capture_output=True,
                                  check=False).returncode == 0
        wait_until(gone, f"{self.path} is unmounted")
        run("losetup", "--detach", self.device)
        # A mount namespace that somebody made meanwhile keeps it alive, and what it has to write.
        wait_until(lambda: not run("losetup", "--associated", str(self.image)),
                   f"{self.device} is free", 120)

    def fill(self, room=0):
        """Leaves no more room than that many bytes; returns the file to remove."""
        ballast = self.path / "ballast"
        with open(ballast, "ab") as file:
            for size in (1 << 20, 4096):
                try:
                    while os.statvfs(self.path).f_bavail * 4096 >= room + size or not room:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError:
                    continue
            os.fsync(file.fileno())
        return ballast
