"""Sessions: what a command in the guest gets, and what comes back of it."""
import hashlib
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time

import pytest

from projects import SANITIZED, wait_until


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


def test_a_mebibyte_of_arguments_and_environment_with_every_byte_but_nul(project):
    every = bytes(range(1, 256))
    words = [(b"%05d" % number + every * 4)[:1000] for number in range(550)]
    names = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "NO_COLOR")
    values = [name.encode() + every * 360 for name in names]
    project.environment.update(zip(names, map(os.fsdecode, values)))
    assert sum(map(len, words + values)) > 1 << 20
    script = "".join(f'printf %s "${name}";' for name in names)
    done = project.run("exec", "sh", "-c", f'printf %s "$@" | sha256sum; {{ {script} }} | sha256sum',
                       "sh", *words)
    assert done.stdout.split()[::2] == [hashlib.sha256(b"".join(data)).hexdigest().encode()
                                        for data in (words, values)], done.stderr


def test_arguments_over_the_limit_are_refused_with_the_limit(project):
    done = project.run("exec", "true", *[b"x" * 100_000 for _ in range(21)],
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK,
                                                             (64 << 20, 64 << 20)))
    assert done.returncode == 2
    assert b"the arguments and environment are more than 2097152 bytes" in done.stderr


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


def test_the_output_of_many_short_commands_is_whole(project):
    """DXVM_TEST_COMMANDS=10000 for a longer look."""
    assert project.run("start").returncode == 0
    for number in range(int(os.environ.get("DXVM_TEST_COMMANDS", "300"))):
        size = number * 37 % 9000
        done = project.run("exec", "sh", "-c",
                           f"printf %0{size}d 0; printf err >&2; printf '|%s' {number}")
        expected = b"0" * max(size, 1) + b"|%d" % number
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"err")


def test_a_hundred_mebibytes_each_way_arrive_as_they_were(project):
    block = os.urandom(1 << 20)
    path = project.root / "hundred"
    with path.open("wb") as file:
        for number in range(100):
            file.write(number.to_bytes(4, "big") + block[4:])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("rb") as file:
        done = project.run("exec", "sha256sum", stdin=file, timeout=250)
    assert done.stdout.split()[0].decode() == digest
    child = project.popen("exec", "cat", "hundred", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE)
    came = hashlib.file_digest(child.stdout, "sha256").hexdigest()
    assert child.wait(60) == 0 and came == digest


def status_numbers(pid, *names):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(names)]


def resident(pid):
    """Anonymous memory of a process in KiB: what it holds, not the programs it maps."""
    return status_numbers(pid, "RssAnon:")[0]


def switches(pid):
    """How often a process gave the processor away."""
    return sum(status_numbers(pid, "voluntary_ctxt", "nonvoluntary_ctxt"))


