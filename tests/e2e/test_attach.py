"""Sessions that lose their client, and clients that come back."""
import hashlib
import json
import os
import re
import signal
import subprocess

import pexpect
import pytest

from dxvm_peer import ATTACH, BAD_REQUEST, NOT_FOUND, attach, session
from projects import wait_until
from test_protocol import greeted, peer  # noqa: F401 (fixtures)
from test_terminal import say

RECORD = 262144  # bytes of its output that a session keeps
DETACHED, ATTACHED, ENDED = 0, 1, 2


def prompt(child):
    child.expect("[$#] ")
    child.sendline("PS1='<''ready> '")
    child.expect_exact("<ready> ")
    return child


def shell(project, *words, **more):
    """A new shell at its prompt."""
    return prompt(project.terminal("shell", "--new", *words, **more))


def back_at_prompt(child):
    """Past what was replayed, prompts and all."""
    child.sendline("echo sync-$((40 + 2))")
    child.expect_exact("sync-42")
    child.expect_exact("<ready> ")


def sessions(project):
    done = project.run("sessions", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(project):
    return {one["id"]: one["state"] for one in sessions(project)}


def leave(child, how):
    if how in ("tilde", "tilde, quiet"):
        child.send("\r~.")
        if how == "tilde":
            child.expect(r"dxvm: detached; `dxvm attach \d+` comes back")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0 and "dxvm:" not in child.before
    elif how == "closed":
        child.close(force=False)
    else:
        os.kill(child.pid, {"kill": signal.SIGKILL, "hup": signal.SIGHUP,
                            "term": signal.SIGTERM}[how])
        child.expect(pexpect.EOF)


def end(child):
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.wait()


@pytest.mark.parametrize("how", ["tilde", "closed", "kill", "hup", "term"])
def test_a_shell_that_loses_its_terminal_is_there_for_the_next_dxvm(project, how):
    child = shell(project)
    say(child, "kept=one-$((40 + 2))")
    leave(child, how)
    wait_until(lambda: states(project) == {1: "detached"}, "the shell is detached")
    back = project.terminal()
    back.expect(r"dxvm: back in shell 1, opened \d+ s ago")
    back_at_prompt(back)
    assert "one-42" in say(back, 'echo "$kept"')
    end(back)
    assert back.exitstatus == 0
    assert sessions(project) == []


def test_exit_ends_a_shell(project):
    child = shell(project)
    end(child)
    assert sessions(project) == []


def test_several_detached_shells_are_listed_and_each_can_be_had(project):
    for value in ("first", "second"):
        child = shell(project)
        say(child, f"kept={value}")
        leave(child, "tilde")
    wait_until(lambda: states(project) == {1: "detached", 2: "detached"}, "both are detached")
    child = project.terminal()
    child.expect(r"1 +detached .*\r\n.*2 +detached .* shell\r\n")
    child.expect_exact("2 shells are detached: `dxvm attach ID`")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 125
    child = project.terminal("attach")
    child.expect_exact("which one? `dxvm attach ID`")
    child.expect(pexpect.EOF)
    back = project.terminal("attach", "2")
    back_at_prompt(back)
    assert "second" in say(back, "echo $kept")
    end(back)
    back = project.terminal()
    back.expect_exact("back in shell 1")
    end(back)


def test_another_shell_on_request_or_beside_one_that_is_used(project):
    child = shell(project)
    other = prompt(project.terminal())
    assert set(states(project).values()) == {"attached"}
    end(other)
    leave(child, "tilde")
    third = shell(project)
    assert sorted(states(project).values()) == ["attached", "detached"]
    end(third)


def test_a_session_is_taken_from_another_terminal(project):
    child = shell(project)
    back = project.terminal("attach", "1", rows=40, columns=100)
    child.expect_exact("dxvm: session 1 goes on in another terminal")
    child.expect(pexpect.EOF)
    back_at_prompt(back)
    assert "40 100" in say(back, "stty size")
    end(back)


def test_a_command_without_a_terminal_is_hung_up(project):
    child = project.popen("exec", "sh", "-c", "exec 2>/dev/null; trap 'echo up >hung; exit' HUP; "
                          "echo up; while :; do sleep 0.05; done", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    child.kill()
    child.wait()
    child.stdout.close()
    wait_until((project.root / "hung").exists, "it was hung up")
    assert sessions(project) == []


def test_a_build_runs_on_to_its_end(project):
    """10 MB of output that nobody reads; then its end is shown, once."""
    child = project.terminal("exec", "sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.05; "
                             "done; seq 1500000; echo all''done; exit 7")
    child.expect_exact("begun")
    leave(child, "kill")
    wait_until(lambda: states(project) == {1: "detached"}, "it is detached")
    (project.root / "go").touch()
    wait_until(lambda: states(project) == {1: "ended"}, "it has ended")
    assert sessions(project)[0]["status"] == 7
    child = project.terminal()
    child.expect_exact("1 has ended while nobody was attached; `dxvm attach 1` shows how")
    end(prompt(child))
    back = project.terminal("attach")
    back.expect_exact("1499999\r\n1500000\r\nalldone")
    lines = back.before.split()
    assert lines == [str(number) for number in range(int(lines[0]), int(lines[-1]) + 1)]
    back.expect(pexpect.EOF)
    back.wait()
    assert back.exitstatus == 7
    assert sessions(project) == []


def test_a_stopped_vm_has_nothing_to_attach_to(project):
    leave(shell(project), "tilde")
    project.stop()
    for words in (["attach"], ["attach", "1"]):
        child = project.terminal(*words)
        child.expect_exact("the VM does not run, so there is nothing to attach to")
        child.expect(pexpect.EOF)
    assert project.run("sessions").stdout == b""


def test_a_number_that_is_none(project):
    project.run("start")
    for word, text in (("0", "is not the number of a session"), ("7x", "is not the number"),
                       ("99", "there is no session 99; `dxvm sessions` lists them")):
        child = project.terminal("attach", word)
        child.expect_exact(text)
        child.expect(pexpect.EOF)


@pytest.mark.skipif(not os.path.exists("/usr/bin/vim"), reason="there is no vim here")
@pytest.mark.parametrize("size", [(30, 100), (24, 80)])
def test_vim_is_drawn_anew_on_another_terminal(project, size):
    (project.root / "text").write_text("".join(f"line {n}\n" for n in range(1, 200)))
    child = project.terminal("exec", "vim", "-u", "NONE", "-N", "text")
    child.expect_exact("line 23")
    child.send("50Gzt")
    child.expect_exact("line 72")
    leave(child, "kill")
    wait_until(lambda: states(project) == {1: "detached"}, "vim is detached")
    back = project.terminal("attach", rows=size[0], columns=size[1])
    back.expect_exact("\x1b[?1049h")
    back.expect_exact(f"line {50 + size[0] - 2}")
    back.send(":q\r")
    back.expect_exact("\x1b[?1049l")
    back.expect(pexpect.EOF)


# What the protocol says of it, asked of the agent itself.

def tty(script, **more):
    return session([b"sh", b"-c", script], tty=True, detach=1, **more)


def test_a_number_for_each_session_and_a_list_of_them(peer):
    one = peer.open(session([b"sleep", b"100"], tty=True, detach=2, size=(30, 90)))
    one.wait(lambda channel: channel.accepted)
    two = peer.open(session([b"sleep", b"101"]))
    two.wait(lambda channel: channel.accepted)
    assert (one.id, two.id) == (1, 2)
    listed = peer.sessions()
    assert [(s["id"], s["state"], s["detach"], s["command"]) for s in listed] == \
        [(1, ATTACHED, 2, b"sleep 100"), (2, ATTACHED, 0, b"sleep 101")]
    assert listed[0]["size"] == (30, 90)
    one.close()
    two.close()
    one.wait(), two.wait()
    wait_until(lambda: [(s["id"], s["state"]) for s in peer.sessions()] == [(1, DETACHED)],
               "one is detached, and the other is gone")


def test_who_may_attach(peer):
    channel = peer.open(tty(b"echo up; sleep 100"))
    piped = peer.open(session([b"sleep", b"100"]))
    for one in (channel, piped):
        one.wait(lambda one: one.accepted)
    for number, take, code in ((77, True, NOT_FOUND), (channel.id, False, BAD_REQUEST),
                               (piped.id, True, BAD_REQUEST)):
        refused = peer.open(attach(number, take=take), kind=ATTACH).wait()
        assert refused.rejected[0] == code, refused.rejected
    assert peer.open(b"\0\0", kind=ATTACH).wait().rejected[0] == BAD_REQUEST
    taker = peer.open(attach(channel.id, take=True), kind=ATTACH)
    taker.wait(lambda taker: b"up" in taker.stdout)
    channel.wait()
    assert channel.taken and channel.exit is None
    assert taker.id == channel.id


def test_nothing_is_lost_between_two_clients(peer):
    """What was on its way to the first one is sent to the second."""
    peer.credit_at_once = False
    # What the first has not taken fits into the ring: while nobody is there all of it is read.
    channel = peer.open(tty(b"stty -opost; seq 50000; echo end; sleep 100"))
    channel.wait(lambda channel: len(channel.stdout) == RECORD)
    channel.consume(100000)
    channel.wait(lambda channel: len(channel.stdout) >= RECORD + 16384)
    seen = channel.stdout[:100000].split(b"\n")[-2]
    channel.close()
    peer.credit_at_once = True
    back = peer.open(attach(channel.id), kind=ATTACH)
    back.wait(lambda back: re.search(rb"(^|\n)end\n", back.stdout))
    numbers = back.stdout.split(b"\n")[:-2]
    assert [int(n) for n in numbers] == list(range(int(numbers[0]), 50001))
    assert len(back.stdout) <= RECORD + 4096 or int(numbers[0]) <= int(seen) + 1


def test_the_modes_of_the_terminal_are_said_again(peer):
    channel = peer.open(tty(b"printf '\\033[?1049h\\033[?25l'; seq 20000; echo end; sleep 100"))
    channel.wait(lambda channel: b"end" in channel.stdout)
    channel.close()
    channel.wait()
    back = peer.open(attach(channel.id), kind=ATTACH)
    back.wait(lambda back: b"end" in back.stdout)
    assert back.stdout.startswith(b"\x1b[?1049h\x1b[?25l")
    assert len(back.stdout) < RECORD // 4  # and not all of it again


def test_old_questions_to_the_terminal_are_not_asked_again(peer):
    channel = peer.open(tty(b"printf 'one\\033[6n\\033]11;?\\007two'; sleep 100"))
    channel.wait(lambda channel: b"two" in channel.stdout)
    assert b"\x1b[6n" in channel.stdout
    channel.close()
    channel.wait()
    back = peer.open(attach(channel.id), kind=ATTACH)
    back.wait(lambda back: b"two" in back.stdout)
    assert back.stdout.replace(b"\0", b"") == b"onetwo"


def test_input_of_the_new_client_arrives_and_its_status_is_told(peer):
    channel = peer.open(tty(b"read line; echo got $line; exit 9"))
    channel.wait(lambda channel: channel.accepted)
    channel.close()
    channel.wait()
    back = peer.open(attach(channel.id) + b"", kind=ATTACH)
    back.send(b"something\n")
    back.wait()
    assert b"got something" in back.stdout
    assert back.status == 9


def test_input_of_the_new_client_has_room_beside_that_of_the_one_before(peer, tmp_path):
    """A window of each; what several clients typed ahead of a program that does not read is dropped."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    much = 900 << 10
    script = b"stty raw -echo; echo up; read line <%s; head -c %d | md5sum" % (
        bytes(gate), 2 * much)
    channel = peer.open(tty(script))
    channel.wait(lambda channel: b"up" in channel.stdout)
    channel.send(b"a" * much)
    channel.close()
    channel.wait()
    back = peer.open(attach(channel.id), kind=ATTACH)
    back.wait(lambda back: back.accepted)
    back.send(b"b" * much)
    gate.write_text("read it\n")
    back.wait()
    assert hashlib.md5(b"a" * much + b"b" * much).hexdigest().encode() in back.stdout


def test_the_end_that_was_first_is_the_first_to_be_forgotten(peer, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = peer.open(tty(b"echo up; read line <%s; exit 3" % bytes(gate)))
    first.wait(lambda channel: b"up" in channel.stdout)
    first.close()
    first.wait()
    for _ in range(16):
        channel = peer.open(tty(b"trap '' HUP; echo up; while [ ! -e %s ]; do sleep .05; done"
                                % bytes(tmp_path / "end")))
        channel.wait(lambda channel: b"up" in channel.stdout)
        channel.close()
        channel.wait()
    (tmp_path / "end").touch()
    wait_until(lambda: sum(s["state"] == ENDED for s in peer.sessions()) == 16, "16 have ended")
    gate.write_text("the last to end\n")
    wait_until(lambda: all(s["state"] == ENDED for s in peer.sessions()), "all have ended")
    assert len(peer.sessions()) == 16
    assert peer.open(attach(1), kind=ATTACH).wait().status == 3


def test_ends_are_kept_but_not_all(peer, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    for number in range(20):
        channel = peer.open(tty(b"echo %d; read line <%s; exit 3" % (number, bytes(gate))))
        channel.wait(lambda channel: b"\n" in channel.stdout)
        channel.close()
        channel.wait()
        gate.write_text("now that nobody is there\n")
        # One end after another: the oldest is the first to be forgotten.
        wait_until(lambda: all(s["state"] == ENDED for s in peer.sessions()), "all have ended")
    listed = peer.sessions()
    assert [s["id"] for s in listed] == list(range(5, 21))
    last = peer.open(attach(20), kind=ATTACH).wait()
    assert b"19" in last.stdout and last.status == 3
    assert 20 not in [s["id"] for s in peer.sessions()]
