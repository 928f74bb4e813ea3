"""What sessions promise, asked of the real agent on this host; and what the program itself is."""
import hashlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from dxvm_peer import (CONFIGURE, NOT_EXECUTABLE, NO_RESOURCES, OK, SHUTDOWN, SHUTTING_DOWN,
                       WINDOW, Closed, configuration, session)
from projects import BUILD
from test_protocol import greeted, peer, running_agent, shell  # noqa: F401 (fixtures)

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x04", b"\x1a", b"\x1c"


def memory_of(process):
    """Private memory in KiB."""
    lines = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def status_of(process):
    return pathlib.Path(f"/proc/{process.pid}/status").read_text()


def switches(status):
    return [line for line in status.splitlines() if "ctxt_switches" in line]


def test_every_exit_status_arrives(peer):
    for status in (*range(0, 256, 5), 1, 2, 125, 126, 127, 128, 254):
        assert peer.run(shell(b"exit %d" % status)).exit == (0, status)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV,
                                    signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_ends_a_program_is_told(peer, number):
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    assert peer.run(shell(b"kill -%d $$" % number)).exit == (1, number)


def test_a_missing_interpreter_and_a_directory_are_not_executable(peer, scratch):
    script = scratch / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    code, text = peer.run(session([str(script)])).rejected
    assert code == NOT_EXECUTABLE and "interpreter" in text
    assert peer.run(session([str(scratch)])).rejected[0] == NOT_EXECUTABLE


def test_a_program_too_large_to_start_is_said_so(peer):
    code, text = peer.run(session([b"true", b"x" * 200000])).rejected
    assert (code, text) == (NOT_EXECUTABLE, "Argument list too long")


def test_a_mebibyte_of_arguments_and_environment(peer):
    arguments = [b"%06d" % number + b"a" * 994 for number in range(530)]
    environment = [b"V%d=" % number + bytes([number % 255 + 1]) * 990 for number in range(530)]
    script = b'printf %s "$@" | sha256sum; env | grep -a -c ^V'
    result = peer.run(session([b"sh", b"-c", script, b"sh", *arguments], environment))
    # The values that are a newline repeated show as lines of their own.
    assert result.stdout.split()[0].decode() == hashlib.sha256(b"".join(arguments)).hexdigest()
    assert int(result.stdout.split()[2]) == 530


def test_ten_mebibytes_go_in_and_come_back(peer):
    data = os.urandom(1 << 20) * 10
    channel = peer.open(session([b"cat"]))
    digest = hashlib.sha256()
    sent = 0
    while not channel.over:
        part = data[sent:sent + min(channel.window, 65536)]
        if part:
            channel.send(part)
            sent += len(part)
            if sent == len(data):
                channel.send_eof()
        peer.step()
        digest.update(channel.stdout)
        channel.stdout = b""
    assert channel.status == 0
    assert digest.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("tty", [False, True])
def test_output_before_the_exit_is_never_lost(peer, tty):
    for number in range(100):
        result = peer.run(shell(b"seq 1 %d" % (number * 20), tty=tty))
        lines = result.stdout.replace(b"\r", b"").split()
        assert lines == [b"%d" % line for line in range(1, number * 20 + 1)]


def test_output_larger_than_the_window_follows_the_exit_of_its_writer(peer):
    """The program is gone while its last output waits for credit: it still comes before EXIT."""
    peer.credit_at_once = False
    channel = peer.open(shell(b"head -c %d /dev/zero & wait; echo $$ >pid; exit 9" % (WINDOW + 40000)))
    channel.wait(lambda c: c.unconsumed == WINDOW)
    wait = peer.open(shell(b"until p=$(cat pid 2>/dev/null) && ! kill -0 $p 2>/dev/null; do "
                           b"sleep 0.02; done"))
    wait.wait()
    assert channel.exit is None
    peer.credit_at_once = True
    channel.consume()
    assert len(channel.wait().stdout) == WINDOW + 40000 and channel.status == 9


@pytest.mark.parametrize("tty", [False, True])
def test_a_program_left_in_the_background_delays_no_exit(peer, tty):
    started = time.monotonic()
    result = peer.run(shell(b"sleep 1000 & echo $!", tty=tty))
    os.kill(int(result.stdout), signal.SIGKILL) if not tty else None
    assert result.status == 0 and time.monotonic() - started < 10


