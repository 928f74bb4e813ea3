"""Every command of the README is run, as it stands there."""
import os
import re
import subprocess

import pytest

from projects import BUILD, TOP

README = (TOP / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)


def commands(block):
    """The lines of a block without their comments."""
    lines = [re.sub(r"\s+# .*", "", line) for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def home_with_project(home):
    """A home as the README imagines it, with dxvm installed where `make install` puts it."""
    path, environment = home
    project = path / "my" / "project"
    project.mkdir(parents=True)
    (project / "devbox.json").write_text("{}\n")
    root = path / "root"
    yield project, {**environment, "DESTDIR": str(root),
                    "PATH": f"{root}/usr/local/bin:{environment['PATH']}"}
    subprocess.run(["dxvm", "stop"], cwd=project, env={**environment, "PATH":
                   f"{root}/usr/local/bin:{environment['PATH']}"}, capture_output=True, check=False)


def run(line, cwd, environment):
    return subprocess.run(["sh", "-c", line], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=1200, check=False)


def test_there_are_commands_and_the_page_is_short():
    assert len(README.splitlines()) <= 150
    assert [line for block in BLOCKS for line in commands(block)][0] == "make run"


def test_every_command_of_the_blocks(home_with_project):
    project, environment = home_with_project
    done = []
    for line in [line for block in BLOCKS for line in commands(block)]:
        if line == "make run":
            continue # test_make_run.py
        if line.startswith("cd "):
            assert line == "cd ~/my/project"
            continue
        if line == "make install":
            # The tree under test is built already; what counts is where things go.
            result = run(f"meson install -C '{BUILD}' --no-rebuild", TOP, environment)
        else:
            result = run(line, project, environment)
        assert result.returncode == 0, (line, result.stdout, result.stderr)
        done.append(line)
    assert "dxvm install --guest debian" in done and "dxvm stop" in done
    assert "echo 4 >.devbox/vm/cpu" in done
    assert (project / ".devbox" / "vm" / "cpu").read_text() == "4\n"


def test_what_is_installed_is_complete(home_with_project):
    _, environment = home_with_project
    root = environment["DESTDIR"]
    for path in ("bin/dxvm", "libexec/dxvm/dxvm-agent", "libexec/dxvm/dxvm-image",
                 "share/man/man1/dxvm.1"):
        assert os.path.exists(f"{root}/usr/local/{path}"), path


def test_commands_named_in_the_text_exist(dxvm, home):
    _, environment = home
    listed = subprocess.run([dxvm, "help"], env=environment, capture_output=True,
                            check=True).stdout.decode()
    for word in set(re.findall(r"`dxvm ([a-z]+)", README)):
        assert re.search(rf"^  {word}\b", listed, re.M), word
    for target in set(re.findall(r"`make ([a-z]+)", README)):
        assert re.search(rf"^{target}:", (TOP / "Makefile").read_text(), re.M), target
