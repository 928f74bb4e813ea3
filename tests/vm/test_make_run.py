"""What the README promises a newcomer: a clone, `make run`, a prompt."""
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile

import pexpect
import pytest

from projects import TOP, wait_until

RUNUSER = "/usr/sbin/runuser" # not on the path of who it becomes


class Newcomer:
    """A person with a fresh clone."""

    def __init__(self, path, environment, user=None):
        self.clone = path / "clone"
        self.environment = environment
        self.user = user
        made = subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(TOP), str(self.clone)],
                              capture_output=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"this tree cannot be cloned: {made.stderr.decode()}")
        if user:
            subprocess.run(["chown", "-R", f"{user}:", str(path)], check=True)

    def words(self, *words):
        """The command as this person."""
        if not self.user:
            return list(words)
        return [RUNUSER, "-u", self.user, "--", *words]

    def run(self, *words, cwd=None):
        return subprocess.run(self.words(*words), cwd=cwd or self.clone, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=1500,
                              check=False)

    def stop(self):
        """Stops the VM of the example; nothing of it may be left."""
        project = self.clone / "examples" / "hello"
        lock = project / ".devbox" / "vm" / "lock"
        if not lock.exists():
            return
        pid = int(lock.read_text().split()[1])
        done = self.run(str(self.clone / "build" / "dxvm"), "stop", cwd=project)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the supervisor is gone")


def newcomer_environment(home, state=None):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("DXVM_", "XDG_", "LC_", "LANG", "DEVBOX_", "MAKE", "MFLAGS"))
                   or name in ("DXVM_DEBIAN_MIRROR", "DXVM_ACCEL")}
    environment.update(HOME=str(home), LANG="C.UTF-8", TERM="xterm-256color",
                       DXVM_DEVBOX="")
    if state:
        environment["XDG_STATE_HOME"] = str(state)
    return environment


@pytest.fixture(scope="module")
def newcomer(state_home):
    """Whoever runs the tests; the base image that other tests made is used."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    made = Newcomer(path, newcomer_environment(path, state_home))
    yield made
    made.stop()
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def ordinary_user():
    """A user who is not root, may use sudo, and has no subordinate ids yet."""
    if os.geteuid() != 0:
        pytest.skip("only root can make another user; these tests already run as one who is not root")
    name = "dxvmtest"
    subprocess.run(["userdel", "-rf", name], capture_output=True, check=False)
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", name], check=True, capture_output=True)
    for kind in ("uid", "gid"):
        path = pathlib.Path(f"/etc/sub{kind}")
        if path.exists() and f"{name}:" in path.read_text():
            first, count = re.search(rf"^{name}:(\d+):(\d+)", path.read_text(), re.M).groups()
            subprocess.run(["usermod", f"--del-sub{kind}s", f"{first}-{int(first) + int(count) - 1}",
                            name], check=True)
    may = pathlib.Path("/etc/sudoers.d") / name
    may.write_text(f"{name} ALL=(ALL) NOPASSWD: ALL\n")
    may.chmod(0o440)
    home = pathlib.Path(pwd.getpwnam(name).pw_dir)
    environment = newcomer_environment(home)
    # As Debian's login gives it to who is not root.
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
    made = Newcomer(home, environment, name)
    yield made
    made.stop()
    may.unlink()
    subprocess.run(["pkill", "-KILL", "-u", name], check=False)
    subprocess.run(["userdel", "-rf", name], capture_output=True, check=True)


def check_command(person):
    done = person.run("tools/run")
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert b"hello from dxvm-hello, Linux" in done.stdout
    assert b"/devbox/hello:" in done.stdout
    assert b"devbox.json" in done.stdout
    person.environment["CMD"] = "exit 7"
    assert person.run("tools/run").returncode == 7
    del person.environment["CMD"]


def check_prompt(person):
    child = pexpect.spawn("make", ["run"], cwd=str(person.clone), env=person.environment, timeout=300,
                          encoding="utf-8") if not person.user else \
        pexpect.spawn(RUNUSER, ["-u", person.user, "--", "make", "run"], cwd=str(person.clone),
                      env=person.environment, timeout=300, encoding="utf-8")
    child.expect(r"devbox/hello(\x1b\[[0-9;]*m)*\$ ")
    child.sendline("echo user-$(id -un) in ${PWD##*/}; touch made-inside; exit 0")
    child.expect(r"user-(\w+) in hello\r\n")
    user = child.match[1]
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    made = (person.clone / "examples" / "hello" / "made-inside").stat()
    owner = (person.clone / "examples" / "hello").stat()
    assert (made.st_uid, made.st_gid) == (owner.st_uid, owner.st_gid)
    return user


def test_make_run_runs_a_command_and_ends_with_its_status(newcomer):
    check_command(newcomer)


def test_make_run_on_a_terminal_ends_at_a_prompt_in_the_project(newcomer):
    user = check_prompt(newcomer)
    assert user == ("dev" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


def test_an_ordinary_user_gets_the_same(ordinary_user):
    check_command(ordinary_user)
    assert check_prompt(ordinary_user) == ordinary_user.user
