"""devbox of the host's in the Debian guest: a program of the tests that is as static as devbox is."""
import pathlib
import subprocess

import pytest

from projects import Project, stop_quietly
from test_devbox import guest

SOURCE = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "install") == 0) {
		if (access("offline", F_OK) < 0)
			return 0;
		fputs("Error: no such host\n", stderr);
		return 1;
	}
	printf("devbox %s:", argv[0]);
	for (int i = 1; i < argc; i++)
		printf(" <%s>", argv[i]);
	puts("");
	return 7;
}
"""


@pytest.fixture(scope="module")
def tools(dxvm, home, tmp_path_factory):
    """A project of a host that has a devbox."""
    path, environment = home
    folder = tmp_path_factory.mktemp("tools")
    (folder / "devbox.c").write_text(SOURCE)
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", folder / "devbox", folder / "devbox.c"],
                   check=True)
    project = Project(dxvm, path / "itself", {**environment, "DXVM_DEVBOX": str(folder / "devbox")},
                      "debian")
    for name, value in (("mem", "512M"), ("cpu", "2"), ("idle", "never"), ("net", "off")):
        (project.data / name).write_text(f"{value}\n")
    (project.root / "devbox.json").write_text(
        '{"shell": {"scripts": {"hello": "echo hello from $0"}}}')
    yield project
    stop_quietly(project)


def test_the_hosts_devbox_runs_in_the_guest_from_where_nobody_can_change_it(tools):
    done = tools.run("-q", "run", "hello", "a b")
    assert (done.returncode, done.stdout) == (7, b"devbox devbox: <run> <--> <hello> <a b>\n"), done
    assert guest(tools, "command -v devbox; cd /run/dxvm/tools; touch x 2>&1; sudo touch x 2>&1 | "
                        "grep -c Read-only; sudo rm devbox 2>&1 | grep -c Read-only") == \
        "/run/dxvm/tools/devbox\ntouch: cannot touch 'x': Read-only file system\n1\n1"
    shell = tools.run("-q", "-e", "A=1", input=b"")
    assert shell.stdout == b"devbox devbox: <shell> <--env> <A=1>\n"


def test_where_it_cannot_work_a_line_says_so_and_the_environment_is_made_without(tools):
    (tools.root / "offline").touch()
    (tools.root / "devbox.lock").write_text('{"lockfile_version": "1"}')
    done = tools.run("-q", "run", "hello")
    assert done.returncode == 0
    assert done.stdout.startswith(b"hello from "), done.stdout
    assert done.stderr.decode() == "Error: no such host\n" \
        "dxvm: devbox cannot make this environment (no such host); going on without it\n"


def test_another_devbox_of_the_hosts_is_there_after_the_next_start(tools):
    own = pathlib.Path(tools.environment["DXVM_DEVBOX"])
    before = guest(tools, "cksum </run/dxvm/tools/devbox")
    own.write_bytes(own.read_bytes() + b"another")
    assert guest(tools, "cksum </run/dxvm/tools/devbox") == before
    assert tools.run("restart").returncode == 0
    assert guest(tools, "tail -c 7 /run/dxvm/tools/devbox") == "another"
