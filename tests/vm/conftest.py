"""Projects in real VMs. A VM is slow without KVM: each file shares one project a kind, and base images
are kept in the build directory from run to run."""
import os
import pathlib
import shutil
import tempfile

import pytest

from projects import BUILD, Project, stop_quietly


@pytest.fixture(scope="session")
def state_home():
    """Where base images are kept."""
    path = BUILD / "test-state"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="module")
def home(state_home):
    """A short folder, and an environment whose home it is."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("DXVM_", "XDG_", "LC_", "LANG", "DEVBOX_"))
                   or name in ("DXVM_DEBIAN_MIRROR", "DXVM_ACCEL")}
    (path / "run").mkdir(mode=0o700)
    environment.update(HOME=str(path), LANG="C.UTF-8", TERM="xterm-256color",
                       DXVM_DEVBOX="",
                       XDG_RUNTIME_DIR=str(path / "run"), XDG_STATE_HOME=str(state_home))
    yield path, environment
    shutil.rmtree(path, ignore_errors=True)


def small(project):
    """As little memory as the tests need: several may run on one machine."""
    (project.data / "mem").write_text("512M\n")
    (project.data / "cpu").write_text("2\n")
    (project.data / "idle").write_text("never\n") # a test says when
    return project


@pytest.fixture(scope="module")
def tiny(dxvm, home):
    """A project with the tiny guest: kernel, busybox, agent."""
    path, environment = home
    project = small(Project(dxvm, path / "tiny project", environment, "tiny"))
    yield project
    stop_quietly(project)


@pytest.fixture(scope="module")
def debian(dxvm, home):
    """A project with the Debian guest."""
    path, environment = home
    project = small(Project(dxvm, path / "hello", environment, "debian"))
    yield project
    stop_quietly(project)
