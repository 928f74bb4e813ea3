"""What every Python test shares: where the programs are, and an environment that is nobody's."""
import os
import pathlib
import shutil
import tempfile

import pytest

from projects import BUILD


@pytest.fixture(scope="session")
def dxvm():
    """The program under test."""
    path = BUILD / "dxvm"
    assert path.is_file(), f"{path} is not built"
    return str(path)


@pytest.fixture(scope="session")
def agent():
    """The agent, which runs on this host too."""
    path = BUILD / "src" / "agent" / "dxvm-agent"
    assert path.is_file(), f"{path} is not built"
    return str(path)


@pytest.fixture
def scratch():
    """A short folder of the test's own: socket paths have room for about 100 bytes only."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def clean_environment(scratch):
    """Nothing of the person who runs the tests gets in; state and sockets lie in the scratch."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("DXVM_", "XDG_", "LC_", "LANG"))
                   or name == "DXVM_DEBIAN_MIRROR"}
    runtime = scratch / "run"
    runtime.mkdir(mode=0o700)
    environment.update(HOME=str(scratch), LANG="C.UTF-8", TERM="xterm-256color",
                       XDG_RUNTIME_DIR=str(runtime), XDG_STATE_HOME=str(scratch / "state"))
    return environment
