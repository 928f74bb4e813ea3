#!/usr/bin/python3
"""Plays QEMU with an installer of NixOS in it: what dxvm sees of both, the console, QMP and the directories,
without a machine. Called qemu-system-x86_64 and first in PATH, with a file `play` beside it that says how it goes:

    good            all of it
    torn            the same, with the kernel writing into the middle of everything
    mute            nothing is ever written
    deaf            somebody is logged in, but no shell reads
    fail STEP       this step of install.sh fails
    silent STEP     this step never ends
    link STEP       all goes well, but the kernel that is left is a symbolic link
    panic           the kernel panics
    reboot          it restarts

Each run adds a line to the file `runs` beside it, and what install.sh would find is copied to `bootstrap` there.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import time

QMP, CONSOLE, DISK, BOOTSTRAP, BOOT = 3, 6, 10, 13, 14
HERE = pathlib.Path(__file__).parent
STEPS = ["disk", "files", "system", "finish"]
PROMPT = "\x1b[1;32m[nixos@nixos:~]$\x1b[0m "


class Machine:
    def __init__(self, play):
        self.word, _, self.step = play.partition(" ")
        self.qmp, self.console = socket.socket(fileno=QMP), socket.socket(fileno=CONSOLE)
        self.qmp.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
        command = json.loads(self.qmp.makefile("r").readline())
        assert command["execute"] == "qmp_capabilities"
        self.qmp.sendall(json.dumps({"return": {}, "id": command["id"]}).encode() + b"\r\n")
        self.typed = self.console.makefile("r", errors="replace")

    def say(self, text):
        """Torn: in pieces, with a line of the kernel's in between."""
        text = text.replace("\n", "\r\n")
        if self.word != "torn":
            self.console.sendall(text.encode())
            return
        for at in range(0, len(text), 7):
            self.console.sendall(text[at:at + 7].encode())
            time.sleep(0.001)
        self.console.sendall(b"[   12.3] audit: type=1130\r\n")

    def end(self, reason):
        event = {"event": "SHUTDOWN", "data": {"guest": True, "reason": reason},
                 "timestamp": {"seconds": 0, "microseconds": 0}}
        self.qmp.sendall(json.dumps(event).encode() + b"\r\n")
        sys.exit(0)

    def boot(self):
        if self.word == "mute":
            signal.pause()
        self.say("Linux version 6.18\n")
        if self.word == "panic":
            self.say("[    1.0] Kernel panic - not syncing: test\n")
        if self.word in ("panic", "reboot"):
            self.end("guest-reset")
        if self.word == "torn":
            self.say("nixos login: nixos (auto[   12.3] systemd[1]: Started x.\nmatic login)\n[nix")
            self.console.sendall(b"os@nixos:~]$ ")
        else:
            self.say("\nnixos login: nixos (automatic login)\n\n" + PROMPT)
        while (line := self.typed.readline()):
            self.say(line)  # the terminal's echo
            if self.word == "deaf":
                continue
            if "$((6*7))" in line:
                self.say("DXVM-SHELL-42\n" + PROMPT)
            elif "install.sh" in line:
                self.install()

    def install(self):
        shutil.copytree(f"/proc/self/fd/{BOOTSTRAP}", HERE / "bootstrap", dirs_exist_ok=True)
        for step in STEPS:
            self.say(f"\nDXVM-STEP {step}\n")
            if (self.word, self.step) == ("silent", step):
                signal.pause()
            if (self.word, self.step) == ("fail", step):
                self.say(f"error: {step} \x1b[31mdoes not work\n")
                self.finish(3)
        os.pwrite(DISK, b"SYSTEM" + os.urandom(10), 1 << 20)
        current = pathlib.Path(f"/proc/self/fd/{BOOT}/current")
        current.mkdir()
        for name, text in {"kernel": "KERNEL", "initrd": "INITRD", "cmdline": "init=/init quiet"}.items():
            (current / name).write_text(text)
        if self.word == "link":
            (current / "kernel").unlink()
            (current / "kernel").symlink_to("/etc/passwd")
        self.finish(0)

    def finish(self, status):
        for _ in range(3):
            self.say(f"\nDXVM-STATUS={status}\n")
        self.end("guest-shutdown")


def main():
    with open(HERE / "runs", "a", encoding="ascii") as runs:
        runs.write("run\n")
    Machine((HERE / "play").read_text().strip()).boot()


if __name__ == "__main__":
    main()
