"""The guest's side of the protocol, made to misbehave; from docs/protocol.md like dxvm_peer.py.

Put in the agent's place (install()), it does what the words of a session ask for:

    dxvm exec reject CODE TEXT      REJECT
    dxvm exec say TEXT              the text as output, exit 0
    dxvm exec restart               half a DATA frame, then a resync as docs/protocol.md has it
    dxvm exec violate               bytes that are no frame

and what the file `guest.json` in the project says about itself: "program", "versions" [min, max],
"refuse" (the answer to CONFIGURE), "hold" (a step, STEPS, in which it waits: it makes the file `held` in the
project and goes on when there is a file `go`). Whoever presses its power button finds the file `pressed`.
"""
import json
import os
import pathlib
import random
import signal
import socket
import struct
import sys
import time

from dxvm_peer import (ACCEPT, CLOSE, CONFIGURE, CREDIT, DATA, EOF, EXIT, FAILED, HELLO, OK, OPEN,
                       PING, PONG, REJECT, REPLY, REQUEST, RESYNC_RUN, SHUTDOWN, Closed, Fields,
                       Peer, frame, hello, string)


# In the life of a guest: before its HELLO, with CONFIGURE, an OPEN or SHUTDOWN received, before its end; with
# CONFIGURE received after a restart.
STEPS = ["hello", "configure", "session", "shutdown", "end", "reconfigure"]


def install(project, folder, **settings):
    """Makes the fake machine of a project run this file instead of the agent."""
    here = pathlib.Path(__file__).resolve()
    program = folder / "libexec" / "dxvm-agent"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{here.parent}' exec /usr/bin/python3 '{here}' "
                       f"\"$@\" 2>'{folder}/guest-errors'\n")
    program.chmod(0o755)
    (project.root / "guest.json").write_text(json.dumps(settings))
    project.environment["DXVM_LIBEXEC"] = str(program.parent)


class Guest:
    def __init__(self, sock, settings):
        self.peer = Peer(sock, timeout=300)
        self.settings = settings
        self.descriptions = {}
        self.restarted = False
        self.serve()

    def send(self, *what, **more):
        self.peer.send_raw(frame(*what, **more))

    def hold(self, step):
        if self.settings.get("hold") != step:
            return
        pathlib.Path("held").touch()
        while not os.path.exists("go"):
            time.sleep(0.01)

    def greet(self, answers=0):
        self.hold("hello")
        lowest, highest = self.settings.get("versions", (1, 1))
        self.uptime = random.getrandbits(40) | 1
        self.nonce = os.urandom(16)
        self.peer.send_raw(hello(lowest, highest, uptime=self.uptime, answers=answers,
                                 program=self.settings.get("program", "guest.py"),
                                 nonce=self.nonce))

    def serve(self):
        self.greet()
        while True:
            kind, _, channel, payload = self.peer.read_frame()
            if kind == REQUEST and channel == 0:
                self.answer(Fields(payload))
            elif kind == PING:
                self.send(PONG, 0, payload)
            elif kind == OPEN:
                self.hold("session")
                self.descriptions[channel] = [int.from_bytes(payload[2:6], "big"), b""]
            elif kind == DATA and channel in self.descriptions:
                self.describe(channel, payload)
            else:
                self.read_other(kind)

    def read_other(self, kind):
        """What this guest has no use for."""

    def answer(self, fields):
        number, what = fields.number(4), fields.number(2)
        self.hold({CONFIGURE: "reconfigure" if self.restarted else "configure", SHUTDOWN: "shutdown"}.get(what))
        refusal = self.settings.get("refuse") if what == CONFIGURE else None
        self.send(REPLY, 0, struct.pack(">II", number, FAILED if refusal else OK)
                  + (refusal or "").encode())
        if what == SHUTDOWN:
            self.hold("end")
            sys.exit(0)

    def describe(self, channel, payload):
        """A part of a session's description; input behind it is of no interest."""
        announced, known = self.descriptions[channel]
        known += payload
        self.descriptions[channel][1] = known
        self.send(CREDIT, channel, struct.pack(">I", len(payload)))
        if len(known) < announced:
            return
        del self.descriptions[channel]
        fields = Fields(known)
        fields.bytes(10)
        fields.string(), fields.string()
        self.act(channel, [fields.string() for _ in range(fields.number(4))])

    def act(self, channel, words):
        if words[0] == b"reject":
            self.send(REJECT, channel, struct.pack(">I", int(words[1])) + string(words[2]))
            return
        self.send(ACCEPT, channel)
        if words[0] == b"restart":
            self.restart(channel)
        elif words[0] == b"violate":
            self.peer.send_raw(b"\x1b[31mno frame at all")
        else:
            self.send(DATA, channel, words[1])
            self.send(EOF, channel)
            self.send(EXIT, channel, struct.pack(">BI", 0, 0))
            self.send(CLOSE, channel)

    def restart(self, channel):
        """Stops inside a frame and begins anew, as an agent does that was restarted."""
        self.send(DATA, channel, b"before\n")
        self.peer.send_raw(frame(DATA, channel, b"x" * 1000)[:500])
        self.begin_anew()

    def begin_anew(self):
        self.restarted = True
        self.peer.send_raw(RESYNC_RUN[:16409])
        self.descriptions.clear()
        self.greet()
        while True:
            zeros = 0
            while (byte := self.peer.receive(1)) == b"\0":
                zeros += 1
            if zeros < 16409 or byte[0] != HELLO:
                continue
            self.peer.buffer = byte + self.peer.buffer
            fields = Fields(self.peer.read_frame()[3])
            fields.bytes(8 + 2 + 2 + 4 + 16 + 8)
            if fields.number(8) == self.uptime:
                return


def on_power_button(_number, _frame):
    pathlib.Path("pressed").touch()
    sys.exit(0)


def main(arguments):
    descriptor = int(arguments[arguments.index("--link-fd") + 1])
    project = pathlib.Path(arguments[arguments.index("--project") + 1])
    os.chdir(project)
    settings = json.loads((project / "guest.json").read_text())
    signal.signal(signal.SIGTERM, on_power_button)
    try:
        Guest(socket.socket(fileno=descriptor), settings)
    except (Closed, ConnectionError):
        signal.pause()  # PID 1 of a guest would not end either


if __name__ == "__main__":
    main(sys.argv[1:])
