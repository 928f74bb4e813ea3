"""A stand-in for the installer ISO of NixOS, made from Debian's packages: the layout, the boot menus, the
prompt on the console and the names of the programs are the real ones, what they install is a Debian with
systemd whose kernel, initrd and command line come from the guest as those of NixOS do. Made once and kept
beside the base images."""
import gzip
import hashlib
import lzma
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "standin"
RELEASE = "26.05"
LABEL = "nixos-minimal-26.05-x86_64"
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
INSTALLER = f"/nix/store/{HASH}-nixos-system-nixos-{RELEASE}"
PACKAGES = "systemd,systemd-sysv,udev,dbus,sudo,e2fsprogs,mount,kmod,login,passwd,procps"
# What is needed before there is a root file system, and 9p and FUSE, whose modules it does not have.
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng", "virtio_balloon",
           "crc32c_generic", "ext4", "loop", "isofs", "squashfs", "overlay", "9p", "9pnet_virtio", "fuse"]
ENVIRONMENT = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(*words, **more):
    """A program that must succeed."""
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True,
                          **{"env": ENVIRONMENT, **more})
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


# -- initrd --

def newc(entries):
    """An archive of (name, mode, content); content of a directory is None."""
    out = bytearray()
    for inode, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        data = content or b""
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def in_order(tree, version):
    """The modules with what they need in front of them, each once."""
    run("depmod", "-b", tree, version)
    folder = tree / "lib" / "modules" / version
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, rest = line.split(":")
        needs[path] = rest.split()
    builtin = {pathlib.Path(line).name for line in (folder / "modules.builtin").read_text().split()}
    by_name = {pathlib.Path(path).name.split(".ko")[0].replace("-", "_"): path for path in needs}
    order = []
    for name in MODULES:
        if name not in by_name:
            assert f"{name}.ko" in builtin, f"the kernel has no {name}"
            continue
        path = by_name[name]
        order += [p for p in [*reversed(needs[path]), path] if p not in order]
    return [folder / path for path in order]


def make_initrd(tree, version, busybox):
    entries = [("bin", 0o40755, None), ("modules", 0o40755, None),
               ("bin/busybox", 0o100755, busybox.read_bytes()),
               ("init", 0o100755, (HERE / "init.sh").read_bytes())]
    names = []
    for path in in_order(tree, version):
        data = path.read_bytes()
        if path.name.endswith(".xz"):
            data = lzma.decompress(data)
        names.append(path.name.split(".ko")[0] + ".ko")
        entries.append((f"modules/{names[-1]}", 0o100644, data))
    entries.append(("modules.order", 0o100644, "".join(f"{name}\n" for name in names).encode()))
    return gzip.compress(newc(entries), 6)


# -- root --

def customize(script):
    """A hook of mmdebstrap that runs a shell script with $1 as the root."""
    return f"--customize-hook={script}"


