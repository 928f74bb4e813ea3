"""The protocol as docs/protocol.md has it, spoken to the real agent and the real supervisor."""
import contextlib
import pathlib
import signal
import socket
import struct
import subprocess

import pytest

from dxvm_peer import (ACCEPT, AGAIN, BAD_REQUEST, CLOSE, CONFIGURE, DATA, EOF, EXIT, HELLO,
                       NOT_EXECUTABLE, NOT_FOUND, NO_RESOURCES, OK, OPEN, PING, REQUEST,
                       SESSION, STATUS, STOP, SYNC_DISKS, UNKNOWN, VERSION_MISMATCH, VIOLATION,
                       WAIT_READY, WINDOW, Closed, Peer, configuration, frame, hello, malformed,
                       read_status, session)
from projects import wait_until


def shell(text, **more):
    return session([b"sh", b"-c", text], **more)


@contextlib.contextmanager
def running_agent(agent, folder, *options, **more):
    """The agent on this host, and a peer at the other end of its link."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [agent, "--fake", "--link-fd", str(theirs.fileno()), "--project", str(folder), *options],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, **more)
    theirs.close()
    try:
        yield Peer(ours), process
    finally:
        ours.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.fixture
def greeted(agent, scratch):
    """An agent that has said HELLO and nothing else."""
    with running_agent(agent, scratch) as (peer, _):
        peer.handshake(program="test", uptime=7)
        yield peer


@pytest.fixture
def peer(greeted, scratch):
    """An agent ready for sessions."""
    assert greeted.request(CONFIGURE, configuration(project=str(scratch))) == (OK, b"")
    return greeted


@pytest.fixture
def supervisor(project):
    """A function that connects to the supervisor of a running project."""
    assert project.run("start").returncode == 0
    runtime = pathlib.Path(project.environment["XDG_RUNTIME_DIR"])
    with contextlib.ExitStack() as stack:
        def connect():
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            paths = [path for path in runtime.rglob("*") if path.is_socket()]
            assert len(paths) == 1, paths
            sock.connect(str(paths[0]))
            return Peer(sock)
        yield connect


def check_rules(connect):
    """What every side of a link does to a peer that breaks the rules."""
    for name, data in malformed().items():
        peer = connect()
        peer.handshake()
        peer.send_raw(data)
        code, text = peer.wait_goaway()
        assert code == VIOLATION and text, name
        assert peer.closed_by_other(), name


def check_versions(connect):
    newer = connect()
    assert newer.handshake(lowest=1, highest=9)["highest"] == 1
    for lowest, highest in ((2, 3), (0, 0)):
        stranger = connect()
        stranger.send_raw(hello(lowest, highest, program="other 9.9"))
        code, text = stranger.wait_goaway()
        assert code == VERSION_MISMATCH
        assert f"other 9.9 speaks {lowest} to {highest}" in text


def test_the_agent_says_who_it_is_and_answers_pings(greeted):
    assert greeted.hello["program"].startswith("dxvm-agent ")
    assert any(greeted.hello["nonce"]) and greeted.hello["uptime"] > 0
    greeted.send_raw(frame(PING, 0, b"are you there"))
    assert greeted.read_frame() == (13, 0, 0, b"are you there")


def test_the_agent_answers_requests(peer):
    assert peer.request(SYNC_DISKS) == (OK, b"")
    assert peer.request(9999)[0] == UNKNOWN
    assert peer.request(CONFIGURE, b"\xff\xff")[0] == BAD_REQUEST


def test_a_session_says_output_eof_and_exit_in_order(peer):
    result = peer.run(shell(b"echo out; echo err >&2; exit 7"))
    assert (result.stdout, result.stderr, result.status) == (b"out\n", b"err\n", 7)
    assert result.log[0] == ACCEPT and result.log[-1] == CLOSE
    assert set(result.log[1:-1]) == {DATA, EOF, EXIT}
    assert result.log.index(DATA) < result.log.index(EXIT)


def test_standard_input_goes_in_and_ends(peer):
    data = bytes(range(256)) * 4096
    assert peer.run(session([b"cat"]), data).stdout == data


def test_arguments_and_environment_are_bytes(peer):
    odd = bytes(range(1, 256))
    result = peer.run(shell(b'printf %s "$1$ODD"', environment=[b"ODD=" + odd]))
    assert result.stdout == odd
    result = peer.run(session([b"printf", b"%s", odd]))
    assert result.stdout == odd


def test_a_signal_is_an_exit_of_its_own_kind(peer):
    channel = peer.open(shell(b"echo up; exec sleep 1000"))
    channel.wait(lambda c: c.stdout)
    channel.signal(signal.SIGTERM)
    assert channel.wait().exit == (1, signal.SIGTERM)


def test_rejections_say_what_is_missing(peer, scratch):
    assert peer.run(session([b"no-such-command"])).rejected[0] == NOT_FOUND
    (scratch / "text").write_text("no program")
    assert peer.run(session([str(scratch / "text")])).rejected[0] == NOT_EXECUTABLE
    assert peer.run(session([b"true"], environment=[b"NOVALUE"])).rejected[0] == BAD_REQUEST


def test_a_directory_that_is_not_there_is_told_and_replaced(peer):
    result = peer.run(session([b"pwd"], cwd="/no/such/directory"))
    assert result.stdout.startswith(b"/") and result.status == 0
    assert b"cannot enter /no/such/directory" in result.stderr


def test_a_description_over_the_limit_is_rejected(peer):
    channel = peer.open(b"", announce=(2 << 20) + 1)
    assert channel.wait().rejected[0] == NO_RESOURCES


def test_a_reader_that_stops_gets_one_window_and_delays_nobody(peer):
    peer.credit_at_once = False
    channel = peer.open(shell(b"head -c 3000000 /dev/zero"))
    channel.wait(lambda c: c.unconsumed == WINDOW)
    assert peer.run(shell(b"echo other")).stdout == b"other\n"
    assert channel.unconsumed == WINDOW and channel.exit is None
    peer.credit_at_once = True
    channel.consume()
    assert channel.wait().stdout == bytes(3000000) and channel.status == 0


def test_a_terminal_has_the_size_it_is_told(peer):
    channel = peer.open(shell(b"stty size; read line; stty size", tty=True, size=(33, 101)))
    channel.wait(lambda c: b"33 101" in c.stdout)
    channel.resize(44, 132)
    channel.send(b"\n")
    assert b"44 132" in channel.wait().stdout and channel.status == 0


def test_many_sessions_at_once(peer):
    channels = [peer.open(shell(b"read x; echo $x")) for _ in range(20)]
    for channel in reversed(channels):
        channel.send(b"%d\n" % channel.number)
    for channel in channels:
        assert channel.wait().stdout == b"%d\n" % channel.number and channel.status == 0


def test_a_closed_channel_hangs_its_program_up(peer, scratch):
    # Its standard error goes with the channel, and the shell has a word to say of its dead sleep.
    channel = peer.open(shell(b"exec 2>/dev/null; trap 'echo hung up >told; exit' HUP; echo up; "
                              b"while :; do sleep 0.05; done"))
    channel.wait(lambda c: c.stdout)
    channel.close()
    channel.wait()
    waited = peer.run(shell(b"until grep -q 'hung up' told; do sleep 0.05; done 2>/dev/null"))
    assert waited.status == 0


def test_late_frames_of_a_channel_that_is_over_are_ignored(peer):
    channel = peer.run(session([b"no-such-command"]))
    peer.send_raw(frame(DATA, channel.number, b"late") + frame(CLOSE, channel.number))
    assert peer.request(SYNC_DISKS) == (OK, b"")


def test_byte_by_byte_is_as_good_as_whole(peer):
    for byte in frame(OPEN, 1, struct.pack(">HI", SESSION, 4)) + frame(PING, 0, b"slow"):
        peer.send_raw(bytes([byte]))
    assert peer.read_frame()[0] == 13


def test_agent_and_broken_rules(agent, scratch):
    with contextlib.ExitStack() as stack:
        check_rules(lambda: stack.enter_context(running_agent(agent, scratch))[0])


def test_agent_and_other_versions(agent, scratch):
    with contextlib.ExitStack() as stack:
        check_versions(lambda: stack.enter_context(running_agent(agent, scratch))[0])


def test_agent_ends_with_its_link(agent, scratch):
    with running_agent(agent, scratch) as (peer, process):
        peer.handshake()
        peer.sock.shutdown(socket.SHUT_RDWR)
        process.wait(10)


def test_supervisor_and_broken_rules(supervisor):
    check_rules(supervisor)
    first = supervisor()
    first.send_raw(frame(REQUEST, 0, struct.pack(">IH", 1, STATUS)))
    assert first.wait_goaway()[0] == VIOLATION


def test_supervisor_and_other_versions(supervisor):
    check_versions(supervisor)


def test_supervisor_answers_and_relays(supervisor, project):
    peer = supervisor()
    assert peer.handshake()["program"].startswith("dxvm ")
    assert peer.request(WAIT_READY) == (OK, b"\0") # booted, not resumed
    code, payload = peer.request(STATUS)
    assert code == OK
    status = read_status(payload)
    assert status["state"] == "running" and status["accelerator"] == "none"
    assert peer.request(9999)[0] == UNKNOWN
    result = peer.run(shell(b"cat; echo err >&2; exit 9"), b"through two hops")
    assert (result.stdout, result.stderr, result.status) == (b"through two hops", b"err\n", 9)
    assert peer.run(session([b"no-such-command"])).rejected[0] == NOT_FOUND


def test_supervisor_holds_no_more_than_a_window(supervisor):
    peer = supervisor()
    peer.handshake()
    peer.credit_at_once = False
    channel = peer.open(shell(b"head -c 3000000 /dev/zero; echo done >&2"))
    channel.wait(lambda c: c.unconsumed == WINDOW)
    other = supervisor()
    other.handshake()
    assert other.run(shell(b"echo other")).stdout == b"other\n"
    peer.credit_at_once = True
    channel.consume()
    assert len(channel.wait().stdout) == 3000000
    assert channel.stderr == b"done\n" and channel.status == 0


def test_supervisor_stops_when_asked(supervisor, project):
    peer = supervisor()
    peer.handshake()
    assert peer.request(STOP) == (OK, b"")
    assert peer.closed_by_other()


def test_supervisor_that_leaves_says_to_ask_again(supervisor):
    """Nothing was begun for who asks now; the next supervisor will do it."""
    stopper, peer = supervisor(), supervisor()
    stopper.handshake()
    peer.handshake()
    stopper.open(shell(b"trap '' HUP TERM; echo runs; sleep 2")).wait(lambda c: c.stdout)
    stopper.ask(STOP)
    wait_until(lambda: read_status(peer.request(STATUS)[1])["state"] == "stopping", "it stops")
    assert peer.request(WAIT_READY)[0] == AGAIN
    assert peer.open(shell(b"true")).wait().rejected[0] == AGAIN
