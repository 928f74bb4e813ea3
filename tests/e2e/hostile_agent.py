#!/usr/bin/python3
"""What a guest could send that was taken over: started by the supervisor in the agent's place, with
the same arguments. DXVM_TEST_ACT says what it does."""
import os
import random
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.environ["DXVM_TEST_PEER"])
import dxvm_peer as wire  # noqa: E402

LINK = socket.socket(fileno=int(sys.argv[sys.argv.index("--link-fd") + 1]))
ACT = os.environ["DXVM_TEST_ACT"]


def send(*frames):
    LINK.sendall(b"".join(frames))


def wait_for(kind):
    """The payload of the next frame of that kind, and its channel."""
    buffer = b""
    while True:
        while len(buffer) >= 12:
            length = int.from_bytes(buffer[8:12], "big")
            if len(buffer) < 13 + length:
                break
            if buffer[0] == kind:
                return int.from_bytes(buffer[4:8], "big"), buffer[12:12 + length]
            buffer = buffer[13 + length:]
        received = LINK.recv(65536)
        if not received:
            sys.exit(0)
        buffer += received


def stay():
    """Reads nothing more, until the other side is gone."""
    time.sleep(600)


def ready():
    send(wire.hello(program="dxvm-agent hostile", nonce=os.urandom(16)))
    _, payload = wait_for(wire.REQUEST)
    send(wire.frame(wire.REPLY, 0, payload[:4] + struct.pack(">I", 0)))


def session():
    ready()
    channel, _ = wait_for(wire.OPEN)
    return channel


def data(channel, length):
    return b"".join(wire.frame(wire.DATA, channel, b"x" * 16384) for _ in range(length // 16384))


def random_bytes():
    random.seed(1)
    LINK.sendall(random.randbytes(1 << 20))


def refuse():
    send(wire.hello())
    _, payload = wait_for(wire.REQUEST)
    send(wire.frame(wire.REPLY, 0, payload[:4] + struct.pack(">I", wire.FAILED)
                    + b"\x1b[31mno\x1b[0m user\n"))


def data_before_accept():
    send(data(session(), 16384))


def data_over_the_window():
    channel = session()
    send(wire.frame(wire.ACCEPT, channel), data(channel, 2 * wire.WINDOW))


def data_after_eof():
    channel = session()
    send(wire.frame(wire.ACCEPT, channel), wire.frame(wire.EOF, channel), data(channel, 16384))


def two_exits():
    channel = session()
    send(wire.frame(wire.ACCEPT, channel),
         *[wire.frame(wire.EXIT, channel, struct.pack(">BI", 0, 0))] * 2)


def credit_for_nothing():
    channel = session()
    send(wire.frame(wire.ACCEPT, channel), wire.frame(wire.CREDIT, channel, b"\xff" * 4))


def a_million_opens():
    ready()
    for number in range(2, 2_000_000, 2):
        send(wire.frame(wire.OPEN, number, struct.pack(">HI", wire.SESSION, 1 << 20)))


def ping_flood():
    ready()
    for _ in range(100_000):
        send(wire.frame(wire.PING, 0, b"x" * 64) * 20)


def requests_nobody_asked():
    ready()
    while True:
        send(wire.frame(wire.REQUEST, 0, struct.pack(">IH", 7, 999) + b"y" * 10_000))


def half_a_frame():
    signal.signal(signal.SIGTERM, signal.SIG_IGN) # its power button
    ready()
    LINK.sendall(wire.frame(wire.PING, 0, b"x" * 64)[:40])


if __name__ == "__main__":
    try:
        globals()[ACT]()
    except (BrokenPipeError, ConnectionError):
        sys.exit(0)
    stay()