def make_root(scratch, sources, systems):
    """The root of the installer and of what it installs, as a squashfs."""
    getty = ("[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin nixos --keep-baud 115200 %I $TERM\n")
    (scratch / "autologin.conf").write_text(getty)
    (scratch / "bashrc").write_text("PS1='\\n\\[\\033[1;32m\\][\\u@\\h:\\w]\\$\\[\\033[0m\\] '\n")
    setup = f"""set -eu; root=$1; cd {scratch}
        echo nixos >"$root/etc/hostname"
        echo 'nixos:x:1000:1000::/home/nixos:/bin/bash' >>"$root/etc/passwd"
        echo 'nixos:x:1000:' >>"$root/etc/group"; echo 'nixos::20000::::::' >>"$root/etc/shadow"
        mkdir -p "$root/home/nixos" "$root/nix/store" "$root/nix/.ro-store" "$root/boot"
        cp bashrc "$root/home/nixos/.bashrc"; cp bashrc "$root/home/nixos/.bash_profile"
        chown -R 1000:1000 "$root/home/nixos"
        echo 'nixos ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/nixos"
        printf '127.0.0.1 localhost nixos dxvm\\n' >"$root/etc/hosts"
        mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d"
        cp autologin.conf "$root/etc/systemd/system/serial-getty@ttyS0.service.d/"
        install -m755 {HERE}/nixos-install.sh "$root/usr/bin/nixos-install"
        install -m755 {HERE}/nixos-rebuild.sh "$root/usr/bin/nixos-rebuild"
        cp -r systems/. "$root/nix/store/"
        mkdir -p "$root{INSTALLER}"; ln -s /usr/lib/systemd/systemd "$root{INSTALLER}/init"
        : >"$root/etc/machine-id"; rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
        for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \\
                e2scrub_reap.service fstrim.timer getty@tty1.service systemd-pstore.service; do
            ln -sf /dev/null "$root/etc/systemd/system/$unit"; done"""
    (scratch / "setup.sh").write_text(setup)
    assert systems.is_dir()
    tar = scratch / "root.tar"
    run("mmdebstrap", "--variant=essential", f"--include={PACKAGES}", "--format=tar",
        "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc", "i18n")),
        customize(f"sh {scratch}/setup.sh \"$1\""), "trixie", tar, "-", input=sources.encode())
    return make_squashfs(tar, scratch)


