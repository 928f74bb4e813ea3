"""A day's work in a VM, suspended in the middle of it: an editor, an interpreter, a database, files and
connections go on."""
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

import pexpect
import pytest

import guest_python
from guest_programs import lay_loader, lay_package
from projects import wait_until

AWAY = 2  # seconds; the guest's clock stands still for them
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"
PORT = 5432
PATIENCE = 300 # seconds; without KVM, on a busy host, Python starts slowly


def as_nobody():
    """PostgreSQL is not run by root."""
    return {"user": pwd.getpwnam("nobody").pw_uid} if os.geteuid() == 0 else {}


def lay_postgres(root, folder):
    """The host's PostgreSQL and an empty database. Returns the words that run server and client."""
    home = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")).parent.parent
    target = root / "pg" / home.relative_to("/usr")
    (target / "bin").mkdir(parents=True)
    programs = [target / "bin" / name for name in ("postgres", "psql")] # find the rest by their place
    for path in programs:
        shutil.copy(home / "bin" / path.name, path)
    shutil.copytree(home / "lib", target / "lib", ignore=shutil.ignore_patterns(
        "bitcode", "pgxs", "llvmjit*"))
    shutil.copytree(f"/usr/share/postgresql/{home.name}",
                    root / "pg" / "share" / "postgresql" / home.name)
    data = folder / "data"
    folder.chmod(0o711)
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, "nobody")
    done = subprocess.run([home / "bin" / "initdb", "-N", "-A", "trust", "-U", "dxvm", "--no-locale",
                           "-D", data], capture_output=True, cwd="/", check=False,
                          env={"TZ": "GMT"}, **as_nobody()) # the guest knows no other zone
    assert done.returncode == 0, done.stderr.decode()
    shutil.copytree(data, root / "data")
    (root / "data").chmod(0o700)
    loader = lay_loader(programs, root, "pg")
    server, client = ([*loader, str(path.relative_to(root))] for path in programs)
    return ([*server, "-D", "data", "-k", "/tmp", "-c", "listen_addresses=127.0.0.1",
             "-c", f"port={PORT}"],
            [*client, "-h", "127.0.0.1", "-p", str(PORT), "-qAtX", "-U", "dxvm", "postgres"])


def lay_vim(root):
    lay_package({"vim": pathlib.Path(shutil.which("vim.tiny") or shutil.which("vim"))}, root / "vim")
    return ["vim/bin/vim", "-u", "NONE", "-n"]


def guest(project, script):
    done = project.run("-q", "exec", "sh", "-c", script)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def seconds_off(project, python):
    """By how much the guest's clock is ahead of ours, by the quickest of some answers."""
    child = project.popen("-q", "exec", *python, "python/suspend_in_guest.py", "clock",
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answers = []
    for _ in range(20):
        asked = time.time()
        child.stdin.write(b"\n")
        child.stdin.flush()
        told = float(child.stdout.readline())
        answered = time.time()
        answers.append((answered - asked, told - (asked + answered) / 2))
    child.stdin.close()
    assert child.wait(30) == 0
    return min(answers)[1]


def attach(project, which):
    """A terminal on the session that was opened as the n-th of those that are left."""
    sessions = json.loads(project.run("sessions", "--json").stdout)
    number = sorted(one["id"] for one in sessions)[which]
    return project.terminal("attach", str(number), timeout=PATIENCE)


@pytest.fixture(scope="module")
def programs(tiny, home):
    """What is run in the guest: the words for Python, the database's server and client, and vim."""
    server, client = lay_postgres(tiny.root, home[0])
    return guest_python.lay(tiny.root), server, client, lay_vim(tiny.root)


def test_a_days_work_goes_on(tiny, programs):
    python, server, client, vim = programs
    guest(tiny, f"setsid sh -c '{COUNTER}' >counted 2>&1 </dev/null & "
                f"setsid {' '.join(server)} >server-log 2>&1 </dev/null &")
    boot = guest(tiny, "cat /proc/sys/kernel/random/boot_id")
    editor = tiny.terminal("exec", *vim, "text", timeout=PATIENCE)
    editor.expect_exact("~")
    editor.send("iwritten and not saved")
    editor.expect_exact("not saved")
    outside = socket.create_server(("127.0.0.1", 0))
    repl = tiny.terminal("exec", *python, "-q", "-i", "python/suspend_in_guest.py", "work",
                         str(outside.getsockname()[1]), *client, timeout=PATIENCE)
    repl.expect_exact(">>> ")
    repl.sendline("kept = 6 * 7")
    wait_until(lambda: "ready to accept connections" in (tiny.root / "server-log").read_text(),
               "the database listens", PATIENCE)
    repl.sendline("begin()")
    repl.expect_exact("it began")
    connection, _ = outside.accept()
    counted = lambda: len((tiny.root / "counted").read_text().split())

    assert tiny.run("suspend").returncode == 0
    for child in (editor, repl):
        child.expect(pexpect.EOF)
    assert connection.recv(1) == b""
    stood = counted()
    time.sleep(AWAY)
    assert counted() == stood

    assert abs(seconds_off(tiny, python)) < 0.1
    assert guest(tiny, "cat /proc/sys/kernel/random/boot_id") == boot
    repl = attach(tiny, 1)
    repl.sendline("check(); 'kept', kept")
    repl.expect_exact("all of it goes on")
    repl.expect_exact("('kept', 42)")
    again, _ = outside.accept()
    assert again.recv(5, socket.MSG_WAITALL) == b"again"
    editor = attach(tiny, 0)
    editor.expect_exact("written and not saved")
    editor.send(" until now\x1b:wq\r")
    editor.expect(pexpect.EOF)
    repl.sendline("raise SystemExit")
    repl.expect(pexpect.EOF)
    assert (tiny.root / "text").read_text() == "written and not saved until now\n"
    assert (tiny.root / "written").read_text() == "before\nbehind\n"
    assert (tiny.root / "mapped").read_bytes().rstrip(b"\0") == b"beforebehind"
    wait_until(lambda: counted() > stood, "the counter goes on")
    numbers = (tiny.root / "counted").read_text().split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
