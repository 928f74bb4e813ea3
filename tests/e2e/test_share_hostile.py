"""A guest that was taken over, at the share port: it speaks raw frames and FUSE messages to the real
server. Nothing outside the directory is reached, nothing crashes, and memory stays bounded."""
import ctypes
import errno
import os
import random
import signal
import socket
import struct
import time

import pytest

from projects import SANITIZED
from share_rig import HOST_ID, SHARE, Rig

SERVER_HELLO, AGENT_HELLO, REQUEST, REPLY, NOTIFY, QUIESCE, QUIESCED = 33, 34, 35, 36, 37, 38, 39
ROOT = 1
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR = 1, 2, 3, 4, 5, 6, 8, \
    9, 10, 11
RENAME, LINK, READ, WRITE, INIT, READDIR = 12, 13, 15, 16, 26, 28
BATCH_FORGET, READDIRPLUS, RENAME2 = 42, 44, 45
WITHOUT_REPLY = (FORGET, 36, BATCH_FORGET)
MEMORY_MAX = 64 << 10  # KiB
BAD_NAMES = [b"", b".", b"..", b"/", b"a/b", b"../outside", b"/etc/passwd", b"..\0", b"..\0d", b"n" * 256,
             b"n" * 60000]


def body_with_name(opcode, name, other=b"fine"):
    """What follows the header in a request of that kind, with a NUL after each name."""
    name, other = name + b"\0", other + b"\0"
    if opcode == MKNOD:
        return struct.pack("<IIII", 0o100644, 0, 0, 0) + name
    if opcode == MKDIR:
        return struct.pack("<II", 0o755, 0) + name
    if opcode == SYMLINK:
        return name + b"/etc/passwd\0"
    if opcode == RENAME:
        return struct.pack("<Q", ROOT) + other + name
    if opcode == RENAME2:
        return struct.pack("<QII", ROOT, 0, 0) + other + name
    return name


NAMED = [LOOKUP, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, RENAME2]


class Taken(Rig):
    """The rig without a pump: what the pump would send is up to the test."""

    def start_pump(self, guest_end):
        self.port = guest_end
        self.port.settimeout(5)
        self.unique = 0
        self.received = b""
        while True:
            kind, payload = self.frame()
            if kind == SERVER_HELLO:
                break
        self.send(AGENT_HELLO, payload, channel=0)
        error, _ = self.ask(INIT, 0, struct.pack("<IIII", 7, 36, 1 << 17, 0xffffffff))
        assert error == 0

    def header(self, kind, length, channel):
        header = bytes([kind, 0, 0, 0]) + struct.pack(">II", channel, length)
        check = 0xa5
        for byte in header:
            check ^= byte
        return header[:2] + bytes([check]) + header[3:]

    def send(self, kind, payload, length=None, channel=SHARE):
        length = len(payload) if length is None else length
        self.port.sendall(self.header(kind, length, channel) + payload)

    def meet_next_server(self):
        """Whatever the last one left on the way is thrown away."""
        hello, data = self.header(SERVER_HELLO, 8, 0), b""
        while data.count(hello) < 2:  # the last one's again, and its own
            data += self.port.recv(1 << 20)
        nonce = data[data.rindex(hello) + len(hello):][:8]
        self.received = b""
        self.send(AGENT_HELLO, nonce, channel=0)

    def frame(self):
        """The next frame of the server's; EOFError when it is gone."""
        while len(self.received) < 12 or \
                len(self.received) < 13 + int.from_bytes(self.received[8:12], "big"):
            part = self.port.recv(1 << 20)
            if not part:
                raise EOFError
            self.received += part
        end = 12 + int.from_bytes(self.received[8:12], "big")
        assert self.received[end] == 0x7e
        kind, payload = self.received[0], self.received[12:end]
        self.received = self.received[end + 1:]
        return kind, payload

    def request(self, opcode, node, body, length=None):
        self.unique += 2
        length = 40 + len(body) if length is None else length
        return struct.pack("<IIQQIIIHH", length & 0xffffffff, opcode, self.unique, node, 0, 0, 1, 0,
                           0) + body

    def ask(self, opcode, node, body=b"", length=None):
        """Error (0 or negative) and payload of the answer."""
        self.send(REQUEST, self.request(opcode, node, body, length))
        while True:
            kind, payload = self.frame()
            if kind == REPLY:
                _, error, unique = struct.unpack("<IiQ", payload[:16])
                if unique == self.unique:
                    return error, payload[16:]

    def node(self, parent, name):
        error, entry = self.ask(LOOKUP, parent, name + b"\0")
        assert error == 0, os.strerror(-error)
        return int.from_bytes(entry[:8], "little")

    def mkdir(self, parent, name):
        error, entry = self.ask(MKDIR, parent, body_with_name(MKDIR, name))
        assert error == 0, os.strerror(-error)
        return int.from_bytes(entry[:8], "little")

    def resident(self):
        with open(f"/proc/{self.server.pid}/status", encoding="ascii") as file:
            return int(file.read().partition("VmRSS:")[2].split()[0])

    def lives(self):
        """It is there and answers."""
        assert self.server.poll() is None, self.read_log()
        # A guest may have taken the rights to its own directory from itself.
        assert self.ask(GETATTR, ROOT, bytes(16))[0] in (0, -errno.EACCES)

    def hang_up(self):
        """The server of a guest that broke the protocol ends by itself, and says why."""
        self.port.shutdown(socket.SHUT_WR)
        status = self.server.wait(20)
        assert status in (0, 1), f"status {status}: {self.read_log()}"
        return status



