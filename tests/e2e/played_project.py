"""A project with a machine that is played by played_vm.py."""
import pathlib
import shutil
import subprocess

from projects import Project, wait_until


class Played(Project):
    """One, stopped by whoever makes it."""

    def __init__(self, dxvm, scratch, environment, kind="tiny"):
        folder = scratch / "bin"
        folder.mkdir(parents=True)
        here = pathlib.Path(__file__).resolve().parent
        program = folder / "qemu-system-x86_64"
        shutil.copy(here / "played_vm.py", program)
        program.chmod(0o755)
        self.folder = folder
        environment = {**environment, "PATH": f"{folder}:{environment['PATH']}", "DXVM_ACCEL": "tcg",
                       "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1"}
        super().__init__(dxvm, scratch / "my project", environment, "fake")
        (self.data / "guest").write_text(f"{kind}\n")
        (self.data / "boot").mkdir()
        for name in ("kernel", "initrd"):
            (self.data / "boot" / name).write_bytes(name.encode())
        for setting in ("mem=256M", "loglevel=debug"):
            assert self.run("config", setting).returncode == 0
        self.play()

    def play(self, *lines):
        (self.folder / "play").write_text("".join(f"{line}\n" for line in lines))

    def machines(self):
        """Those that were started so far: "boot" or "resume"."""
        return [line.split()[0] for line in (self.folder / "runs").read_text().splitlines()]

    def commands(self):
        """What QMP was told so far."""
        return (self.folder / "qmp").read_text().split()

    def boot(self):
        """The number of the guest's boot."""
        done = self.run("exec", "boot")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def suspend(self):
        done = self.run("suspend")
        assert done.returncode == 0, done.stderr.decode()
        assert self.is_saved()

    def is_saved(self):
        return (self.data / "saved" / "manifest").exists()

    def comes(self, *words):
        """Starts a command that wants the guest, and returns when the supervisor has heard of it."""
        log = self.data / "log"
        begin = log.stat().st_size
        child = self.popen("-q", *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        wait_until(lambda: b"a client asks 1\n" in log.read_bytes()[begin:], "the supervisor has heard of it")
        return child

    def fails(self, *words, **more):
        """What such a command says that fails."""
        done = self.run(*words, **more)
        assert done.returncode == 125, done.stderr.decode()
        return done.stderr.decode()
