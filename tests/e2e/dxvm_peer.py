"""A peer that speaks the dxvm protocol, written from docs/protocol.md alone.

    peer = Peer(sock)                   # the host side of a link: towards a supervisor or an agent
    peer.handshake()
    peer.request(CONFIGURE, configuration(project="/tmp/x"))
    result = peer.run(session([b"sh", b"-c", b"echo hi"]))
    assert (result.stdout, result.status) == (b"hi\\n", 0)

It blocks, it keeps to the rules, and it checks that the other side does. To break the rules use
send_raw with the bytes of frame() and malformed().
"""
import hashlib
import select
import struct
import time

HELLO, OPEN, ACCEPT, REJECT, DATA, CREDIT, EOF, EXIT, CLOSE, REQUEST, REPLY, PING, PONG, GOAWAY = \
    range(1, 15)
OK, BAD_REQUEST, UNKNOWN, NOT_FOUND, NOT_EXECUTABLE, NO_RESOURCES, FAILED, GONE, SHUTTING_DOWN, \
    VERSION_MISMATCH, VIOLATION, AGAIN = range(12)
WAIT_READY, STATUS, STOP, PROGRESS, NOTE = 1, 2, 3, 16, 17
CONFIGURE, SHUTDOWN, SYNC_DISKS, QUIESCE, RESUMED, ACTIVITY = range(32, 38)
RESIZE, SIGNAL, TAKEN = 64, 65, 66
SESSION, ATTACH, LIST, PROGRAM = 1, 2, 3, 4

MAGIC = 0x6478766D2D303031
PAYLOAD_MAX = 16384
WINDOW = 1048576
RESYNC_RUN = bytes(12 + PAYLOAD_MAX + 1 + 12)


class Violation(Exception):
    """The other side broke a rule."""


class GoneAway(Exception):
    """The other side said GOAWAY: code, text."""


class Closed(Exception):
    """The other side closed the link."""


def frame(kind, channel=0, payload=b"", flags=0):
    header = bytearray(struct.pack(">BBBBII", kind, flags, 0, 0, channel, len(payload)))
    header[2] = 0xA5
    for position in (*range(0, 2), *range(3, 12)):
        header[2] ^= header[position]
    return bytes(header) + payload + b"\x7e"


def malformed():
    """Name and bytes of what must make any side say GOAWAY(VIOLATION), hands shaken."""
    sound = frame(PING, 0, b"x")
    too_long = bytearray(frame(PING))
    too_long[8:12] = struct.pack(">I", PAYLOAD_MAX + 1)
    too_long[2] ^= (PAYLOAD_MAX + 1) >> 8 ^ (PAYLOAD_MAX + 1) & 0xFF
    return {
        "a wrong check byte": bytes([sound[0], sound[1], sound[2] ^ 1]) + sound[3:],
        "a reserved byte": bytes([sound[0], sound[1], sound[2] ^ 1, 1]) + sound[4:],
        "a length over the limit": bytes(too_long),
        "a wrong end byte": sound[:-1] + b"\x7f",
        "an unknown type": frame(15),
        "an unknown flag": frame(PING, 0, b"x", flags=2),
        "a second HELLO": hello(),
        "a PING of 65 bytes": frame(PING, 0, bytes(65)),
        "a cut REQUEST": frame(REQUEST, 0, bytes(5)),
        "DATA on channel 0": frame(DATA, 0, b"x"),
        "DATA for a channel that was never opened": frame(DATA, 99, b"x"),
        "OPEN with an id of the other side": frame(OPEN, 2, struct.pack(">HI", SESSION, 0)),
        "a cut OPEN": frame(OPEN, 77, b"\0\1"),
    }