@pytest.mark.parametrize("tty", [False, True])
def test_a_background_program_that_floods_delays_no_exit(peer, tty):
    result = peer.run(shell(b"trap '' HUP; yes & sleep 0.1; echo the end; exit 4", tty=tty))
    assert result.status == 4 and b"the end" in result.stdout


def test_input_nobody_reads_does_not_hold_the_exit_back(peer):
    channel = peer.open(shell(b"read go; exit 3"))
    channel.send(b"x" * 200000)
    channel.send(b"\n" + b"y" * 60000)
    assert channel.wait().status == 3


def test_input_for_a_program_that_closed_its_end_is_credited(peer):
    channel = peer.open(shell(b"exec <&-; echo closed; sleep 0.2; exit 0"))
    channel.wait(lambda c: c.stdout)
    channel.send(b"x" * (3 * WINDOW))
    assert channel.wait().status == 0


def test_control_characters_reach_the_program_in_front(peer):
    channel = peer.open(shell(b"trap 'echo got INT' INT; trap 'echo got QUIT; exit 2' QUIT; "
                              b"echo up; while :; do sleep 0.02; done", tty=True))
    channel.wait(lambda c: b"up" in c.stdout)
    channel.send(CTRL_C)
    channel.wait(lambda c: b"got INT" in c.stdout)
    channel.send(CTRL_BACKSLASH)
    assert b"got QUIT" in channel.wait().stdout and channel.status == 2


def test_a_program_is_stopped_and_goes_on(peer):
    channel = peer.open(session([b"bash", b"--norc", b"-i"], [b"PS1=ready>"], tty=True))

    def type_in(text, answer):
        channel.stdout = b""
        channel.send(text)
        channel.wait(lambda c: answer in c.stdout)

    channel.wait(lambda c: b"ready>" in c.stdout)
    # One process: the shell goes on when its child has stopped, and a grandchild that is still about to
    # stop would read what is typed next.
    type_in(b"sh -c 'echo up; exec cat'\n", b"\rup\r\n")
    type_in(b"before\n", b"before\r\nbefore\r\n")
    type_in(CTRL_Z, b"ready>")
    assert b"Stopped" in channel.stdout
    type_in(b"fg\n", b"cat'\r\n")
    type_in(b"after\n", b"after\r\nafter\r\n")
    type_in(CTRL_D, b"ready>")
    channel.send(b"exit 6\n")
    assert channel.wait().status == 6


def test_end_of_input_ends_the_reader_of_a_terminal_once(peer):
    script = shell(b"stty -echo; cat; echo first", tty=True)
    for text in (b"a line\n", b"half a line"):
        channel = peer.open(script)
        channel.wait(lambda c: c.accepted)
        channel.send(text)
        channel.send_eof()
        assert channel.wait().stdout.count(text.strip()) >= 1 and b"first" in channel.stdout


def test_a_terminal_signal_goes_to_the_foreground_and_hangs_up_with_its_client(peer, scratch):
    channel = peer.open(shell(b"set -m; sh -c 'trap \"echo fore; exit\" USR1; echo up; "
                              b"while :; do sleep 0.02; done'; echo back", tty=True))
    channel.wait(lambda c: b"up" in c.stdout)
    channel.signal(signal.SIGUSR1)
    assert b"fore\r\n" in channel.wait().stdout and b"back\r\n" in channel.stdout
    channel = peer.open(shell(b"trap 'echo $$ >gone; exit' HUP; echo up; "
                              b"while :; do sleep 0.02; done", tty=True))
    channel.wait(lambda c: b"up" in c.stdout)
    channel.close()
    assert peer.run(shell(b"until [ -s gone ]; do sleep 0.02; done")).status == 0


def test_a_login_shell_is_one(peer):
    channel = peer.open(session(login=True, tty=True, environment=[b"TERM=xterm"]))
    channel.send(b'echo "name $0"; exit 8\n')
    assert b"name -" in channel.wait().stdout and channel.status == 8


