#!/usr/bin/python3
"""Plays QEMU with a guest in it that can be suspended: what dxvm sees of both, QMP, the agent's port and the
memory, without a machine. Called qemu-system-x86_64 and first in PATH, with a file `play` beside it that says how
it goes from then on, in a line each:

    mute            QEMU never greets
    die             it ends at once
    deaf COMMAND    it does not answer this command of QMP's, nor any other from then on
    refuse COMMAND  it says no to it
    hold COMMAND    it makes the file `held` beside it then, and goes on when there is a file `go`
    hangup COMMAND  it closes QMP then, and lives on
    full N          the disk is full as soon as the guest runs, until it was told N times to go on

A line that begins with "resume " holds for a machine that goes on alone, one with "boot " for one that does not.
Each machine adds its line to the file `runs`: "boot" or "resume", and its pid; a guest's boot has a number of its
own, which lies in its memory: `dxvm exec boot` prints it.
"""
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import threading
import time

from dxvm_guest import Guest
from dxvm_peer import GOAWAY, HELLO, OK, REPLY, SHUTDOWN, Closed, hello, string

QMP, AGENT, RAM, STATE = 3, 4, 9, 11
QUIESCE = 35
HERE = pathlib.Path(sys.argv[0]).parent
BEGIN = threading.Event() # the guest runs


class PlayedGuest(Guest):
    def __init__(self, machine, resting):
        self.machine, self.resting = machine, resting
        super().__init__(socket.socket(fileno=AGENT), {})

    def greet(self, answers=0):
        if self.resting: # until it hears something
            return
        uptime = time.monotonic_ns()
        self.peer.send_raw(hello(uptime=uptime, answers=answers, nonce=os.pread(RAM, 16, 0)))

    def answer(self, fields):
        number, what = fields.number(4), fields.number(2)
        self.send(REPLY, 0, struct.pack(">II", number, OK))
        if what == QUIESCE:
            self.send(GOAWAY, 0, struct.pack(">I", OK) + string("at rest"))
            self.resting = True
        elif what == SHUTDOWN:
            self.machine.end("guest-shutdown")

    def read_other(self, kind):
        if kind == HELLO and self.resting:
            self.resting = False
            self.greet()

    def act(self, channel, words):
        super().act(channel, [b"say", os.pread(RAM, 16, 0).hex().encode()] if words[0] == b"boot" else words)


class Machine:
    def __init__(self):
        self.incoming = "-incoming" in sys.argv
        kind = "resume" if self.incoming else "boot"
        self.play = {}
        for line in (HERE / "play").read_text().splitlines():
            words = line.split()
            if words[0] in ("boot", "resume"):
                if words.pop(0) != kind:
                    continue
            self.play[words[0]] = words[1] if len(words) > 1 else ""
        with open(HERE / "runs", "a", encoding="ascii") as runs:
            runs.write(f"{kind} {os.getpid()}\n")
        self.status = "inmigrate" if self.incoming else "running"
        self.qmp = socket.socket(fileno=QMP)
        self.state = STATE
        self.tries = 0
        self.lock = threading.Lock()

    def say(self, what):
        with self.lock:
            self.qmp.sendall(json.dumps(what).encode() + b"\r\n")

    def event(self, name, **data):
        self.say({"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}})

    def end(self, reason):
        self.event("SHUTDOWN", guest=True, reason=reason)
        os._exit(0)

    def go_on(self):
        self.status = "running"
        self.event("RESUME")
        self.tries += 1
        if self.tries < int(self.play.get("full", 0)):
            self.status = "io-error"
            self.event("STOP")
        else:
            BEGIN.set()

    def run(self):
        if "die" in self.play:
            sys.exit("Cannot allocate memory")
        if "mute" in self.play:
            signal.pause()
        if not self.incoming:
            os.pwrite(RAM, os.urandom(16), 0)
            BEGIN.set()
        self.say({"QMP": {"version": {}, "capabilities": []}})
        buffer = b""
        while True:
            data, descriptors, _, _ = socket.recv_fds(self.qmp, 65536, 4)
            self.state = (descriptors or [self.state])[0]
            if not data:
                os._exit(1)
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                command = json.loads(line)
                self.handle(command["execute"], command["id"])

    def handle(self, name, number):
        if self.play.get("deaf") == name:
            signal.pause()
        if self.play.get("hangup") == name:
            self.qmp.shutdown(socket.SHUT_RDWR)
            signal.pause()
        if self.play.get("hold") == name:
            (HERE / "held").touch()
            while not (HERE / "go").exists():
                time.sleep(0.01)
        if self.play.get("refuse") == name:
            self.say({"error": {"class": "GenericError", "desc": "not today"}, "id": number})
            return
        result = {}
        if name == "stop":
            self.status = "paused"
        elif name == "migrate":
            os.write(self.state, b"devices" + os.pread(RAM, 16, 0))
        elif name == "query-migrate":
            result = {"status": "completed"}
        elif name == "migrate-incoming":
            assert os.read(self.state, 100) == b"devices" + os.pread(RAM, 16, 0)
            self.status = "paused"
        elif name == "query-status":
            result = {"status": self.status}
        self.say({"return": result, "id": number})
        if name == "cont":
            self.go_on()
        elif name in ("quit", "system_powerdown"):
            self.end({"quit": "host-qmp-quit"}.get(name, "guest-shutdown"))


def run_guest(machine):
    BEGIN.wait()
    try:
        PlayedGuest(machine, machine.incoming)
    except (Closed, ConnectionError, ValueError):
        pass


def main():
    machine = Machine()
    threading.Thread(target=run_guest, args=[machine], daemon=True).start()
    machine.run()


if __name__ == "__main__":
    main()