def make_squashfs(tar, scratch):
    """Read again before it is believed: of these, squashfs-tools 4.5 damages one in ten."""
    image, again = scratch / "nix-store.squashfs", scratch / "again"
    # Only root gives files to others, and only root can make dev and remove what others have.
    root, parts = ([], []) if os.geteuid() == 0 else \
        (["unshare", "--map-root-user", "--map-auto"], ["etc", "nix", "usr"])
    for _ in range(6):
        with open(tar, "rb") as stream:
            run("sqfstar", "-comp", "lz4", "-quiet", "-no-progress", image, stdin=stream)
        said = [subprocess.run([*root, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False)
                for words in (["unsquashfs", "-quiet", "-no-progress", "-d", again, image, *parts],
                              ["tar", "--compare", "--file", tar, "--directory", again, "./nix", "./usr"])]
        shutil.rmtree(again, ignore_errors=True)
        if all(done.returncode == 0 for done in said):
            return image
        image.unlink()
    raise AssertionError(f"sqfstar writes images that unsquashfs cannot read: {[done.stderr for done in said]}")


def make_systems(scratch, kernel, initrd):
    """Two systems to boot: another kernel (by a few bytes behind it), another command line."""
    for number in (1, 2):
        top = scratch / "systems" / f"{HASH[::-1][number:]}{number}-nixos-system-dxvm-{number}"
        top.mkdir(parents=True)
        (top / "kernel").write_bytes(kernel + b"\0" * 16 * (number - 1))
        (top / "initrd").write_bytes(initrd)
        (top / "kernel-params").write_text(f"quiet root=fstab loglevel=3 standin.generation={number}")
        (top / "init").symlink_to("/usr/lib/systemd/systemd")
    return scratch / "systems"


# -- ISO --

def menu(kernel, initrd, extra):
    """The two menus, as the release has them: doubled slashes, a variable in the middle."""
    params = f"init={INSTALLER}/init root=fstab loglevel=4 lsm=landlock,yama,bpf{extra}"
    grub = (f"set timeout=10\nmenuentry 'NixOS {RELEASE} Installer' --class installer {{\n"
            f"  # Fallback to UEFI console for boot, efifb sometimes has difficulties.\n"
            f"  linux /boot/{kernel} ${{isoboot}} {params}\n  initrd /boot/{initrd}\n}}\n"
            f"submenu \"Other\" {{\nmenuentry 'copytoram' {{\n  linux /boot/{kernel} ${{isoboot}} {params} copytoram\n"
            f"  initrd /boot/{initrd}\n}}\n}}\n")
    isolinux = (f"SERIAL 0 115200\nTIMEOUT 100\nDEFAULT boot\nLABEL boot\nMENU LABEL NixOS {RELEASE} Installer\n"
                f"LINUX /boot/{kernel}\nAPPEND {params}\nINITRD /boot/{initrd}\n")
    return grub, isolinux


def make_iso(parts, path, extra=""):
    """An ISO around what `parts` has; extra: more parameters for the installer's kernel."""
    kernel = f"/nix/store/{HASH}-linux-6.18.1/bzImage"
    initrd = f"/nix/store/{HASH}-initrd-linux-6.18.1/initrd"
    grub, isolinux = menu(kernel, initrd, f" {extra}" if extra else "")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        tree = pathlib.Path(scratch)
        for name, content in {"EFI/BOOT/grub.cfg": grub, "isolinux/isolinux.cfg": isolinux}.items():
            (tree / name).parent.mkdir(parents=True)
            (tree / name).write_text(content)
        for name, source in {f"boot{kernel}": "kernel", f"boot{initrd}": "initrd",
                             "nix-store.squashfs": "nix-store.squashfs"}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(parts / source, tree / name)
        part = path.with_suffix(".part")
        run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", LABEL, "-o", part, tree)
        part.rename(path)
    return path


def unpack(package, into):
    run("dpkg-deb", "-x", package, into)
    return into


def download(apt, folder):
    """Debian's usual kernel: that of clouds, which dxvm's own guests have, knows no 9p."""
    more = {"cwd": folder, "env": {**ENVIRONMENT, "APT_CONFIG": str(apt / "apt.conf")}}
    depends = run("apt-cache", "depends", "linux-image-amd64", **more).decode()
    name = next(word for word in depends.split() if word.startswith("linux-image-"
                                                                    ) and word != "linux-image-amd64")
    run("apt-get", "download", name, **more)
    return next(folder.glob("linux-image-*.deb"))


def make_parts(apt, parts):
    """Kernel, initrd and squashfs of the installer."""
    busybox = next((apt / "packages").glob("busybox-static/*.deb"))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="dxt-standin-", dir=parts.parent))
    try:
        scratch.chmod(0o755)
        tree = unpack(download(apt, scratch), scratch / "kernel-package")
        if not (tree / "lib").exists(): # merged /usr
            (tree / "lib").symlink_to("usr/lib")
        version = next((tree / "lib" / "modules").iterdir()).name
        unpack(busybox, scratch / "busybox")
        kernel = next((tree / "boot").glob("vmlinuz-*")).read_bytes()
        initrd = make_initrd(tree, version, next((scratch / "busybox").glob("**/bin/busybox")))
        systems = make_systems(scratch, kernel, initrd)
        root = make_root(scratch, (apt / "sources.list").read_text(), systems)
        made = scratch / "parts"
        made.mkdir()
        (made / "kernel").write_bytes(kernel)
        (made / "initrd").write_bytes(initrd)
        root.rename(made / "nix-store.squashfs")
        made.rename(parts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build(state_home, extra=""):
    """The path of an ISO. state_home: where a guest's base image was made already, whose packages are
    used. extra: more parameters for the installer's kernel (standin.fail-system, ...)."""
    apt = pathlib.Path(state_home) / "devbox" / "vm" / "apt"
    sources = [pathlib.Path(__file__), *sorted(HERE.iterdir())]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = pathlib.Path(state_home) / "standin"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if key not in old.name and old.is_dir():
            shutil.rmtree(old)
        elif key not in old.name:
            old.unlink()
    parts = folder / f"parts-{key}"
    if not parts.exists():
        make_parts(apt, parts)
    kind = hashlib.sha256(extra.encode()).hexdigest()[:8]
    iso = folder / f"nixos-{key}-{kind}.iso"
    return iso if iso.exists() else make_iso(parts, iso, extra)