@pytest.fixture
def rig(dxvm):
    made = Taken(dxvm)
    outside = made.scratch / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (made.vm / "kept").write_text("kept")
    for path in (outside, outside / "secret", made.vm / "kept"):
        os.chown(path, HOST_ID, HOST_ID)  # the server itself would be allowed to
    (made.host / "link").symlink_to("../outside")
    (made.host / "d").mkdir()
    os.chown(made.host / "d", HOST_ID, HOST_ID)
    before = look(made)
    yield made
    assert look(made) == before
    made.port.close()
    made.stop()


def look(rig):
    """What no guest may change."""
    return [(path.name, path.lstat().st_mtime_ns, path.read_text())
            for path in (rig.scratch / "outside" / "secret", rig.vm / "kept")] + \
        [sorted(os.listdir(rig.scratch)), sorted(os.listdir(rig.scratch / "outside"))]


@pytest.mark.parametrize("opcode", NAMED)
def test_a_name_that_is_none_is_refused(rig, opcode):
    rig.ask(MKNOD, ROOT, body_with_name(MKNOD, b"fine"))
    for name in BAD_NAMES:
        assert rig.ask(opcode, ROOT, body_with_name(opcode, name))[0] < 0, name
    rig.lives()
    assert sorted(os.listdir(rig.host)) == [".devbox", "d", "fine", "link"]


def test_a_link_of_the_hosts_is_no_way_out(rig):
    link = rig.node(ROOT, b"link")
    assert rig.ask(LOOKUP, link, b"secret\0")[0] < 0
    assert rig.ask(READDIR, link, struct.pack("<QQIIQII", 0, 0, 4096, 0, 0, 0, 0))[0] < 0
    assert rig.ask(READ, link, struct.pack("<QQIIQII", 0, 0, 4096, 0, 0, 0, 0))[0] < 0
    assert rig.ask(MKNOD, link, body_with_name(MKNOD, b"x"))[0] < 0
    rig.lives()


@pytest.mark.parametrize("devbox", [b".devbox", b".DevBox", b".devbox\xe2\x80\x8d"])
def test_no_vm_is_made_or_seen_in_a_devbox_at_any_depth(rig, devbox):
    parent = rig.mkdir(rig.mkdir(rig.node(ROOT, b"d"), b"deep"), devbox)
    for name in (b"vm", b"VM", b"v\xe2\x80\x8dm"):
        for opcode in (MKNOD, MKDIR, SYMLINK, LOOKUP):
            assert rig.ask(opcode, parent, body_with_name(opcode, name))[0] < 0, (opcode, name)
    assert rig.ask(LOOKUP, rig.node(ROOT, b".devbox"), b"vm\0")[0] < 0
    # Nor by the way of renaming: the child into it, or its parent to that name.
    other = rig.mkdir(ROOT, b"other")
    rig.mkdir(other, b"vm")
    for into, name in ((parent, b"vm"), (ROOT, devbox)):
        source, node = (b"vm", other) if into == parent else (b"other", ROOT)
        body = struct.pack("<QII", into, 0, 0) + source + b"\0" + name + b"\0"
        assert rig.ask(RENAME2, node, body)[0] < 0
    rig.lives()


def test_forged_nodes_are_refused(rig):
    choose = random.Random(1)
    forged = [0, 9, 10, 1 << 32, (1 << 63) - 1, (1 << 64) - 1] + [choose.getrandbits(64) for _ in range(50)]
    for node in forged:
        for opcode in range(1, 48):
            if opcode in WITHOUT_REPLY or opcode in (INIT, 38):
                continue
            error, _ = rig.ask(opcode, node, bytes(120))
            assert error < 0 or opcode in (17, 18, 29), (opcode, node)
        for opcode in WITHOUT_REPLY:
            rig.send(REQUEST, rig.request(opcode, node, b"\xff" * 16))
    rig.lives()


