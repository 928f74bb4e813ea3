"""A project with a VM, used the way a person does: by running dxvm in it."""
import os
import pathlib
import subprocess
import time

import pexpect

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("DXVM_TEST_BUILD", TOP / "build")).resolve()
# The sanitizers shadow memory and keep what is freed: tight bounds are told by builds without.
SANITIZED = os.environ.get("DXVM_TEST_SANITIZED") == "1"


def wait_until(condition, what, limit=30):
    """Returns the condition's first true value; fails loudly when it never comes."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"after {limit} s still not: {what}")


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Project:
    """`dxvm` in one project directory, with an environment of its own."""

    def __init__(self, dxvm, root, environment, guest):
        self.dxvm = dxvm
        self.root = pathlib.Path(root)
        self.environment = environment
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "devbox.json").write_text('{"packages": []}\n')
        self.data = self.root / ".devbox" / "vm"
        done = self.run("install", "--guest", guest, timeout=900)
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def run(self, *words, cwd=None, timeout=120, **more):
        """Runs dxvm to its end; output as bytes."""
        if "input" not in more and "stdin" not in more:
            more["stdin"] = subprocess.DEVNULL
        return subprocess.run([self.dxvm, *words], cwd=cwd or self.root, env=self.environment,
                              capture_output=True, timeout=timeout, check=False, **more)

    def popen(self, *words, **more):
        """Starts dxvm and returns at once."""
        return subprocess.Popen([self.dxvm, *words], cwd=self.root, env=self.environment, **more)

    def terminal(self, *words, rows=24, columns=80, timeout=60, cwd=None):
        """dxvm on a terminal of its own."""
        child = pexpect.spawn(self.dxvm, list(words), cwd=str(cwd or self.root), env=self.environment,
                              dimensions=(rows, columns), timeout=timeout, encoding="utf-8",
                              codec_errors="replace")
        child.delaybeforesend = None
        return child

    def status(self):
        """What `dxvm status` prints, by its first words."""
        lines = self.run("status").stdout.decode().splitlines()
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}

    def processes(self):
        """The pids of supervisor and machine that `dxvm status` names."""
        words = self.status().get("processes", "").replace(",", "").split()
        return [int(word) for word in words if word.isdigit() and word != "0"]

    def stop(self):
        """Stops the VM; nothing may be left of it."""
        pids = self.processes()
        done = self.run("stop")
        assert done.returncode == 0, done.stderr
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone", 10)
        return done


def stop_quietly(project):
    """For the end of a test, whatever state it left."""
    pids = project.processes()
    project.run("stop")
    for pid in pids:
        if alive(pid):
            os.kill(pid, 9)
