"""Start, stop, and what people are told on the way."""
import os
import select
import shutil
import signal
import subprocess
import threading
import time

import pexpect
import pytest

from played_project import Played
from projects import Project, alive, stop_quietly, wait_until
from test_attach import shell


def test_without_a_project_it_says_what_to_do(dxvm, scratch, clean_environment):
    done = subprocess.run([dxvm], cwd=scratch, env=clean_environment, stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    assert done.returncode == 125
    assert b"no devbox.json found in the current directory or any parent directory" in done.stderr


def test_without_a_vm_it_says_what_to_type(dxvm, scratch, clean_environment):
    (scratch / "p").mkdir()
    (scratch / "p" / "devbox.json").write_text("{}")
    done = subprocess.run([dxvm, "exec", "true"], cwd=scratch / "p", env=clean_environment,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"has no VM yet; make one with `dxvm install --guest debian`" in done.stderr
    done = subprocess.run([dxvm, "status"], cwd=scratch / "p", env=clean_environment,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert b"state       no VM yet; `dxvm install` makes one\n" in done.stdout


def test_unknown_words_get_a_suggestion_and_status_2(dxvm, clean_environment):
    done = subprocess.run([dxvm, "stauts"], env=clean_environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b'unknown command "stauts"; did you mean "status"?' in done.stderr


def test_start_status_stop(project):
    started = project.run("start")
    assert started.returncode == 0 and b"dxvm: started in " in started.stderr
    assert project.run("start").stderr == b""
    assert project.status()["state"] == "running"
    project.stop()
    assert project.status()["state"] == "not running"
    again = project.run("stop")
    assert again.returncode == 0 and b"is not running" in again.stderr


@pytest.mark.parametrize("then", ["nothing", "something else"])
def test_a_supervisor_whose_socket_was_removed_is_found_again(project, scratch, then):
    """A logout removes XDG_RUNTIME_DIR, and the next login makes it anew, or does not."""
    project.run("start")
    before = project.processes()
    shutil.rmtree(scratch / "run")
    if then == "something else":
        (scratch / "run").write_text("")
    assert project.run("exec", "echo", "found").stdout == b"found\n"
    assert project.processes() == before
    project.stop()


def test_a_client_killed_at_any_step_of_the_start(project):
    """The next one works, and there is one supervisor, which is the one that the lock names."""
    for step in range(12):
        client = project.popen("exec", "sleep", "1000", stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        time.sleep(0.004 * step) # a moment in the middle of it, whichever
        client.kill()
        client.wait()
        assert project.run("exec", "echo", str(step)).stdout == b"%d\n" % step
        pid = project.processes()[0]
        found = subprocess.run(["pgrep", "-f", f"dxvm supervise {project.root}"],
                               capture_output=True, check=False).stdout.split()
        assert [int(word) for word in found] == [pid]
        wait_until(lambda: project.status()["sessions"] == "0", "its session is over")
        if step % 2:
            project.stop()


def test_restart_is_a_stop_and_a_start(project):
    assert b"dxvm: started in" in project.run("restart").stderr
    before = project.processes()
    assert b"dxvm: started in" in project.run("restart").stderr
    assert not any(alive(pid) for pid in before)
    assert project.status()["state"] == "running"
    assert project.run("logs").stdout.count(b"supervisor ends") == 1


def test_kill_ends_a_vm_that_does_not_answer(project):
    project.run("start")
    supervisor, machine = project.processes()
    os.kill(supervisor, signal.SIGSTOP)
    done = project.run("status")
    assert done.returncode == 125
    assert f"supervisor (pid {supervisor}) lives but does not answer; `dxvm kill` ends both".encode() in done.stderr
    done = project.run("kill")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for pid in (supervisor, machine):
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} is gone")
    assert project.run("exec", "echo", "again").stdout == b"again\n"
    project.stop()
    assert b"is not running" in project.run("kill").stderr


@pytest.mark.parametrize("words", [("logs", "-f", "--console"), ("console",)])
def test_the_console_is_followed_and_escaped(project, words):
    project.run("start")
    console = project.data / "console"
    console.write_bytes(b"first \x1b[31m\n")
    watching = project.popen(*words, stdout=subprocess.PIPE)
    assert watching.stdout.readline() == b"first \\x1b[31m\n"
    with open(console, "ab") as file:
        file.write(b"second\nand")
    assert watching.stdout.readline() == b"second\n"
    assert watching.stdout.read(3) == b"and"
    console.write_bytes(b"anew\n")
    with open(console, "ab") as file:
        wait_until(lambda: file.write(b"x\n") and file.flush() is None
                   and select.select([watching.stdout], [], [], 0.1)[0], "it goes on")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == -signal.SIGINT
    watching.stdout.close()


def test_the_data_directory_holds_what_the_manual_says(project):
    project.run("start")
    names = {path.name for path in project.data.iterdir()}
    assert {"log", "id", "mem", "cpu", "disk", "guest", "lock"} <= names
    assert (project.data.stat().st_mode & 0o777) == 0o700
    assert b"supervisor of" in project.run("logs").stdout


def test_garbage_in_a_setting_is_a_clear_error(project):
    (project.data / "mem").write_text("plenty\n")
    done = project.run("exec", "true")
    assert done.returncode == 125
    assert f"{project.data}: mem: line 1: \"plenty\" is not understood".encode() in done.stderr
    assert (project.data / "mem").read_text() == "plenty\n"


def test_two_and_ten_clients_at_once_from_cold_get_one_supervisor(project):
    results = []

    def one():
        results.append(project.run("-q", "exec", "sh", "-c", "echo $PPID").stdout)

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 10 and len(set(results)) == 1 and results[0].strip()
    log = project.run("logs").stdout
    assert log.count(b"supervisor of") == 1


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(project):
    project.run("start")
    supervisor, machine = project.processes()
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not alive(supervisor) and not alive(machine), "both are gone", 10)
    assert project.status()["state"] == "not running"
    assert project.run("exec", "echo", "back").stdout == b"back\n"


def test_a_killed_machine_ends_the_supervisor_and_the_next_start_works(project):
    project.run("start")
    supervisor, machine = project.processes()
    os.kill(machine, signal.SIGKILL)
    wait_until(lambda: not alive(supervisor), "the supervisor is gone", 10)
    assert project.run("exec", "echo", "back").stdout == b"back\n"
    assert b"killed by signal 9" in project.run("logs").stdout


def test_sigterm_stops_in_order(project):
    project.run("start")
    pids = project.processes()
    os.kill(pids[0], signal.SIGTERM)
    wait_until(lambda: not any(alive(pid) for pid in pids), "both are gone", 20)
    log = project.run("logs").stdout
    assert b"stopping the VM" in log and b"powered off" in log


def test_a_stop_ends_running_sessions_and_tells_them(project):
    project.run("start")
    child = project.popen("exec", "sh", "-c", "echo runs; exec sleep 300", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"runs\n"  # before its exec it would be killed outright
    project.stop()
    _, errors = child.communicate(timeout=20)
    assert child.returncode in (125, 128 + 1, 128 + 15)
    assert b"dxvm: the VM is being stopped" in errors


def test_a_shell_that_ends_with_its_vm_says_so(project):
    child = shell(project)
    project.stop()
    child.expect_exact("dxvm: the VM is being stopped\r\n")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 128 + 1


def test_who_comes_while_it_stops_gets_the_next_one(project):
    project.run("start")
    supervisor = project.processes()[0]
    stubborn = project.popen("exec", "sh", "-c", "trap '' HUP TERM; echo runs; sleep 2",
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"runs\n"
    stopping = project.popen("stop", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: project.status()["state"] == "stopping", "it stops")
    done = project.run("exec", "echo", "let in")
    assert done.returncode == 0 and done.stdout == b"let in\n", done.stderr
    assert b"the VM is being stopped" in done.stderr and b"started in" in done.stderr
    assert project.processes()[0] != supervisor
    assert stopping.wait(30) == 0
    stubborn.wait(30)


def test_another_data_directory(dxvm, scratch, clean_environment):
    root = scratch / "p"
    root.mkdir()
    (root / "devbox.json").write_text("{}")

    def run(*words):
        return subprocess.run([dxvm, "-datadir", "../elsewhere", *words], cwd=root,
                              env=clean_environment, stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)

    assert run("install", "--guest", "fake").returncode == 0
    try:
        assert run("exec", "echo", "hi").stdout == b"hi\n"
        assert (scratch / "elsewhere" / "id").is_file()
        assert not (root / ".devbox").exists()
    finally:
        assert run("stop").returncode == 0


def test_install_does_not_replace_a_vm(project):
    done = project.run("install", "--guest", "fake")
    assert done.returncode == 125
    assert b"has a VM already; --force replaces it" in done.stderr
    assert project.run("install", "--guest", "fake", "--force").returncode == 0


def test_an_install_that_cannot_be_done_leaves_the_vm_that_is_there(project):
    done = project.run("install", "-f", "--offline")
    assert done.returncode == 2
    assert done.stderr == b"dxvm: --release, --iso and --offline are for --guest nixos\n"
    project.environment["DXVM_DEBIAN_MIRROR"] = "the usual one"
    done = project.run("install", "-f", "--guest", "debian")
    assert done.returncode == 125 and b"must be the URI" in done.stderr
    assert project.run("exec", "true").returncode == 0


def test_kill_ends_nobody_but_a_supervisor(project):
    """The lock keeps its holder's number, which may be another's when somebody else has the lock."""
    project.run("start")
    project.stop()
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        (project.data / "lock").write_text(f"pid {bystander.pid}\nsocket /nowhere\n")
        asking = project.terminal("rm")
        asking.expect_exact("[y/N]")
        done = project.run("kill")
        assert done.returncode == 125
        assert done.stderr == b"dxvm: another dxvm makes, starts or removes the VM; try again\n"
        asking.close()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_vm_is_not_put_among_somebodys_files_and_rm_leaves_what_is_not_its_own(dxvm, scratch,
                                                                                 clean_environment):
    def run(*words):
        return subprocess.run([dxvm, *words], cwd=scratch, env=clean_environment, capture_output=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False)
    taken = scratch / "dxvm"
    taken.mkdir()
    (taken / "main.c").write_text("mine\n")
    done = run("install", "--guest", "fake")
    assert done.returncode == 125
    assert done.stderr.decode() == (
        f"dxvm: {taken} has other files in it (main.c): a VM is kept in a directory of its own; name "
        "another one with --datadir\n")
    (taken / "main.c").rename(scratch / "main.c")
    (taken / "log").mkdir()  # of that name, and none of a VM's
    assert b"has other files in it (log)" in run("install", "--guest", "fake").stderr
    (scratch / "main.c").rename(taken / "main.c")
    own = scratch / "own"
    own.mkdir()
    (own / "mem").write_text("512M\n")
    assert run("--datadir", "own", "install", "--guest", "fake").returncode == 0
    assert (own / ".gitignore").read_text() == "*\n"
    (own / "notes").write_text("mine\n")
    done = run("--datadir", "own", "rm", "-f")
    assert done.returncode == 0
    assert done.stderr.decode() == (f"dxvm: the VM is removed; {own} stays: there are other files in "
                                    "it\n")
    assert [path.name for path in own.iterdir()] == ["notes"]
    (own / "notes").unlink()
    assert run("--datadir", "own", "install", "--guest", "fake").returncode == 0
    assert run("--datadir", "own", "rm", "-f").returncode == 0
    assert not own.exists()
    assert (taken / "main.c").read_text() == "mine\n"


def test_a_project_is_named_by_its_devbox_json_or_its_directory(project):
    other = project.root / "other.json"
    other.write_text("{}")
    done = project.run("-c", str(other), "status")
    assert done.returncode == 125
    assert done.stderr.decode() == (f"dxvm: {other}: a project is described by a file named devbox.json, "
                                    "or named by its directory\n")
    assert project.run("-c", str(project.root / "devbox.json"), "status").returncode == 0


def test_an_option_of_another_command_is_refused(project):
    done = project.run("--guest", "nixos", "start")
    assert done.returncode == 2
    assert done.stderr == b"dxvm: --guest is no option of dxvm start\n"


def test_install_while_it_runs_is_refused(project):
    project.run("start")
    done = project.run("install", "--guest", "fake", "--force")
    assert done.returncode == 125
    assert b"stop it with `dxvm stop` first" in done.stderr


def test_paths_with_spaces_quotes_newlines_and_utf8(dxvm, scratch, clean_environment):
    project = Project(dxvm, scratch / 'a "b" \'c\'\nd é $(x)', clean_environment, "fake")
    try:
        assert project.run("exec", "pwd").stdout.decode() == str(project.root) + "\n"
    finally:
        project.stop()


def test_completions_name_every_command(dxvm, clean_environment):
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run([dxvm, "completion", shell], env=clean_environment,
                              capture_output=True, check=True)
        for command in (b"exec", b"install", b"stop", b"status"):
            assert command in done.stdout
    syntax = subprocess.run(["bash", "-n"], input=subprocess.run(
        [dxvm, "completion", "bash"], capture_output=True, check=True).stdout, check=False)
    assert syntax.returncode == 0


def test_without_a_devbox_json_there_is_a_plain_vm_in_dxvm(dxvm, scratch, clean_environment):
    root = scratch / "plain"
    root.mkdir()

    def run(*words):
        return subprocess.run([dxvm, *words], cwd=root, env=clean_environment, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)

    refused = run("exec", "true")
    assert refused.returncode == 125
    assert b"make a plain VM here with `dxvm install --guest debian`" in refused.stderr
    made = run("install", "--guest", "fake")
    assert made.returncode == 0
    assert b"no devbox.json: a plain VM, kept in " in made.stderr
    assert b"/dxvm; nothing is shared with it" in made.stderr
    try:
        assert run("exec", "echo", "hi").stdout == b"hi\n"
        assert (root / "dxvm" / "guest").is_file()
    finally:
        assert run("stop").returncode == 0


@pytest.fixture
def with_disk(dxvm, scratch, clean_environment):
    """A played VM with a disk of 1 MiB, which is to have one of 4 GiB at its next boot, and some text on its
    console."""
    made = Played(dxvm, scratch, clean_environment, "debian")
    (made.data / "disk.img").write_bytes(bytes(1 << 20))
    (made.data / "disk").write_text("4G\n")
    (made.data / "console").write_text("what the kernel said\n")
    yield made
    stop_quietly(made)


def size(project):
    return (project.data / "disk.img").stat().st_size


def test_a_dry_run_changes_nothing(with_disk):
    before = {path: path.stat().st_mtime_ns for path in with_disk.data.rglob("*")}
    done = with_disk.run("start", "--dry-run")
    assert done.returncode == 0 and done.stdout.startswith(b"qemu-system-x86_64\n")
    assert {path: path.stat().st_mtime_ns for path in with_disk.data.rglob("*")} == before
    assert with_disk.run("start").returncode == 0
    assert size(with_disk) == 4 << 30
    assert (with_disk.data / "console").read_text() == ""


def test_a_suspended_vm_goes_on_with_its_disk_and_has_a_larger_one_when_it_boots(with_disk):
    assert with_disk.run("start").returncode == 0
    assert with_disk.run("suspend").returncode == 0
    (with_disk.data / "disk").write_text("5G\n")
    assert with_disk.run("start", "--dry-run").returncode == 0
    done = with_disk.run("start")
    assert done.returncode == 0 and b"resumed in " in done.stderr, done.stderr
    assert with_disk.run("exec", "say", "fine").stdout == b"fine"
    assert size(with_disk) == 4 << 30
    with_disk.stop()
    assert with_disk.run("start").returncode == 0
    assert size(with_disk) == 5 << 30


def test_more_memory_than_the_host_has_is_named(with_disk):
    assert with_disk.run("config", "mem=1T").returncode == 0
    done = with_disk.run("start")
    assert done.returncode == 125
    assert b"mem: 1048576M is more than this host has, which is " in done.stderr
    assert b"`dxvm config mem=SIZE` sets another" in done.stderr
    assert with_disk.run("config", "mem=256M").returncode == 0
    assert with_disk.run("start").returncode == 0
