"""A share without a VM: the real server process, the real pump of the agent, this host's kernel.

Needs root and /dev/fuse. What a program in the guest would do runs in a child with the guest
user's ids; the server works with the ids of the project directory's owner.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import traceback

import pytest

from share_checks import get, put, refused  # noqa: F401 (for the tests)

HOST_ID = 61234  # of the person whose project it is
GUEST_ID = 61235  # of the user in the guest
SHARE = 1


def why_not():
    """Why this host cannot run the rig, or None."""
    if os.geteuid() != 0:
        return "mounting needs root"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return None


class Rig:
    def __init__(self, dxvm, read_only=False, orphans=True, size=None,
                 guest_id=GUEST_ID, disk=None):
        if why_not():
            pytest.skip(f"no share on this host: {why_not()}")
        self.dxvm = dxvm
        self.scratch = scratch = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
        self.host = scratch / "project"
        self.guest = scratch / "mounted"
        self.vm = self.host / ".devbox" / "vm"
        self.orphans = self.vm / "orphans"
        self.read_only = read_only
        self.guest_id = guest_id
        self.keep_orphans = orphans
        self.log = open(scratch / "log", "wb")
        self.host.mkdir()
        self.disk = disk or (size and "tmpfs")  # of the project's own
        if self.disk:
            options = ["-o", f"size={size}"] if size else []
            subprocess.run(["mount", "-t", self.disk, *options, "dxvm-test", self.host], check=True)
        self.orphans.mkdir(parents=True)
        self.guest.mkdir()
        # Programs with the guest's ids must get there.
        os.chmod(scratch, 0o755)
        for path in [self.host, self.host / ".devbox", self.vm, self.orphans]:
            os.chown(path, HOST_ID, HOST_ID)
        self.host_end, guest_end = socket.socketpair()
        self.state = os.memfd_create("state")
        self.server = self.pump = None
        self.start_server()
        self.start_pump(guest_end)

    def start_pump(self, guest_end):
        program = pathlib.Path(self.dxvm).parent / "tests/e2e/share_guest"
        arguments = [program, str(guest_end.fileno()), str(SHARE), str(self.guest)]
        self.pump = subprocess.Popen(arguments + ["ro"] * self.read_only,
                                     pass_fds=[guest_end.fileno()], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=self.log)
        guest_end.close()
        assert self.pump.stdout.readline() == b"mounted\n", self.read_log()

    def read_log(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def start_server(self):
        root = os.open(self.host, os.O_RDONLY | os.O_DIRECTORY)
        hidden = os.open(self.vm, os.O_RDONLY | os.O_DIRECTORY)
        self.control, server_control = socket.socketpair()
        fds = [self.host_end.fileno(), self.state, server_control.fileno(), root, hidden]
        options = ["--port", str(fds[0]), "--guest", f"{self.guest_id}:{self.guest_id}",
                   "--share", f"{SHARE}:{root}:devbox" + (":ro" if self.read_only else ""),
                   "--hidden", str(hidden), "--state", str(self.state),
                   "--control", str(server_control.fileno())]
        if self.keep_orphans:
            fds.append(os.open(self.orphans, os.O_RDONLY | os.O_DIRECTORY))
            options += ["--orphans", str(fds[-1])]
        self.server = subprocess.Popen([self.dxvm, "serve-share", *options], pass_fds=fds,
                                       stderr=self.log)
        server_control.close()
        for fd in fds[3:]:
            os.close(fd)

    def kill_server(self):
        self.server.kill()
        self.server.wait()
        self.control.close()

    def quiesce(self):
        self.control.settimeout(10)
        self.control.send(b"q")
        assert self.control.recv(1) == b"q"

    def resume(self):
        self.control.send(b"r")
        assert self.control.recv(1) == b"r"

    def stop(self):
        subprocess.run(["umount", "-l", self.guest], check=False, stderr=subprocess.DEVNULL)
        if self.pump:
            self.pump.kill()
            self.pump.wait()
        self.server.kill()
        self.server.wait()
        self.host_end.close()
        os.close(self.state)
        self.log.close()
        if self.disk:
            subprocess.run(["umount", "-l", self.host], check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def become_guest(self, uid=None):
        uid = self.guest_id if uid is None else uid
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os.umask(0o022)
        os.chdir(self.guest)

    def run(self, function, *arguments, uid=None):
        """Runs the function in the guest: in the mounted directory, as the guest's user."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                self.become_guest(uid)
                function(*arguments)
                os._exit(0)
            except BaseException:
                os.write(writing, traceback.format_exc().encode()[-60000:])
                os._exit(1)
        os.close(writing)
        with open(reading, "rb") as pipe:
            told = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        if status != 0:
            pytest.fail(told or f"the child ended with status {status}", pytrace=False)

    def steps(self, function):
        """Runs a generator function in the guest, from one yield to the next each time the caller asks
        for more: what is done between is the host's."""
        def within():
            for _ in function():
                os.write(told, b".")
                os.read(go, 1)

        def run():
            try:
                self.run(within)
            except BaseException as error:
                failure.append(error)
            os.close(told)
        failure = []
        (tell, told), (go, going) = os.pipe(), os.pipe()
        thread = threading.Thread(target=run)
        thread.start()
        while os.read(tell, 1):
            yield
            os.write(going, b".")
        thread.join()
        for fd in (tell, go, going):
            os.close(fd)
        if failure:
            raise failure[0]

    def as_root(self, function, *arguments):
        self.run(function, *arguments, uid=0)


def wait_for(condition, what, seconds=10, pause=0.005):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in vain for {seconds} s: {what}"
        time.sleep(pause)
