"""Both sides of a share working on one tree at random, and what either of them sees of it. Runs on the
host and, with nothing but Python's own library, in a guest."""
import errno
import hashlib
import os
import pathlib
import random
import stat
import time

FRESH = 0.1  # seconds after a change of the host's in which the guest sees it


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


def probe(path, read, seconds, waited, found):
    """On the host: changes a file again and again, and asks the guest for it no earlier than the promise
    says. Appends to `found` for each change how late a read was still stale (the last such read counts)
    and how long, says `waited`, those who serve the share were kept waiting for a processor meanwhile."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        text = f"{number}"
        before = waited()
        if number % 3 == 0:
            path.with_name("probe.new").write_text(text)
            path.with_name("probe.new").rename(path)
        elif number % 7 == 0:
            path.unlink()
            text = "none"
        else:
            path.write_text(text)
        changed = time.monotonic()
        time.sleep(FRESH)  # what is promised: nothing is asked of a read before
        asked = time.monotonic()
        stale = 0.0
        while read() != text:
            stale = asked - changed
            assert stale < 30, "the guest does not see the change at all"
            asked = time.monotonic()
        found.append((stale, waited() - before))


def wait_for_processors(*pids):
    """Seconds that the threads of processes have spent waiting for a processor."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[1])
    return total / 1e9


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
