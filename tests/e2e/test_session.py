"""Sessions: what a command in the guest gets, and what comes back of it."""
import hashlib
import os
import subprocess
import threading

import pytest

from projects import wait_until


@pytest.mark.parametrize("status", [0, 1, 2, 77, 124, 125, 126, 127, 128, 255])
def test_exit_status_is_the_commands_own(project, status):
    assert project.run("exec", "sh", "-c", f"exit {status}").returncode == status


def test_death_by_signal_is_128_and_the_number(project):
    assert project.run("exec", "sh", "-c", "kill -TERM $$").returncode == 128 + 15
    assert project.run("exec", "sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_a_missing_command_is_127_and_says_so(project):
    done = project.run("exec", "no-such-command")
    assert done.returncode == 127
    assert b"no-such-command" in done.stderr
    assert done.stdout == b""


def test_a_file_that_cannot_be_executed_is_126(project):
    (project.root / "plain").write_text("text\n")
    assert project.run("exec", "./plain").returncode == 126


def test_stdout_and_stderr_stay_apart(project):
    done = project.run("-q", "exec", "sh", "-c", "echo out; echo err >&2; echo more")
    assert done.stdout == b"out\nmore\n"
    assert done.stderr == b"err\n"


def test_arguments_arrive_byte_for_byte(project):
    words = [b"a b", b"", b"'\"$`\\", b"new\nline", bytes(range(1, 256))]
    done = project.run("exec", "printf", "%s\\0", *words)
    assert done.stdout == b"".join(word + b"\0" for word in words)


def test_a_megabyte_of_arguments(project):
    words = [b"x" * 100_000 for _ in range(10)]
    done = project.run("exec", "sh", "-c", 'printf %s "$@" | wc -c', "sh", *words)
    assert done.stdout.split() == [b"1000000"], done.stderr


def test_the_command_runs_where_the_user_stands(project):
    deep = project.root / "a" / "b c"
    deep.mkdir(parents=True)
    assert project.run("exec", "pwd").stdout.decode().rstrip("\n") == str(project.root)
    assert project.run("exec", "pwd", cwd=deep).stdout.decode().rstrip("\n") == str(deep)


def test_input_reaches_the_command_and_its_end_too(project):
    data = os.urandom(5_000_000)
    done = project.run("exec", "cat", input=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_input_from_a_file(project):
    path = project.root / "input"
    path.write_bytes(b"line\n" * 100_000)
    with path.open("rb") as file:
        done = project.run("exec", "wc", "-l", stdin=file)
    assert done.stdout.split() == [b"100000"]


def test_a_command_that_does_not_read_its_input_ends(project):
    assert project.run("exec", "true", input=b"x" * 3_000_000).returncode == 0


def test_much_output_is_whole(project):
    done = project.run("exec", "sh", "-c", "yes 0123456789abcdef | head -c 20000000")
    expected = (b"0123456789abcdef\n" * (20_000_000 // 17 + 1))[:20_000_000]
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(expected).digest()


def test_output_then_exit_is_never_cut(project):
    script = "printf %065536d 7; printf end"
    for _ in range(40):
        done = project.run("exec", "sh", "-c", script)
        assert len(done.stdout) == 65536 + 3 and done.stdout.endswith(b"end")


def test_a_background_process_does_not_hold_the_session(project):
    done = project.run("exec", "sh", "-c", "sleep 300 & echo $!", timeout=20)
    assert done.returncode == 0
    os.kill(int(done.stdout), 9)


def test_a_slow_reader_loses_nothing(project):
    child = project.popen("exec", "sh", "-c", "seq 1 300000", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE)
    # Another session is not held up by one whose reader has not begun to read.
    assert project.run("exec", "echo", "quick", timeout=20).stdout == b"quick\n"
    output = child.stdout.read()
    assert child.wait(30) == 0
    assert output.split() == [b"%d" % n for n in range(1, 300_001)]


def test_twenty_sessions_at_once(project):
    project.run("start")
    results = {}

    def one(number):
        done = project.run("exec", "sh", "-c", f"seq 1 2000; exit {number}")
        results[number] = (done.returncode, done.stdout.count(b"\n"))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert results == {n: (n, 2000) for n in range(20)}


def test_interrupt_without_a_terminal_reaches_the_command(project):
    project.run("start")
    child = project.popen("exec", "sh", "-c", "echo $$; exec sleep 300", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(2)
    assert child.wait(20) == 128 + 2


def test_the_session_of_a_killed_client_ends(project):
    child = project.popen("exec", "sh", "-c", "echo $$; exec sleep 300", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE)
    pid = int(child.stdout.readline())
    child.kill()
    child.wait(20)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the command ended", 20)


def test_environment_that_goes_along(project):
    project.environment.update(COLORTERM="truecolor", TZ="Europe/Berlin", http_proxy="http://p:1",
                               SECRET="s", DEVBOX_SHELL_ENABLED="1")
    lines = project.run("exec", "env").stdout.decode().splitlines()
    assert "COLORTERM=truecolor" in lines
    assert "TZ=Europe/Berlin" in lines
    assert "http_proxy=http://p:1" in lines
    assert not [line for line in lines if line.startswith(("SECRET=", "DEVBOX_"))]
