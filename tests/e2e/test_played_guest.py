"""A guest that does not do what it is asked, in a machine that could be suspended; both are played."""
import pytest

from played_guest import Played


@pytest.fixture
def played(project, scratch):
    """Makes the project's VM a played one."""
    return lambda **settings: Played(project, scratch / "qemu", **settings)


def test_an_agent_that_is_restarted_during_a_suspend_is_set_up_anew(project, played):
    played(quiesce="restart")
    assert project.run("start").returncode == 0
    done = project.run("suspend", timeout=30)
    assert done.returncode == 125
    assert b"the VM was not suspended: the guest's agent was restarted meanwhile" in done.stderr
    assert project.run("exec", "say", "fine", timeout=30).stdout == b"fine"
    assert project.status()["state"] == "running"
