#!/usr/bin/python3
"""Plays QEMU with a guest in it that can be suspended: what dxvm sees of both, QMP, the agent's port and the
memory, without a machine. Called qemu-system-x86_64 and first in PATH (played_project.py), with a file `play`
beside it that says how it goes from then on, in a line each:

    mute            QEMU never greets
    die             it ends at once
    deaf COMMAND    it does not answer this command of QMP's, nor any other from then on
    refuse COMMAND  it says no to it
    hold COMMAND    it makes the file `held` beside it then, and goes on when there is a file `go`
    hangup COMMAND  it closes QMP then, and lives on
    full N          the disk is full as soon as the guest runs, until it was told N times to go on
    restart         the agent is restarted when it is to come to rest
    restless TEXT   it comes to rest, but this has failed then
    late SECONDS    it takes so long to hear, at rest, that it is to go on

A line that begins with "resume " holds for a machine that goes on alone, one with "boot " for one that does
not. Each machine adds its line to the file `runs`, "boot" or "resume" and its pid, and the commands it gets
to the file `qmp`, one a line. A guest's boot has a number of its own, which lies in its memory: `dxvm exec
boot` prints it; what else a session may ask for is in dxvm_guest.py.
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
from dxvm_peer import (ACTIVITY, FAILED, GOAWAY, HELLO, OK, QUIESCE, REPLY, RESUMED, SHUTDOWN, Closed, Fields,
                       hello, string)

QMP, AGENT, RAM, STATE = 3, 4, 9, 11
HERE = pathlib.Path(sys.argv[0]).parent
BEGIN = threading.Event() # the guest runs


class PlayedGuest(Guest):
    def __init__(self, machine, resting):
        self.machine, self.resting = machine, resting
        super().__init__(socket.socket(fileno=AGENT), {})

    def greet(self, answers=0):
        if self.resting: # until it hears the beginning of a link
            time.sleep(float(self.machine.play.get("late", 0)))
            while self.peer.read_frame()[0] != HELLO:
                pass
        self.uptime = time.monotonic_ns()
        self.peer.send_raw(hello(uptime=self.uptime, answers=answers, nonce=os.pread(RAM, 16, 0)))
        if self.resting:
            self.resting = False
            fields = Fields(self.peer.read_frame()[3])
            number, what = fields.number(4), fields.number(2)
            assert what == RESUMED, what
            self.reply(number)

    def reply(self, number, code=OK, payload=b""):
        self.send(REPLY, 0, struct.pack(">II", number, code) + payload)

    def answer(self, fields):
        number, what = fields.number(4), fields.number(2)
        if what == QUIESCE and "restart" in self.machine.play:
            self.begin_anew()
        elif what == QUIESCE:
            refusal = self.machine.play.get("restless", "").encode()
            self.reply(number, FAILED if refusal else OK, refusal)
            self.send(GOAWAY, 0, struct.pack(">I", OK) + string("at rest"))
            self.descriptions.clear()
            self.resting = True
            self.greet()
        else:
            self.reply(number, payload=bytes(8) if what == ACTIVITY else b"")
        if what == SHUTDOWN:
            self.machine.end("guest-shutdown")

    def act(self, channel, words):
        super().act(channel, [b"say", os.pread(RAM, 16, 0).hex().encode()] if words[0] == b"boot" else words)


class Machine:
    def __init__(self):
        self.incoming = "-incoming" in sys.argv
        kind = "resume" if self.incoming else "boot"
        self.play = {}
        for line in (HERE / "play").read_text().splitlines():
            word, _, rest = line.partition(" ")
            if word in ("boot", "resume"):
                if word != kind:
                    continue
                word, _, rest = rest.partition(" ")
            self.play[word] = rest
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
        with open(HERE / "qmp", "a", encoding="ascii") as log:
            log.write(f"{name}\n")
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
