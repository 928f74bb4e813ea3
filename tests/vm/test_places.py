"""Projects and homes in unusual places, and a QEMU that is not as it should be."""
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import pytest

from projects import BUILD, Project, stop_quietly


@pytest.fixture
def place(dxvm, home):
    """A function that makes a project with the tiny guest, stopped at the end."""
    _, environment = home
    made = []

    def make(root, **more):
        project = Project(dxvm, root, {**environment, **more}, "tiny")
        (project.data / "mem").write_text("512M\n")
        made.append(project)
        return project

    yield make
    for project in made:
        stop_quietly(project)


def works_in_both_directions(project):
    """A file goes in and a file comes out."""
    (project.root / "in").write_text("in\n")
    done = project.run("-q", "exec", "sh", "-c", "cat in; echo out >out; pwd")
    assert done.returncode == 0, done.stderr
    assert (project.root / "out").read_text() == "out\n"
    return done.stdout


def test_a_name_with_spaces_quotes_newline_and_utf8(place, home):
    project = place(home[0] / 'a "b" \'c\'\nd é $(x) `y`')
    # The name in the guest has no control characters.
    assert works_in_both_directions(project).decode().endswith('a "b" \'c\'_d é $(x) `y`\n')


def test_a_deep_path(place, home):
    root = home[0]
    while len(str(root)) < 200:
        root = root / "directory"
    works_in_both_directions(place(root))


def test_a_home_on_another_file_system(place, home):
    other = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/dev/shm"))
    try:
        assert other.stat().st_dev != home[0].stat().st_dev
        project = place(home[0] / "far", HOME=str(other), XDG_STATE_HOME=str(other / "state"))
        works_in_both_directions(project)
        assert (other / "state" / "devbox" / "vm" / "base").is_dir()
        project.stop() # while what it is known by is still there
    finally:
        shutil.rmtree(other)


def test_a_read_only_project(place, home, dxvm):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a directory read-only")
    path, environment = home
    root = path / "read only"
    root.mkdir()
    (root / "devbox.json").write_text("{}\n")
    (root / "file").write_text("text\n")
    for words in (["--bind", str(root), str(root)], ["-o", "remount,ro,bind", str(root)]):
        subprocess.run(["mount", *words], check=True)
    try:
        def run(*words):
            return subprocess.run([dxvm, *words], cwd=root, env=environment, capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=120, check=False)

        refused = run("install", "--guest", "tiny")
        assert refused.returncode == 125
        assert b"create directory .devbox: Read-only file system" in refused.stderr
        assert b"--datadir DIR keeps the VM outside the project" in refused.stderr
        elsewhere = ("-datadir", str(path / "its vm"))
        assert run(*elsewhere, "install", "--guest", "tiny").returncode == 0
        try:
            done = run(*elsewhere, "-q", "exec", "sh", "-c", "cat file; touch new || echo refused")
            assert done.stdout == b"text\nrefused\n", done.stderr
            assert b"Read-only file system" in done.stderr
        finally:
            run(*elsewhere, "stop")
    finally:
        subprocess.run(["umount", str(root)], check=True)


def with_qemu(home, script):
    """A PATH in which QEMU is this shell script, or missing."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bin-", dir=home[0]))
    for name in ("sh", "mkdir", "cat"):
        (folder / name).symlink_to(shutil.which(name))
    if script is not None:
        program = folder / "qemu-system-x86_64"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def test_without_qemu_it_says_what_to_install(place, home):
    project = place(home[0] / "q1")
    project.environment["PATH"] = with_qemu(home, None)
    done = project.run("start")
    assert done.returncode == 125
    assert b"QEMU is missing" in done.stderr
    assert b"Debian's package is qemu-system-x86" in done.stderr, done.stderr


def test_a_qemu_that_is_too_old_is_quoted(place, home):
    project = place(home[0] / "q2")
    words = "qemu-system-x86_64: unsupported machine type"
    project.environment["PATH"] = with_qemu(home, f'echo "{words}" >&2; exit 1')
    done = project.run("start")
    assert done.returncode == 125
    assert b"unsupported machine type (dxvm needs QEMU 7.2 or newer)" in done.stderr, done.stderr


@pytest.mark.parametrize("times, status", [(1, 0), (2, 125)])
def test_a_kernel_that_panics_while_it_starts_is_started_once_more(place, home, times, status):
    project = place(home[0] / f"panic{times}")
    count = project.root / "count"
    project.environment["PATH"] = with_qemu(home, f"""
        echo x >>'{count}'
        if [ $(wc -l <'{count}') -le {times} ]; then # no program to run: the kernel panics
            for word; do shift; case $word in console=*) word="$word rdinit=/none" ;; esac; set -- "$@" "$word"; done
        fi
        exec {shutil.which("qemu-system-x86_64")} "$@" """)
    (pathlib.Path(project.environment["PATH"]) / "wc").symlink_to(shutil.which("wc"))
    project.environment["DXVM_ACCEL"] = "tcg"
    done = project.run("start")
    assert done.returncode == status, done.stderr
    assert done.stderr.count(b"the guest's kernel failed while it started; starting it once more") == 1
    assert (b"the guest's kernel failed: Kernel panic" in done.stderr) == (status != 0), done.stderr
    assert count.read_text() == "x\n" * 2
    project.run("stop")


def test_kvm_that_fails_after_the_probe_is_done_without_once(place, home):
    project = place(home[0] / "kvm")
    libexec = home[0] / "libexec"
    libexec.mkdir()
    for room, name in (("agent", "dxvm-agent"), ("devbox", "dxvm-devbox")):
        (libexec / name).symlink_to(BUILD / "src" / room / name)
    project.environment["DXVM_LIBEXEC"] = str(libexec)
    project.environment.pop("DXVM_ACCEL", None)
    count = project.root / "count"
    project.environment["PATH"] = with_qemu(home, f"""
        case "$*" in
        *"-accel kvm"*) echo kvm >>'{count}'; echo "KVM: entry failed, hardware error 0x80000021" >&2 ;;
        *"-accel tcg"*)
            echo tcg >>'{count}'
            while [ ! -e '{project.root}/go' ]; do sleep 0.1; done
            echo "last words" >&2 ;;
        esac
        exit 1""")
    (pathlib.Path(project.environment["PATH"]) / "sleep").symlink_to(shutil.which("sleep"))
    project.dxvm = str(BUILD / "tests" / "vm" / "dxvm-claims-kvm")
    client = project.popen("start", stderr=subprocess.PIPE)
    while client.stderr.readline() != b"dxvm: KVM failed; using TCG, which is slower (see `dxvm logs`)\n":
        assert client.poll() is None
    (project.root / "go").touch()
    _, errors = client.communicate(timeout=60)
    assert client.returncode == 125
    assert b"KVM failed" not in errors and b"last words" in errors.splitlines()[-1], errors
    assert b"entry failed, hardware error" in project.run("logs").stdout
    assert count.read_text() == "kvm\ntcg\n"


def test_a_qemu_that_dies_at_once_is_quoted(place, home):
    project = place(home[0] / "q3")
    project.environment["PATH"] = with_qemu(home, 'echo "last words" >&2; kill -ABRT $$')
    done = project.run("start")
    assert done.returncode == 125
    assert b"last words" in done.stderr and b"signal 6" in done.stderr, done.stderr