def test_what_is_forgotten_too_often_is_not_freed_twice(rig):
    for _ in range(3):
        node = rig.node(ROOT, b"d")
        rig.send(REQUEST, rig.request(FORGET, node, struct.pack("<Q", 1 << 63)))
        rig.send(REQUEST, rig.request(FORGET, node, struct.pack("<Q", 1)))
        assert rig.ask(GETATTR, node, bytes(16))[0] < 0
    rig.send(REQUEST, rig.request(FORGET, ROOT, struct.pack("<Q", (1 << 64) - 1)))
    rig.send(REQUEST, rig.request(BATCH_FORGET, 0, struct.pack("<II", 0xffffffff, 0) + bytes(64)))
    rig.lives()


def test_sizes_in_a_request_that_lie_are_refused_or_bounded(rig):
    assert rig.ask(MKNOD, ROOT, body_with_name(MKNOD, b"f"))[0] == 0
    node = rig.node(ROOT, b"f")
    huge = 0xffffffff
    assert rig.ask(WRITE, node, struct.pack("<QQIIQII", 0, 0, huge, 0, 0, 0, 0) + b"x")[0] < 0
    assert rig.ask(WRITE, node, struct.pack("<QQIIQII", 0, (1 << 64) - 1, 1, 0, 0, 0, 0) + b"x")[0] < 0
    for opcode in (READ, READDIR, READDIRPLUS):
        for offset in (0, 1 << 63, (1 << 64) - 1):
            where = node if opcode == READ else ROOT
            error, payload = rig.ask(opcode, where,
                                     struct.pack("<QQIIQII", 0, offset, huge, 0, 0, 0, 0))
            assert error < 0 or len(payload) <= (1 << 20) + 4096
    for length in range(40):
        assert rig.ask(WRITE, node, bytes(length))[0] < 0
    rig.lives()
    assert rig.resident() < MEMORY_MAX


@pytest.mark.parametrize("length", [0, 1, 39, 41, 0x7fffffff, 0xffffffff])
def test_a_message_that_lies_about_its_length_hurts_only_its_guest(rig, length):
    rig.send(REQUEST, rig.request(GETATTR, ROOT, bytes(16), length=length))
    assert rig.hang_up() == 1
    assert "dxvm: share: " in rig.read_log()


@pytest.mark.parametrize("what", ["random bytes", "huge frame", "no request", "unknown share",
                                  "unknown type"])
def test_what_is_no_frame_hurts_only_its_guest(rig, what):
    if what == "random bytes":
        rig.port.sendall(random.Random(2).randbytes(1 << 16))
    elif what == "huge frame":
        rig.send(REQUEST, b"x", length=0xffffffff)
    elif what == "no request":
        rig.send(REQUEST, b"short")
    elif what == "unknown share":
        rig.send(REQUEST, rig.request(GETATTR, ROOT, bytes(16)), channel=0xffffffff)
    else:
        rig.send(200, b"")
    assert rig.hang_up() == 1


def test_random_requests_crash_nothing(rig):
    choose = random.Random(3)
    nodes = [ROOT, rig.node(ROOT, b"d"), rig.node(ROOT, b"link"), rig.node(ROOT, b".devbox"), 7]
    names = [b"d\0", b"link\0", b".devbox\0", b"vm\0", b"..\0", b"a\0", b"b\0"]
    for _ in range(20000):
        opcode = choose.randrange(0, 60)
        if opcode in (INIT, 38):
            continue
        body = choose.randbytes(choose.choice([0, 8, 16, 40, 88])) if choose.random() < 0.5 else \
            struct.pack("<Q", choose.choice(nodes)) * choose.randrange(3)
        body += b"".join(choose.sample(names, choose.randrange(3)))
        message = rig.request(opcode, choose.choice(nodes), body)
        if opcode in WITHOUT_REPLY:
            rig.send(REQUEST, message)
        else:
            rig.unique -= 2
            rig.ask(opcode, choose.choice(nodes), body)
    rig.lives()
    assert rig.resident() < MEMORY_MAX


def test_a_guest_that_reads_no_answers_stops_only_itself(rig):
    rig.port.settimeout(1)
    message = rig.request(READDIRPLUS, ROOT, struct.pack("<QQIIQII", 0, 0, 1 << 20, 0, 0, 0, 0))
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1_000_000:
            rig.send(REQUEST, message)
            sent += 1
    assert rig.server.poll() is None
    assert rig.resident() < MEMORY_MAX


