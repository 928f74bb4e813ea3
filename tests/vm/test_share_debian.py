"""The project share under the programs people have, in a Debian guest, and under its root."""
import hashlib
import os
import subprocess

import pytest

BUILT = "bzip2 bzip2recover libbz2.a blocksort.o compress.o decompress.o crctable.o huffman.o"


@pytest.fixture(scope="module")
def vm(debian):
    (debian.data / "mem").write_text("1G\n")
    return debian


def guest(project, script, **more):
    """Runs a script in the guest; its output as text, its success checked."""
    done = project.run("-q", "exec", "bash", "-c", script, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.decode().strip()


def test_git_works_on_a_repository_of_many_files(vm):
    script = """set -e
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
        git init -q repository && cd repository
        for i in $(seq 300); do mkdir -p d$((i % 20)); seq $i >d$((i % 20))/f$i; done
        git add . && git commit -qm one && git status --porcelain
        git checkout -qb other && for i in $(seq 1 3 300); do echo >>d$((i % 20))/f$i; done
        git commit -qam two && git checkout -q - && git merge -q other
        git gc -q && git fsck --strict && git status --porcelain && git log --oneline | wc -l"""
    assert guest(vm, script, timeout=300).splitlines()[-1] == "2"
    done = subprocess.run(["git", "-c", f"safe.directory={vm.root}/repository", "fsck", "--strict"],
                          cwd=vm.root / "repository", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def compiler(vm):
    """Skips where there is no network to bring one."""
    done = vm.run("-q", "exec", "bash", "-c",
                  "cd /etc/apt && sudo sed -i 's/^Types: deb$/& deb-src/' sources.list.d/*.sources; "
                  "sudo sed -i 's/^deb \\(.*\\)/&\\ndeb-src \\1/' sources.list 2>/dev/null; "
                  "sudo apt-get -q update && sudo apt-get -qy --no-install-recommends install "
                  "gcc libc6-dev make && cd && apt-get -q source --download-only bzip2", timeout=900)
    if done.returncode != 0:
        pytest.skip("the guest could not fetch a compiler and a source package: "
                    + done.stderr.decode(errors="replace")[-300:])


def test_a_project_of_debians_builds_the_same_as_on_the_guests_disk(vm, compiler):
    script = f"""set -e
        for place in ~/local $PWD/built; do
            mkdir -p $place && cd $place && tar xf ~/bzip2_*.orig.tar.* --strip-components 1
            make -s CFLAGS=-O2 bzip2 bzip2recover libbz2.a test >/dev/null
            sha256sum {BUILT}
        done"""
    lines = guest(vm, script, timeout=900).splitlines()
    half = len(lines) // 2
    assert half == len(BUILT.split()) and lines[:half] == lines[half:]
    ours = hashlib.sha256((vm.root / "built" / "bzip2").read_bytes()).hexdigest()
    assert f"{ours}  bzip2" in lines


def test_what_the_host_forbids_is_forbidden_to_the_guests_root(vm):
    if os.geteuid() != 0:
        pytest.skip("only root can make a file that it is then kept from")
    (vm.root / "theirs").write_text("secret\n")
    (vm.root / "theirs").chmod(0o600)
    os.chown(vm.root / "theirs", 12345, 12345)
    errors = vm.run("-q", "exec", "sudo", "sh", "-c",
                    "cat theirs; echo x | tee -a theirs; chmod 777 theirs; chown root theirs"
                    ).stderr
    assert errors.count(b"ermission denied") + errors.count(b"not permitted") == 4, errors
    assert (vm.root / "theirs").read_text() == "secret\n"
    assert (vm.root / "theirs").stat().st_mode & 0o777 == 0o600


def state_of(data):
    """What must not change in a data directory while the guest works."""
    return {name: (data / name).read_bytes() for name in ("guest", "id", "mem", "cpu")}


ATTACKS = """
exec 2>&1
umount .devbox; umount -l .devbox
ls -A .devbox
mkdir .devbox/vm && echo MADE
mkdir .devbox/VM && echo MADE
mkdir -p deep/.devbox/vm && echo MADE
mkdir -p deeper/x/vm; mv -T deeper/x deeper/.devbox && echo MADE
mv .devbox moved && echo MOVED
rmdir .devbox && echo REMOVED
rm -rf .devbox && echo REMOVED
mkdir -p a/b; mount --bind a/b /mnt && ls -A /mnt/../../../ | head -3
unshare -m sh -c 'mount -o remount,suid,dev .; mount --bind . /mnt; ls -A .devbox .devbox/vm'
unshare -Urm sh -c 'ls -A .devbox/vm; cat .devbox/vm/id'
for p in /proc/1/fd/*; do case $(readlink $p) in /dev/fuse) echo FUSE;; esac; done | head -1
mknod disk b 8 0 && echo NODE
mknod null c 1 3 && echo NODE
cp /bin/sh rootsh && chmod 6755 rootsh; stat -c %a rootsh
setcap cap_sys_admin+ep rootsh && echo CAPS
setfattr -n trusted.x -v 1 rootsh && echo XATTR
for port in /dev/vport*; do head -c 100000 /dev/urandom >$port; done 2>/dev/null
exec 9<>/dev/fuse; mkdir /tmp/own
mount -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none /tmp/own && head -c 100 /dev/zero >&9
umount -l /tmp/own
echo END
"""


def test_root_of_the_guest_gets_nowhere(vm):
    outside = vm.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret\n")
    before = state_of(vm.data)
    listing = sorted(os.listdir(vm.data))
    told = vm.run("-q", "exec", "sudo", "sh", "-c", ATTACKS, timeout=300).stdout.decode()
    assert told.endswith("END\n"), told
    words = set(told.split())
    assert not words & {"MADE", "MOVED", "REMOVED", "NODE", "CAPS", "XATTR"}, told
    assert "\n755\n" in told, told  # setuid was dropped
    assert before["id"].decode().strip() not in told
    assert state_of(vm.data) == before and sorted(os.listdir(vm.data)) == listing
    assert (outside / "secret").read_text() == "secret\n"
    for parent, names, _ in os.walk(vm.root):
        if os.path.basename(parent).lower() == ".devbox" and parent != str(vm.data.parent):
            assert "vm" not in [name.lower() for name in names], parent
    # And the share still serves.
    guest(vm, "echo alive >alive && cat alive")
    assert (vm.root / "alive").read_text() == "alive\n"
