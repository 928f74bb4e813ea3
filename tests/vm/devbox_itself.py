"""devbox itself, of which the project ships none."""
import functools
import os
import pathlib
import shutil
import subprocess

from projects import BUILD

VERSION = "0.18.0"
PACKAGE = f"go.jetify.com/devbox/cmd/devbox@{VERSION}"
NAMED = "DXVM_TEST_DEVBOX names a static devbox for Linux"


def is_program(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def build(program):
    """Has Go fetch and build it, static; "", or why it cannot."""
    if not shutil.which("go"):
        return "there is no Go toolchain"
    try:
        done = subprocess.run(
            ["go", "install", "-ldflags", f"-s -w -X go.jetify.com/devbox/internal/build.Version={VERSION}",
             PACKAGE], env={**os.environ, "CGO_ENABLED": "0", "GOBIN": str(program.parent)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    except subprocess.TimeoutExpired:
        return "Go has not built it within 300 s"
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:]


@functools.cache
def find():
    """The one that is named, this host's own, or one that is built here once a build directory:
    its path and "", or None and why there is none."""
    for found in (os.environ.get("DXVM_TEST_DEVBOX"), shutil.which("devbox")):
        if found and is_program(found):
            return found, ""
    program = pathlib.Path(BUILD, "test-state", f"devbox-{VERSION}", "devbox")
    why = "" if program.exists() else build(program)
    return (None, f"no devbox itself here: {why}; {NAMED}") if why else (str(program), "")