def test_news_that_a_guest_did_not_read_before_it_was_saved_are_told_by_the_next_server(rig):
    """It says that it is quiet, and reads no more: what it was told since then is told again."""
    top = rig.node(ROOT, b"d")
    files = [rig.host / "d" / f"{i}" for i in range(2000)]
    for file in files:
        file.touch()
    nodes = {rig.node(top, b"%d" % i) for i in range(len(files))}
    heard = set()

    def hear():
        kind, payload = rig.frame()
        if kind == NOTIFY:
            heard.add(int.from_bytes(payload[16:24], "little"))
        return kind
    for file in files:
        os.utime(file)
    rig.control.send(b"q")
    while hear() != QUIESCE:
        pass
    rig.send(QUIESCED, b"", channel=0)
    rig.control.settimeout(10)
    assert rig.control.recv(1) == b"q"
    assert not nodes <= heard
    rig.kill_server()
    rig.start_server()
    rig.meet_next_server()
    while not nodes <= heard:
        hear()
    for file in files:
        file.unlink()


def test_many_nodes_cost_bounded_memory(rig):
    """And what is forgotten is freed: a second lot costs no more."""
    top = rig.node(ROOT, b"d")
    most = []
    for _ in range(2):
        made = []
        for i in range(5000):
            error, entry = rig.ask(MKNOD, top, body_with_name(MKNOD, b"%d" % i))
            assert error == 0
            made.append(int.from_bytes(entry[:8], "little"))
        most.append(rig.resident())
        for i, node in enumerate(made):
            assert rig.ask(UNLINK, top, b"%d\0" % i)[0] == 0
            rig.send(REQUEST, rig.request(FORGET, node, struct.pack("<Q", 1)))
        rig.lives()
    assert most[0] < MEMORY_MAX and most[1] < most[0] * (2 if SANITIZED else 1.3), most


def swap(top):
    """A hostile process of the host's user: `d` is now the directory, now a link out of the share."""
    renameat2 = ctypes.CDLL(None).renameat2
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    while True:
        renameat2(here, b"d", here, b"trap", 2)
        renameat2(here, b"f", here, b"bait", 2)


def test_a_host_that_swaps_directories_for_links_opens_no_way_out(rig):
    (rig.host / "d/secret").write_text("public")
    (rig.host / "f").write_text("public")
    for path in (rig.host / "d/secret", rig.host / "f"):
        os.chown(path, HOST_ID, HOST_ID)
    (rig.host / "trap").symlink_to("../outside")
    (rig.host / "bait").symlink_to("../outside/secret")
    end = time.monotonic() + 3
    child = os.fork()
    if child == 0:
        try:
            swap(rig.host)
        finally:
            os._exit(0)
    read, made, choose = 0, 0, random.Random(4)
    try:
        # Such a storm leaves the server little time: longer, until both were seen.
        while time.monotonic() < end + (0 if read > 0 and made > 0 else 30):
            where = choose.choice([(b"d", b"secret"), (b"f",)])
            node = ROOT
            for name in where:
                error, entry = rig.ask(LOOKUP, node, name + b"\0")
                node = int.from_bytes(entry[:8], "little") if error == 0 else 0
                if not node:
                    break
            if node:
                error, text = rig.ask(READ, node, struct.pack("<QQIIQII", 0, 0, 100, 0, 0, 0, 0))
                assert error < 0 or text == b"public", text
                read += error == 0
            error, entry = rig.ask(LOOKUP, ROOT, b"d\0")
            if error == 0:
                directory = int.from_bytes(entry[:8], "little")
                made += rig.ask(MKNOD, directory, body_with_name(MKNOD, b"planted"))[0] == 0
                rig.ask(RENAME2, directory, struct.pack("<QII", directory, 0, 0) + b"planted\0moved\0")
                rig.ask(UNLINK, directory, b"moved\0")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert read > 0 and made > 0
    rig.lives()


def test_the_server_has_no_rights_but_its_users(rig):
    with open(f"/proc/{rig.server.pid}/status", encoding="ascii") as file:
        told = dict(line.split(":\t") for line in file.read().splitlines())
    assert told["Uid"].split() == told["Gid"].split() == [str(HOST_ID)] * 4
    assert told["Groups"].split() == [str(HOST_ID)]
    assert all(int(told[which], 16) == 0 for which in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
    assert told["NoNewPrivs"] == "1"


def test_an_operation_that_is_not_there_is_said_to_be(rig):
    for opcode in (14, 35, 39, 46 + 2, 1000, 0xffffffff):
        assert rig.ask(opcode, ROOT, bytes(64))[0] in (0, -errno.ENOSYS, -errno.EOPNOTSUPP), opcode
    rig.lives()