def string(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value


def strings(values):
    return struct.pack(">I", len(values)) + b"".join(map(string, values))


class Fields:
    """Reads the fields of a payload in order."""

    def __init__(self, payload):
        self.payload = payload
        self.at = 0

    def bytes(self, length):
        if self.at + length > len(self.payload):
            raise Violation("a field is cut off")
        self.at += length
        return self.payload[self.at - length:self.at]

    def number(self, size):
        return int.from_bytes(self.bytes(size), "big")

    def string(self):
        return self.bytes(self.number(4))


def hello(lowest=1, highest=1, uptime=0, answers=0, program="peer.py", nonce=bytes(16)):
    return frame(HELLO, 0, struct.pack(">QHHI", MAGIC, lowest, highest, 0) + nonce
                 + struct.pack(">QQ", uptime, answers) + string(program))


def session(arguments=(), environment=(), tty=False, login=False, size=(24, 80), user="", cwd="",
            detach=None):
    """The description of a session."""
    return (struct.pack(">BBHHHH", tty, login, *size, 0, 0) + string(user) + string(cwd)
            + strings(arguments) + strings(environment)
            + (b"" if detach is None else bytes([detach])))


def attach(number, size=(24, 80), take=False):
    """The description that attaches to a session."""
    return struct.pack(">IHHHHB", number, *size, 0, 0, take)


def program(name, content, length=None, digest=None):
    """The description of a program that is offered; of another one if length or digest are said."""
    return (string(name) + struct.pack(">I", len(content) if length is None else length)
            + (hashlib.sha256(content).digest() if digest is None else digest))


def configuration(project="", user="", host="peer", uid=0, gid=0, wall_clock=None):
    """One without shares and network."""
    now = int((wall_clock or time.time()) * 1e9)
    return (string(host) + string(user) + struct.pack(">II", uid, gid) + string("") + string("")
            + bytes(16) + bytes(32) + struct.pack(">Q", now) + string(project)
            + struct.pack(">BI", 0, 0))


def read_status(payload):
    fields = Fields(payload)
    status = {name: fields.string().decode() for name in ("state", "guest", "accelerator")}
    for name, size in (("uptime_ms", 8), ("memory", 8), ("resident", 8), ("cpus", 4),
                       ("sessions", 4), ("supervisor_pid", 4), ("machine_pid", 4), ("boot_ms", 8)):
        status[name] = fields.number(size)
    more = fields.at < len(payload)
    status["idle_s"], status["kept"] = (fields.number(4), fields.number(1)) if more else (0, 0)
    return status


def read_sessions(payload):
    fields = Fields(payload)
    listed = [{"id": fields.number(4), "state": fields.number(1), "detach": fields.number(1),
               "started": fields.number(8), "size": (fields.number(2), fields.number(2)),
               "exit": (fields.number(1), fields.number(4)), "command": fields.string(),
               "environment": 0}
              for _ in range(fields.number(4))]
    if fields.at < len(payload):
        for one in listed:
            one["environment"] = fields.number(8)
    return listed


class Channel:
    """One channel, and what has come on it so far."""

    def __init__(self, peer, number):
        self.peer = peer
        self.number = number
        self.window = WINDOW       # DATA we may still send
        self.unconsumed = 0        # DATA that came and was not credited
        self.stdout = b""
        self.stderr = b""
        self.id = None             # of the session, as ACCEPT says it
        self.wanted = None         # of a program
        self.taken = False
        self.accepted = self.eof = self.closed = self.close_sent = False
        self.rejected = None       # (code, text)
        self.exit = None           # (how, value)
        self.log = []              # kinds of frames in order, DATA once in a row

    @property
    def status(self):
        """As a shell would say it."""
        return None if self.exit is None else self.exit[1] + (128 if self.exit[0] else 0)

    @property
    def over(self):
        return self.rejected is not None or self.closed

    def send(self, data):
        """Waits for credit where it has to."""
        while data:
            while self.window == 0 and not self.over:
                self.peer.step()
            if self.over:
                return
            part = data[:min(self.window, PAYLOAD_MAX)]
            self.peer.send_raw(frame(DATA, self.number, part))
            self.window -= len(part)
            data = data[len(part):]

    def send_eof(self):
        self.peer.send_raw(frame(EOF, self.number))

    def request(self, what, payload):
        self.peer.send_raw(frame(REQUEST, self.number, struct.pack(">IH", 0, what) + payload))

    def resize(self, rows, columns):
        self.request(RESIZE, struct.pack(">HHHH", rows, columns, 0, 0))

    def signal(self, number):
        self.request(SIGNAL, struct.pack(">I", number))

    def consume(self, length=None):
        """Gives credit for that many bytes, or for all that came."""
        length = self.unconsumed if length is None else length
        self.unconsumed -= length
        if length:
            self.peer.send_raw(frame(CREDIT, self.number, struct.pack(">I", length)))

    def close(self):
        if not self.close_sent and self.rejected is None:
            self.close_sent = True
            self.peer.send_raw(frame(CLOSE, self.number))

    def wait(self, condition=lambda channel: channel.over):
        """Until the condition holds; the default: until the channel is over."""
        while not condition(self):
            if self.over:
                raise AssertionError(f"the channel ended first: {self.log}")
            self.peer.step()
        return self

    def receive(self, kind, flags, payload):
        if self.closed and kind != CREDIT or self.rejected is not None:
            raise Violation(f"type {kind} after the end of the channel")
        if not self.accepted and kind not in (ACCEPT, REJECT, CREDIT, CLOSE):
            raise Violation(f"type {kind} before ACCEPT")
        if kind != CREDIT and self.log[-1:] != [kind]:
            self.log.append(kind)
        fields = Fields(payload)
        if kind == ACCEPT:
            self.accepted = True
            self.wanted = payload == b"\1" if len(payload) == 1 else None
            self.id = fields.number(4) if len(payload) >= 4 else None
        elif kind == REJECT:
            self.rejected = (fields.number(4), fields.string().decode())
        elif kind == DATA:
            self.receive_data(flags, payload)
        elif kind == CREDIT:
            self.window += fields.number(4)
            if self.window > WINDOW:
                raise Violation("CREDIT for bytes that were not sent")
        elif kind == EOF:
            self.eof = True
        elif kind == EXIT:
            self.exit = (fields.number(1), fields.number(4))
        elif kind == REQUEST:
            self.taken |= (fields.number(4), fields.number(2)) == (0, TAKEN)
        elif kind == CLOSE:
            self.closed = True
            self.close()

    def receive_data(self, flags, payload):
        if self.eof:
            raise Violation("DATA after EOF")
        self.unconsumed += len(payload)
        if self.unconsumed > WINDOW:
            raise Violation("more DATA than the window")
        if flags & 1:
            self.stderr += payload
        else:
            self.stdout += payload
        if self.peer.credit_at_once and self.unconsumed >= WINDOW // 16:
            self.consume()


class Peer:
    """The host side of a link over a connected socket."""

    def __init__(self, sock, timeout=15):
        self.sock = sock
        self.timeout = timeout
        self.credit_at_once = True
        self.buffer = b""
        self.channels = {}
        self.replies = {}
        self.requests = []         # what the other side asked or told: (id, what, payload)
        self.hello = None          # what the other side said of itself
        self.goaway = None
        self.last_channel = -1
        self.last_request = 0

    def send_raw(self, data):
        """Sends bytes as they are; reads meanwhile, so that no two peers wait for each other."""
        deadline = time.monotonic() + self.timeout
        while data:
            can_read, can_write, _ = select.select([self.sock], [self.sock], [], self.timeout)
            if can_read and len(self.buffer) < 1 << 22:
                received = self.sock.recv(65536)
                self.buffer += received
                if not received and not can_write:
                    raise Closed()
            if can_write:
                data = data[self.sock.send(data[:32768]):]
            if time.monotonic() > deadline:
                raise TimeoutError("the other side does not read")

    def receive(self, length):
        deadline = time.monotonic() + self.timeout
        while len(self.buffer) < length:
            if not select.select([self.sock], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the other side says nothing")
            try:
                received = self.sock.recv(65536)
            except ConnectionResetError: # it left without having read all of ours
                received = b""
            if not received:
                raise Closed()
            self.buffer += received
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def read_frame(self):
        """The next frame: type, flags, channel, payload."""
        header = self.receive(12)
        kind, flags, _, zero, channel, length = struct.unpack(">BBBBII", header)
        check = 0
        for byte in header:
            check ^= byte
        if check != 0xA5 or zero != 0 or length > PAYLOAD_MAX:
            raise Violation(f"no header: {header.hex()}")
        payload = self.receive(length)
        if self.receive(1) != b"\x7e":
            raise Violation("a frame without its end")
        if flags & ~(kind == DATA):
            raise Violation("unknown flags")
        return kind, flags, channel, payload

    def step(self):
        """Reads one frame and does what it asks for."""
        kind, flags, number, payload = self.read_frame()
        fields = Fields(payload)
        if self.goaway:
            raise Violation("a frame after GOAWAY")
        if number:
            if number not in self.channels:
                raise Violation(f"type {kind} for channel {number}, which was never opened")
            self.channels[number].receive(kind, flags, payload)
        elif kind == HELLO:
            self.receive_hello(fields)
        elif kind == PING:
            self.send_raw(frame(PONG, 0, payload))
        elif kind == REPLY:
            number, code = fields.number(4), fields.number(4)
            self.replies[number] = (code, payload[8:])
        elif kind == REQUEST:
            self.requests.append((fields.number(4), fields.number(2), payload[6:]))
        elif kind == GOAWAY:
            self.goaway = (fields.number(4), fields.string().decode())
            raise GoneAway(*self.goaway)
        elif kind != PONG:
            raise Violation(f"type {kind} on channel 0")

    def receive_hello(self, fields):
        if self.hello or fields.number(8) != MAGIC:
            raise Violation("a second HELLO, or a strange one")
        self.hello = {"lowest": fields.number(2), "highest": fields.number(2),
                      "features": fields.number(4), "nonce": fields.bytes(16),
                      "uptime": fields.number(8), "answers": fields.number(8),
                      "program": fields.string().decode()}

    def handshake(self, **fields):
        """Says HELLO and waits for the other side's."""
        self.send_raw(hello(**fields))
        while not self.hello:
            self.step()
        return self.hello

    def ask(self, what, payload=b""):
        """Sends a request; its id."""
        self.last_request += 1
        self.send_raw(frame(REQUEST, 0, struct.pack(">IH", self.last_request, what) + payload))
        return self.last_request

    def request(self, what, payload=b""):
        """Sends a request and waits for the reply: code, payload or text."""
        number = self.ask(what, payload)
        while number not in self.replies:
            self.step()
        return self.replies.pop(number)

    def open(self, description, announce=None, kind=SESSION):
        """Opens a channel, of a session if nothing else is said, and sends its description."""
        self.last_channel += 2
        channel = self.channels[self.last_channel] = Channel(self, self.last_channel)
        length = len(description) if announce is None else announce
        self.send_raw(frame(OPEN, channel.number, struct.pack(">HI", kind, length)))
        channel.send(description)
        return channel

    def run(self, description, stdin=b""):
        """A session from beginning to end; the channel, for its stdout, stderr and status."""
        channel = self.open(description)
        channel.send(stdin)
        if not channel.over:
            channel.send_eof()
        return channel.wait()

    def sessions(self):
        """The list of sessions."""
        return read_sessions(self.open(b"", kind=LIST).wait().stdout)

    def wait_goaway(self):
        """Reads on until the other side says GOAWAY: code, text."""
        try:
            while True:
                self.step()
        except GoneAway as gone:
            return gone.args

    def closed_by_other(self):
        """Reads on until the other side closes the link."""
        try:
            while True:
                self.read_frame()
        except (Closed, ConnectionError):
            return True
