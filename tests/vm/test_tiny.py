"""The agent as PID 1, the share and the ports, in the smallest guest there is."""
import hashlib
import json
import os

import pexpect
import pytest

from projects import alive, wait_until


def guest(project, script, **more):
    """Runs a script in the guest; its output as text, its success checked."""
    done = project.run("-q", "exec", "sh", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def test_it_starts_and_says_how_long_it_took(tiny):
    done = tiny.run("start")
    assert done.returncode == 0, done.stderr
    assert b"dxvm: starting the VM" in done.stderr
    assert b"dxvm: started in " in done.stderr
    assert tiny.status()["state"] == "running"


def test_init_has_mounted_what_programs_expect(tiny):
    mounts = {line.split()[1]: line.split()[2:4] for line in
              guest(tiny, "cat /proc/mounts").splitlines()}
    for path in ("/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/tmp",
                 "/sys/fs/cgroup"):
        assert path in mounts, path
    assert "gid=5" in mounts["/dev/pts"][1] and "mode=620" in mounts["/dev/pts"][1]
    assert guest(tiny, "readlink /dev/fd; readlink /dev/stdin") == "/proc/self/fd\n/proc/self/fd/0"
    assert guest(tiny, "cat /proc/1/comm") != ""


def test_a_session_is_in_the_cgroup_of_sessions_from_its_start(tiny):
    assert guest(tiny, "cat /proc/self/cgroup") == "0::/sessions"
    assert tiny.run("exec", "cat", "/proc/self/cgroup").stdout == b"0::/sessions\n"


def test_sessions_start_also_where_the_user_has_divided_their_cgroup(tiny):
    """The kernel lets no process into a cgroup that has some below it with controllers."""
    divide = ("cd /sys/fs/cgroup/sessions && mkdir mine && "
              "for p in $(cat cgroup.procs); do echo $p >mine/cgroup.procs; done; "
              "echo +memory >cgroup.subtree_control && cat /proc/self/cgroup")
    assert guest(tiny, divide) == "0::/sessions/mine"
    try:
        assert guest(tiny, "cat /proc/self/cgroup") == "0::/"
    finally:
        assert guest(tiny, "cd /sys/fs/cgroup/sessions && echo -memory >cgroup.subtree_control && "
                     "rmdir mine && echo done") == "done"
    assert guest(tiny, "cat /proc/self/cgroup") == "0::/sessions"


def test_the_host_name_resolves_and_loopback_is_up(tiny):
    name = guest(tiny, "hostname")
    assert name == "dxvm-tiny-project"
    assert name in guest(tiny, "cat /etc/hosts")
    assert "127.0.0.1" in guest(tiny, "ifconfig lo")


def test_the_project_is_shared_both_ways_with_the_users_ids(tiny):
    (tiny.root / "from host").write_text("host\n")
    assert guest(tiny, "cat 'from host'") == "host"
    guest(tiny, "echo guest >'from guest' && mkdir -p d/e && ln -s ../x d/link")
    made = tiny.root / "from guest"
    assert made.read_text() == "guest\n"
    assert (made.stat().st_uid, made.stat().st_gid) == (tiny.root.stat().st_uid,
                                                        tiny.root.stat().st_gid)
    assert os.readlink(tiny.root / "d" / "link") == "../x"
    assert guest(tiny, "stat -c %U 'from host'") == guest(tiny, "id -un")
    assert guest(tiny, "pwd").endswith("/devbox/tiny project")


def test_the_vms_own_files_are_out_of_reach(tiny):
    assert guest(tiny, "ls -A .devbox; cat .devbox/.gitignore") == ".gitignore\n*"
    guest(tiny, "mkdir .devbox/vm 2>/dev/null; echo x >.devbox/mine; cat .devbox/mine")
    assert not (tiny.root / ".devbox" / "mine").exists()
    assert (tiny.data / "guest").read_text() == "tiny\n"


def test_the_hosts_path_leads_to_the_project_too(tiny):
    assert guest(tiny, f"cd '{tiny.root}' && ls devbox.json") == "devbox.json"


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status(tiny, status):
    assert tiny.run("exec", "sh", "-c", f"exit {status}").returncode == status


def test_every_exit_status(tiny):
    """0 to 255, each as a session of its own."""
    got = [tiny.run("exec", "sh", "-c", f"exit {status}").returncode for status in range(256)]
    assert got == list(range(256))


def test_orphans_are_reaped(tiny):
    guest(tiny, "sh -c 'sh -c \"exit 0\" & sh -c \"sleep 0.1\" &' ; true")
    wait_until(lambda: guest(tiny, "cat /proc/[0-9]*/stat 2>/dev/null | awk '$3 == \"Z\"' | wc -l")
               == "0", "no zombies", 20)


def test_bulk_through_the_ports_is_whole(tiny):
    data = os.urandom(8_000_000)
    done = tiny.run("exec", "cat", input=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_terminal_with_resize_and_control_c(tiny):
    child = tiny.terminal("exec", "sh", rows=31, columns=101)
    child.expect("[$#] ")
    child.sendline("PS1='<''ready> '")
    child.expect_exact("<ready> ")

    def say(command):
        child.sendline(command)
        child.expect_exact("<ready> ")
        return child.before.partition("\r\n")[2].strip()

    assert say("stty size") == "31 101"
    child.setwinsize(40, 90)
    wait_until(lambda: say("stty size") == "40 90", "the new size", 20)
    # Said by what the signal is for: a shell that is about to start it keeps the signal to itself.
    child.sendline("sh -c 'echo slee\"\"ping; exec sleep 600'; echo never")
    child.expect_exact("sleeping")
    child.sendintr()
    child.expect_exact("<ready> ")
    assert "never" not in child.before
    second = tiny.terminal("exec", "sh", rows=20, columns=60)
    second.expect("[$#] ")
    second.sendline("stty size; exit 5")
    second.expect_exact("20 60")
    second.expect(pexpect.EOF)
    second.wait()
    assert second.exitstatus == 5
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_settings_take_effect_at_the_next_start(tiny):
    tiny.stop()
    (tiny.data / "cpu").write_text("1\n")
    (tiny.data / "mem").write_text("768M\n")
    assert guest(tiny, "nproc") == "1"
    kib = int(guest(tiny, "awk '/MemTotal/ {print $2}' /proc/meminfo"))
    assert 640 * 1024 < kib < 768 * 1024
    tiny.stop()
    (tiny.data / "cpu").write_text("four\n")
    done = tiny.run("exec", "true")
    assert done.returncode == 125
    assert b'cpu: line 1: "four" is not understood; allowed: a number from 1 to 255' in done.stderr
    (tiny.data / "cpu").write_text("2\n")


def test_without_network_there_is_no_device(tiny):
    tiny.stop()
    (tiny.data / "net").write_text("off\n")
    assert "eth0" not in guest(tiny, "ls /sys/class/net")
    tiny.stop()
    (tiny.data / "net").write_text("user\n")
    assert "10.0.2.15" in guest(tiny, "ifconfig eth0")


def test_dry_run_prints_the_command_line_and_starts_nothing(tiny):
    tiny.stop()
    done = tiny.run("start", "--dry-run")
    words = done.stdout.decode().splitlines()
    assert words[0].startswith("qemu-system-")
    assert "-sandbox" in words and "-nodefaults" in words
    assert tiny.status()["state"] == "not running"


def test_the_console_is_kept_and_escaped(tiny):
    tiny.run("start")
    with (tiny.data / "console").open("ab") as console:
        console.write(b"\x1b[31mhostile\n")
    output = tiny.run("logs", "--console").stdout
    assert b"\x1b" not in output
    assert b"\\x1b[31mhostile" in output


def test_progress_for_programs_is_json(tiny):
    tiny.stop()
    lines = tiny.run("--progress=json", "start").stderr.decode().splitlines()
    assert {"stage": "starting the VM"} in [json.loads(line) for line in lines]


def test_stop_leaves_no_process(tiny):
    tiny.run("start")
    pids = tiny.processes()
    assert len(pids) == 2
    tiny.stop()
    assert not any(alive(pid) for pid in pids)
    assert tiny.status()["state"] == "not running"
