"""Both sides of a share working on one tree at random, and what either of them sees of it. Runs on the
host and, with nothing but Python's own library, in a guest."""
import errno
import hashlib
import os
import pathlib
import random
import stat
import time


def churn(top, seed, seconds, mark):
    """Writes, makes, moves and removes at random, in names that both sides use."""
    choose = random.Random(seed)
    end = time.monotonic() + seconds
    done = 0
    while time.monotonic() < end:
        path = top / f"d{choose.randrange(4)}" / f"f{choose.randrange(12)}"
        other = top / f"d{choose.randrange(4)}" / f"f{choose.randrange(12)}"
        what = choose.randrange(6)
        try:
            if what < 2:
                path.write_text(f"{mark} {choose.random()}" * choose.randrange(1, 400))
            elif what == 2:
                path.rename(other)
            elif what == 3:
                path.unlink()
            elif what == 4:
                path.mkdir()
            elif path.is_dir():
                path.rmdir()
            else:
                path.read_bytes()
            done += 1
        except OSError:
            pass  # the other side was there first
    return done


def line_of(top, path):
    status = path.lstat()
    line = f"{path.relative_to(top)} {stat.filemode(status.st_mode)} {status.st_ino}"
    if stat.S_ISLNK(status.st_mode):
        line += f" {os.readlink(path)}"
    elif stat.S_ISREG(status.st_mode):
        line += f" {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return line


def tree(top):
    """Every path under a directory with its kind, mode, size, inode number and content; a list of
    lines. What vanishes or is moved while it is looked at is left out."""
    lines = []
    for parent, directories, files in os.walk(top):
        directories[:] = sorted(name for name in directories if name != ".devbox")
        for name in sorted(directories + files):
            try:
                lines.append(line_of(top, pathlib.Path(parent, name)))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESTALE):
                    raise
    return sorted(lines)
