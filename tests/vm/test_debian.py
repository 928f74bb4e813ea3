"""The guest a newcomer meets."""
import os
import pwd
import shlex
import signal
import socket
import subprocess

import pytest

from projects import Project, alive, wait_until


def guest(project, script, **more):
    """Runs a script in the guest; its output as text, its success checked."""
    done = project.run("-q", "exec", "bash", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def test_it_boots_to_a_user_with_sudo(debian):
    name = guest(debian, "id -un")
    expected = "dev" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    assert name == expected
    assert guest(debian, "sudo -n id -u") == "0"
    assert guest(debian, "echo $HOME") == f"/home/{name}"
    assert guest(debian, "pwd") == f"/home/{name}/devbox/hello"


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_login_shell_has_the_path_of_who_logs_in(debian, shell):
    assert ":/usr/games" in guest(debian, f"{shell} -lc 'echo $PATH'")
    assert "/usr/local/sbin:" in guest(debian, f"sudo {shell} -lc 'echo $PATH'")
    assert "EUID" in guest(debian, "cat /etc/profile")
    guest(debian, "echo FOUND=yes | sudo tee /etc/profile.d/'found-1.x.sh' >/dev/null; "
                  "echo FOUND=no | sudo tee /etc/profile.d/found-1.x.sh~ >/dev/null")
    assert guest(debian, f"{shell} -lc 'echo $FOUND'; sudo rm /etc/profile.d/found-1*") == "yes"
    assert "run-parts" not in guest(debian, "cat /etc/profile")


def test_a_shell_has_the_colors_that_dircolors_says(debian):
    said = guest(debian, "TERM=xterm-256color dircolors -b | head -1")
    assert said.startswith("LS_COLORS=")
    script = "PATH=/nowhere; . ~/.bashrc; echo \"LS_COLORS='$LS_COLORS';\""
    assert guest(debian, f"TERM=xterm bash -ic {shlex.quote(script)} 2>/dev/null") == said
    assert guest(debian, "TERM=dumb bash -ic 'echo =$LS_COLORS=' 2>/dev/null") == "=="


def test_the_tools_are_there(debian):
    assert "git version" in guest(debian, "git --version")
    assert guest(debian, ". /etc/os-release; echo $ID $VERSION_ID") == "debian 13"
    assert guest(debian, "nix eval --expr '1 + 2'", timeout=300) == "3"


def test_files_go_both_ways_with_the_users_ids(debian):
    (debian.root / "from-host").write_text("host\n")
    assert guest(debian, "cat from-host; stat -c %U from-host").split() == \
        ["host", guest(debian, "id -un")]
    guest(debian, "echo guest >from-guest; git init -q . && git status --short")
    made = debian.root / "from-guest"
    owner = debian.root.stat()
    assert (made.stat().st_uid, made.stat().st_gid) == (owner.st_uid, owner.st_gid)


def test_a_shell_on_a_terminal(debian):
    child = debian.terminal()
    child.expect(r"\$ ")
    child.sendline("echo $0 $TERM; tty")
    child.expect("/bin/bash xterm-256color")
    child.sendline("exit 3")
    child.expect_exact("exit")
    child.wait()
    assert child.exitstatus == 3


def test_completion_comes_with_the_first_tab(debian):
    child = debian.terminal("shell", "--new", columns=200)
    child.expect(r"\$ ")
    child.sendline("declare -F _init_completion || echo not ye''t")
    child.expect_exact("not yet")
    child.send("git stat\t")
    child.expect_exact("git status ")
    child.send("\x15unheard-of /us\t")
    child.expect_exact("/usr/")
    child.sendline("\x15exit 4")
    child.expect_exact("exit")
    child.wait()
    assert child.exitstatus == 4


def test_a_nix_build_offline(debian):
    expression = ('derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; '
                  'args = [ "-c" "echo built >$out" ]; }')
    path = guest(debian, f"nix-build --option sandbox false -E '{expression}' --no-out-link",
                 timeout=300)
    assert guest(debian, f"cat {path}") == "built"


def test_names_resolve_and_apt_installs(debian):
    guest(debian, "getent hosts \"$(hostname)\"")
    done = debian.run("-q", "exec", "sh", "-c", "sudo apt-get -q update && "
                      "sudo apt-get -qy --no-install-recommends install tree", timeout=600)
    if done.returncode != 0 and b"Could not resolve" in done.stdout + done.stderr:
        pytest.skip("the guest reaches no Debian mirror: the host resolves no names")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "devbox.json" in guest(debian, "tree")


def test_git_clones_from_a_server_on_the_host(debian, home):
    path, environment = home
    served = path / "served"
    subprocess.run(["git", "init", "-q", str(served / "repo")], check=True, env=environment)
    (served / "repo" / "file").write_text("cloned\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["add", "file"], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=served / "repo", check=True, env=environment)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(["git", "daemon", "--listen=127.0.0.1", f"--port={port}",
                               "--export-all", f"--base-path={served}", str(served)],
                              env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        def listening():
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening, "git daemon listens")
        script = f"cd && rm -rf repo && git clone -q git://10.0.2.2:{port}/repo && cat repo/file"
        assert guest(debian, script, timeout=120) == "cloned"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def e2fsck(how, image, expected=(0,)):
    done = subprocess.run(["e2fsck", how, str(image)], capture_output=True, check=False,
                          env={**os.environ, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    assert done.returncode in expected, done.stdout + done.stderr


def test_stop_leaves_a_clean_file_system_and_no_process(debian):
    guest(debian, "dd if=/dev/urandom of=~/data bs=1M count=20 status=none; sha256sum ~/data")
    pids = debian.processes()
    debian.stop()
    assert not any(alive(pid) for pid in pids)
    e2fsck("-fn", debian.data / "disk.img")


def test_a_first_boot_that_was_cut_off_is_finished_and_a_used_store_is_left_alone(debian):
    guest(debian, "echo mine >~/mine; cp -p ~/.bashrc ~/before; rm ~/.profile; echo '#' >>~/.bashrc; "
                  "sudo mv /nix /nix.aside; sudo mkdir -p /nix/store/of-a-daemon; sudo chown root: ~")
    debian.stop()
    try:
        assert guest(debian, "stat -c %U ~") == guest(debian, "id -un")
        assert guest(debian, "cat ~/mine; test -O ~/.profile; tail -n1 ~/.bashrc") == "mine\n#"
        assert guest(debian, "stat -c %U /nix /nix/store /nix/store/of-a-daemon | uniq") == "root"
        guest(debian, "sudo rmdir /nix/store/of-a-daemon; mv ~/before ~/.bashrc; rm ~/mine")
        debian.stop()
        assert guest(debian, "stat -c %U /nix /nix/store | uniq") == guest(debian, "id -un")
    finally:
        guest(debian, "sudo rm -rf /nix; sudo mv /nix.aside /nix")


def test_what_was_written_is_there_after_a_restart(debian):
    assert guest(debian, "stat -c %s ~/data") == str(20 << 20)
    assert int(guest(debian, "df --output=size -m / | tail -1")) > 25_000


def test_what_it_has_read_of_its_disk_needs_not_be_read_again_after_a_resume(debian):
    """The share's names are forgotten then, and nothing else."""
    read = "cat ~/data >/dev/null; awk '{ print $3 }' /sys/block/vda/stat"
    before = int(guest(debian, read))
    assert debian.run("suspend").returncode == 0
    sectors = int(guest(debian, read)) - before
    assert sectors * 512 < 5 << 20, sectors


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


def test_a_saved_state_that_is_refused_leaves_a_consistent_disk(debian, tmp_path):
    """What the boot meets is what a sync and the journal left: with all that was written, by somebody who
    went on writing."""
    guest(debian, "setsid sh -c 'while :; do date >>~/log; sync -d ~/log; done' >/dev/null 2>&1 </dev/null &")
    for name in ("manifest", "devices", "ram"):
        guest(debian, f"echo {name} >~/last")
        assert debian.run("suspend").returncode == 0
        path = debian.data / "saved" / name
        with open(path, "rb") as file:
            flip(path, os.lseek(file.fileno(), 0, os.SEEK_DATA) + 100)
        copy = tmp_path / "copy.img"
        subprocess.run(["cp", "--sparse=always", str(debian.data / "disk.img"), str(copy)], check=True)
        e2fsck("-p", copy, (0, 1))
        e2fsck("-fn", copy)
        done = debian.run("exec", "sh", "-c", "cat ~/last", timeout=300)
        assert done.stdout.decode() == f"{name}\n", done.stderr
        lines = [line for line in done.stderr.decode().splitlines() if "booting, because" in line]
        assert len(lines) == 1 and f"saved/{name}: it is damaged" in lines[0], done.stderr
    debian.stop()
    e2fsck("-fn", debian.data / "disk.img")


def test_a_second_project_is_cloned_not_built(dxvm, debian):
    second = Project(dxvm, debian.root.parent / "second", debian.environment, "debian")
    first_id = (debian.data / "id").read_text() if (debian.data / "id").exists() else ""
    assert (second.data / "id").read_text() != first_id
    assert (second.data / "disk.img").stat().st_blocks * 512 < 3 << 30


def test_root_in_somebody_elses_project_makes_that_persons_files(dxvm, home):
    if os.geteuid() != 0:
        pytest.skip("only root can work in somebody else's project")
    path, environment = home
    path.chmod(0o755)
    root = path / "theirs"
    root.mkdir()
    os.chown(root, 12345, 12346)
    project = Project(dxvm, root, environment, "tiny")
    (project.data / "mem").write_text("512M\n")
    try:
        done = project.run("exec", "sh", "-c", "touch made && id -u && mkdir d && rmdir d")
        assert (done.returncode, done.stdout) == (0, b"12345\n"), done.stderr
        made = (root / "made").stat()
        assert (made.st_uid, made.st_gid) == (12345, 12346)
        assert (root / ".devbox").stat().st_uid == 12345
    finally:
        project.stop()