def test_a_reader_that_stops_costs_bounded_memory_and_delays_nobody(project):
    """A reader that is away for long is like this one: nothing moves any more."""
    assert project.run("exec", "true").returncode == 0
    others = project.processes()[:2]
    before = [resident(pid) for pid in others]
    slow = project.popen("exec", "seq", "1", "3000000", stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    came = os.read(slow.stdout.fileno(), 1000)
    seen = []

    def nothing_moves():
        seen.append([switches(pid) for pid in (*others, slow.pid)])
        return len(seen) > 10 and seen[-1] == seen[-10]

    wait_until(nothing_moves, "nothing moves any more")
    started = time.monotonic()
    assert project.run("exec", "echo", "quick").stdout == b"quick\n"
    assert time.monotonic() - started < 5
    for _ in range(50):  # now and then a kilobyte
        came += os.read(slow.stdout.fileno(), 1024)
        time.sleep(0.01)
    grown = [resident(pid) - was for pid, was in zip(others, before)]
    limit = 16384 if SANITIZED else 2048
    assert max(*grown, resident(slow.pid)) < limit, grown
    came += slow.stdout.read()
    assert slow.wait(30) == 0
    assert came == b"".join(b"%d\n" % number for number in range(1, 3_000_001))


@pytest.mark.parametrize("what", ["exec seq 100000", "help", "ls --json", "completion bash"])
def test_output_that_cannot_be_written_is_an_error(project, what):
    with open("/dev/full", "wb") as full:
        with project.popen("-q", *what.split(), stdout=full, stderr=subprocess.PIPE) as process:
            said = process.stderr.read()
    assert process.returncode == 125
    assert said == (b"dxvm: write standard output: No space left on device; make room there and try "
                    b"again\n")


def test_the_command_goes_on_when_its_output_cannot_be_written(project):
    with open("/dev/full", "wb") as full:
        process = project.popen("-q", "exec", "sh", "-c", "seq 100000; echo end >reached",
                                stdout=full, stderr=subprocess.DEVNULL)
        assert process.wait() == 125
    assert (project.root / "reached").read_text() == "end\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_nobody_elses(project, closed):
    script = f'"{project.dxvm}" -q exec sh -c "echo out; echo err >&2; cat; echo end >ended" {closed}'
    done = subprocess.run(["bash", "-c", script], cwd=project.root, env=project.environment, timeout=60,
                          capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == (0 if closed == "<&-" else 125)
    assert done.stdout == (b"" if ">&- " in closed + " " and not closed.startswith("2") else b"out\n")
    assert (project.root / "ended").read_text() == "end\n"


def test_a_reader_that_goes_ends_the_command_also_where_sigpipe_is_ignored(project):
    script = f'trap "" PIPE; "{project.dxvm}" -q exec yes | head -n1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], cwd=project.root, env=project.environment, timeout=60,
                          capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.stdout == b"y\n125\n"
    assert done.stderr == b"dxvm: write standard output: Broken pipe\n"


def test_under_nohup_a_hangup_is_not_for_it(project):
    process = project.popen("-q", "exec", "sh", "-c", "echo up; read line; echo got $line",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(b"it\n", timeout=60)[0] == b"got it\n"
    assert process.returncode == 0


def test_once_the_command_has_ended_a_signal_ends_a_client_that_nobody_reads(project):
    process = project.popen("-q", "exec", "sh", "-c", "seq 100000; echo end >ended",
                            stdout=subprocess.PIPE)
    wait_until((project.root / "ended").exists, "the command has ended")
    wait_until(lambda: (process.send_signal(signal.SIGTERM), process.poll())[1] is not None, "it ends")
    assert process.returncode == -signal.SIGTERM
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_guest_that_stands_still_does_not_hold_a_client_without_a_terminal(project, number):
    assert project.run("start").returncode == 0
    machine = project.processes()[1]
    process = project.popen("-q", "exec", "sh", "-c", "echo up; sleep 100", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    os.kill(machine, signal.SIGSTOP)
    try:
        late = project.popen("-q", "exec", "true")
        wait_until(lambda: (late.send_signal(number), late.poll())[1] is not None, "it ends")
        wait_until(lambda: (process.send_signal(number), process.poll())[1] is not None, "it ends")
        assert late.returncode == process.returncode == -number
    finally:
        os.kill(machine, signal.SIGCONT)
        process.stdout.close()


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


def test_a_locale_the_guest_does_not_have_gives_no_warnings(project):
    project.environment.update(LANG="xx_YY.UTF-8", LC_ALL="xx_YY.UTF-8", LC_TIME="zz_ZZ")
    done = project.run("-q", "exec", "perl", "-e", "print $ENV{LANG}, $ENV{LC_ALL} // '-'")
    assert (done.stdout, done.stderr) == (b"C.UTF-8-", b"")


def test_a_terminal_the_guest_does_not_know_becomes_one_it_knows(project):
    project.environment["TERM"] = "no-such-terminal"
    child = project.terminal("exec", "sh", "-c", "echo =$TERM=; tput cols")
    child.expect_exact("=xterm-256color=")
    child.expect_exact("80")
    child.wait()
    assert child.exitstatus == 0
    assert b"TERM=no-such-terminal" in project.run("exec", "env").stdout  # no terminal: as it is


def test_environment_that_goes_along(project):
    project.environment.update(COLORTERM="truecolor", TZ="Europe/Berlin", http_proxy="http://p:1",
                               SECRET="s", DEVBOX_SHELL_ENABLED="1")
    lines = project.run("exec", "env").stdout.decode().splitlines()
    assert "COLORTERM=truecolor" in lines
    assert "TZ=Europe/Berlin" in lines
    assert "http_proxy=http://p:1" in lines
    assert not [line for line in lines if line.startswith(("SECRET=", "DEVBOX_"))]