def test_descriptors_and_signals_of_a_session_are_clean(peer):
    result = peer.run(session([b"python3", b"-c", b"import os, signal\n"
                               b"print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])\n"
                               b"print([s for s in open('/proc/self/status') if 'SigBlk' in s or "
                               b"'SigIgn' in s])"]))
    descriptors, masks = result.stdout.decode().splitlines()
    assert descriptors == "[0, 1, 2]"
    assert "SigBlk:\\t0000000000000000" in masks
    # Python itself ignores SIGPIPE and SIGXFSZ; 32 and 33 are the C library's own, which make's
    # children inherit ignored and nobody can reset.
    ignored = int(re.search(r"SigIgn:\\t([0-9a-f]+)", masks)[1], 16)
    assert ignored & ~(0b11 << 31) == 0x1001000


def test_sessions_over_the_limit_are_refused_and_the_others_live(peer):
    channels = [peer.open(session([b"cat"])) for _ in range(128)]
    for channel in channels:
        channel.wait(lambda c: c.accepted)
    assert peer.run(session([b"true"])).rejected[0] == NO_RESOURCES
    for channel in channels:
        channel.send_eof()
    assert {channel.wait().status for channel in channels} == {0}
    assert peer.run(session([b"true"])).status == 0


def test_memory_stays_small(agent, scratch):
    with running_agent(agent, scratch) as (link, process):
        link.handshake()
        link.request(CONFIGURE, configuration(project=str(scratch)))
        assert memory_of(process) < 2048
        link.credit_at_once = False
        floods = [link.open(shell(b"yes")) for _ in range(10)]
        for flood in floods:
            flood.wait(lambda c: c.unconsumed == WINDOW)
        assert memory_of(process) < 2048 + 10 * 1024
        for flood in floods:
            flood.close()
        assert link.run(session([b"true"])).status == 0
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while children.read_text():
            link.run(session([b"true"]))
        while "S (sleeping)" not in (before := status_of(process)):
            pass
        time.sleep(1.5)  # the one thing that only time can show: that nothing happens
        assert switches(before) == switches(status_of(process)), "it woke up by itself"


def test_shutdown_ends_sessions_and_the_agent(agent, scratch):
    with running_agent(agent, scratch) as (link, process):
        link.handshake()
        link.request(CONFIGURE, configuration(project=str(scratch)))
        idle = link.open(session([b"cat"]))
        stubborn = link.open(shell(b"trap '' TERM; trap 'echo told; exit 5' HUP; echo up; "
                                   b"while :; do sleep 0.02; done"))
        idle.wait(lambda c: c.accepted)
        stubborn.wait(lambda c: c.stdout)
        idle.close_sent = stubborn.close_sent = True  # it does not wait for our CLOSE
        number = link.ask(SHUTDOWN)
        late = link.open(session([b"true"]))
        while number not in link.replies:
            link.step()
        assert link.replies[number] == (OK, b"")
        assert late.rejected[0] == SHUTTING_DOWN
        assert idle.exit == (1, signal.SIGHUP)
        assert stubborn.stdout == b"up\ntold\n" and stubborn.status == 5
        with pytest.raises(Closed):
            link.step()
        assert process.wait(10) == 0


def test_the_guest_program_needs_nothing_of_the_guest(agent):
    headers = subprocess.run(["readelf", "-lW", agent], capture_output=True, text=True, check=True)
    assert "LOAD" in headers.stdout
    assert "INTERP" not in headers.stdout and "DYNAMIC" not in headers.stdout
    assert pathlib.Path(agent).stat().st_size < 1 << 20


def test_it_compiles_for_aarch64(tmp_path):
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if not compiler:
        pytest.skip("aarch64-linux-gnu-gcc is missing (apt-get install gcc-aarch64-linux-gnu)")
    sources = [path for room in ("agent", "wire", "base")
               for path in sorted((TOP / "src" / room).glob("*.c"))]
    assert len(sources) > 30 and BUILD.is_dir()
    made = tmp_path / "dxvm-agent"
    subprocess.run([compiler, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    '-DDXVM_VERSION="test"', "-I", TOP / "src", "-static", "-pthread",
                    "-Wno-format-truncation", *sources, "-o", made], check=True)
    assert b"\x7fELF\x02" in made.read_bytes()[:5]
