"""Public suites for file systems, brought by cargo when the tests run: pjdfstest (what each system call
does and refuses) and fsx (reads, writes, maps and cuts one file at random and compares with memory).
They are built once a build directory and kept with its base images."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from projects import BUILD, TOP

VERSIONS = {"pjdfstest": "0.2.2", "fsx": "0.3.2"}
BUILD_LIMIT = 600  # seconds

# All that the guest's kernel offers on this share. Times get a nap longer than the clock's tick.
PJDFSTEST = """
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.02
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""
# What root of the guest is refused: devices, files that belong to others, the setgid bit.
PJDFSTEST_REFUSED = re.compile(r"::(char|block)$|uid_gid_eq_euid_egid$|clear_isgid_bit$|"
                               r"^link::share_metadata::")
FSX = """
flen = 300000
[weights]
close_open = 1.0
mapread = 5.0
mapwrite = 5.0
read = 10.0
write = 10.0
truncate = 3.0
fsync = 1.0
fdatasync = 1.0
posix_fallocate = 1.0
punch_hole = 1.0
sendfile = 1.0
copy_file_range = 2.0
[opsize]
max = 65536
"""


def cargo():
    found = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    if not os.access(found, os.X_OK):
        pytest.skip("cargo is not installed, which would bring the public suites")
    return found


def suite(name):
    """The path of a suite's program; skips where it cannot be had."""
    version = VERSIONS[name]
    kept = pathlib.Path("test-state", "suites", f"{name}-{version}")
    for build in (BUILD, TOP / "build"):  # other build directories need none of their own
        if (build / kept / "bin" / name).exists():
            return build / kept / "bin" / name
    place = BUILD / kept
    place.mkdir(parents=True, exist_ok=True)
    words = [cargo(), "install", "--quiet", "--debug", "--locked", "--root", place,
             "--target-dir", place.parent / "target", f"{name}@{version}"]
    try:
        subprocess.run(words, env=dict(os.environ, CARGO_PROFILE_DEV_DEBUG="0"), check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                       timeout=BUILD_LIMIT)
    except subprocess.TimeoutExpired:
        pytest.skip(f"cargo could not bring {name} {version} within {BUILD_LIMIT} s")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cargo could not bring {name} {version}: {error.stderr[-300:]}")
    return place / "bin" / name


def pjdfstest_outcome(text):
    """From what pjdfstest printed: names by how they came out."""
    outcome = {"ok": [], "skipped": [], "FAILED": []}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines():
        words = line.split()
        if len(words) == 2 and words[1] in outcome and "::" in words[0]:
            outcome[words[1]].append(words[0])
    return outcome
