"""Plays QEMU with a guest of dxvm_guest.py in it, for what needs a machine that can be suspended and no VM:
QMP, to which it says yes, and the agent. Put in QEMU's place (install()), it does what the file `guest.json` beside
it says, as a dxvm_guest does, and

    "quiesce"       "restart": the agent is restarted when it is to come to rest; else the text of a refusal
    "late"          seconds it takes to go on after that

The names of the QMP commands that came are in the file `qmp` beside it, one a line. Of what it is, only the boot
nonce is saved by a suspend; it is in the file `nonce`.
"""
import json
import os
import pathlib
import socket
import struct
import sys
import threading
import time

from dxvm_guest import Guest
from dxvm_peer import (ACTIVITY, FAILED, GOAWAY, OK, QUIESCE, REPLY, RESUMED, Closed, Fields, hello, string)

QMP, AGENT, SHARE = 3, 4, 5


class Played:
    """A project whose VM is one of these."""

    def __init__(self, project, folder, kind="tiny", **settings):
        self.project, self.folder = project, folder
        here = pathlib.Path(__file__).resolve()
        folder.mkdir()
        program = folder / "qemu-system-x86_64"
        program.write_text(f"#!/bin/sh\nPYTHONPATH='{here.parent}' exec /usr/bin/python3 '{here}' '{folder}' "
                           f"\"$@\" 2>'{folder}/errors'\n")
        program.chmod(0o755)
        project.environment.update(PATH=f"{folder}:{project.environment['PATH']}", DXVM_ACCEL="tcg")
        (project.data / "boot").mkdir()
        for name, text in {"guest": f"{kind}\n", "mem": "128M\n", "boot/kernel": "K", "boot/initrd": "I"}.items():
            (project.data / name).write_text(text)
        self.set(**settings)

    def set(self, **settings):
        (self.folder / "guest.json").write_text(json.dumps(settings))

    def commands(self):
        return (self.folder / "qmp").read_text().split()


class Qmp:
    def __init__(self):
        self.link = socket.socket(fileno=QMP)
        self.goes_on = threading.Event()
        self.say({"QMP": {"version": {}, "capabilities": []}})
        threading.Thread(target=self.serve, daemon=True).start()

    def say(self, what):
        self.link.sendall(json.dumps(what).encode() + b"\r\n")

    def end(self, reason):
        self.say({"event": "SHUTDOWN", "data": {"guest": True, "reason": reason},
                  "timestamp": {"seconds": 0, "microseconds": 0}})
        os._exit(0)

    def serve(self):
        statuses = {"query-status": "running", "query-migrate": "completed"}
        for line in self.link.makefile("r"):
            command = json.loads(line)
            name = command["execute"]
            with open("qmp", "a", encoding="ascii") as log:
                log.write(name + "\n")
            self.say({"return": {"status": statuses[name]} if name in statuses else {}, "id": command["id"]})
            if name == "cont":
                self.goes_on.set()
            if name in ("system_powerdown", "quit"):
                self.end("guest-shutdown" if name == "system_powerdown" else "host-qmp-quit")


class PlayedGuest(Guest):
    def greet(self, answers=0):
        if "-incoming" in sys.argv and not self.restarted:
            self.uptime, self.nonce = 1, pathlib.Path("nonce").read_bytes()
            self.begin_again()
            return
        super().greet(answers)
        pathlib.Path("nonce").write_bytes(self.nonce)

    def answer(self, fields):
        number, what = struct.unpack_from(">IH", fields.payload)
        if what == ACTIVITY:
            self.send(REPLY, 0, struct.pack(">IIQ", number, OK, 0))
        elif what == QUIESCE and self.settings.get("quiesce") == "restart":
            self.begin_anew()
        elif what == QUIESCE:
            refusal = self.settings.get("quiesce", "").encode()
            self.send(REPLY, 0, struct.pack(">II", number, FAILED if refusal else OK) + refusal)
            self.send(GOAWAY, 0, struct.pack(">I", OK) + string(""))
            self.come_back()
        else:
            super().answer(fields)

    def come_back(self):
        """At rest: after the other side's GOAWAY what comes is the beginning of a link."""
        while self.peer.read_frame()[0] != GOAWAY:
            pass
        self.descriptions.clear()
        self.begin_again()

    def begin_again(self):
        time.sleep(self.settings.get("late", 0))
        self.peer.read_frame()
        self.peer.send_raw(hello(uptime=self.uptime, nonce=self.nonce))
        number, what = struct.unpack_from(">IH", self.peer.read_frame()[3])
        assert what == RESUMED, what
        self.send(REPLY, 0, struct.pack(">II", number, OK))


def swallow(link):
    while link.recv(65536):
        pass


def main(folder):
    os.chdir(folder)
    qmp = Qmp()
    threading.Thread(target=swallow, args=[socket.socket(fileno=SHARE)], daemon=True).start()
    if "-incoming" in sys.argv:
        qmp.goes_on.wait()
    try:
        PlayedGuest(socket.socket(fileno=AGENT), json.loads(pathlib.Path("guest.json").read_text()))
    except (Closed, ConnectionError, SystemExit):
        qmp.end("guest-shutdown")


if __name__ == "__main__":
    main(sys.argv[1])
