"""Projects whose guest is this host: the real dxvm, supervisor and agent, and no VM."""
import pytest

from projects import Project, stop_quietly


@pytest.fixture
def project(dxvm, scratch, clean_environment):
    """A project with the fake guest, stopped at the end."""
    made = Project(dxvm, scratch / "my project", clean_environment, "fake")
    yield made
    stop_quietly(made)
