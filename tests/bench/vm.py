#!/usr/bin/python3
"""What dxvm adds to a machine: against the same QEMU line started by hand, the bare port, and ssh.
Each comparison is made in one run, in turns. Prints medians and ratios; judges nothing.

Usage: vm.py [tiny] [debian]    which guests; the default: tiny, and debian (ssh) if its base is there
"""
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone

import pexpect

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "e2e")]
from bench import median_ms, private_kib, row, switches  # noqa: E402
from dxvm_peer import CONFIGURE, OK, Peer, configuration, session  # noqa: E402
from projects import BUILD, Project, stop_quietly  # noqa: E402

STARTS = 5
BULK_BYTES = 256 << 20
REST_SECONDS = 10
RAW = "org.dxvm.raw.0"
# The descriptors of dxvm's QEMU line (src/vm/qemu_config.h).
QMP, AGENT, SHARE, CONSOLE, KERNEL, INITRD, RAM, DISK = range(3, 11)


def swallow(sock):
    """Reads what nobody wants, so that nobody waits."""
    def run():
        try:
            while sock.recv(65536):
                pass
        except OSError:
            pass
    threading.Thread(target=run, daemon=True).start()


class ByHand:
    """The machine of `dxvm start --dry-run`, without dxvm: we are its supervisor."""

    def __init__(self, project, initrd, more=(), netdev=""):
        words = project.run("start", "--dry-run").stdout.decode().splitlines()
        self.ours, theirs = {}, {}
        for number in (QMP, AGENT, SHARE, CONSOLE):
            self.ours[number], theirs[number] = socket.socketpair()
        self.raw, raw = socket.socketpair()
        files = {KERNEL: os.open(project.data / "boot" / "kernel", os.O_RDONLY),
                 INITRD: os.open(initrd, os.O_RDONLY), RAM: os.memfd_create("ram")}
        os.truncate(files[RAM], int(re.search(r"size=(\d+)M", " ".join(words))[1]) << 20)
        if (project.data / "disk.img").exists():
            files[DISK] = os.open(project.data / "disk.img", os.O_RDWR)
        numbers = {**files, **{number: end.fileno() for number, end in theirs.items()}}
        words = [re.sub(r"(\bfd=|/proc/self/fd/)(\d+)",
                        lambda match: match[1] + str(numbers[int(match[2])]), word)
                 for word in words]
        words = [word + netdev if word == "user,id=net" else word for word in words]
        words += [word.replace("FD", str(raw.fileno())) for word in more]
        self.started = time.time()
        self.process = subprocess.Popen(words, pass_fds=[*numbers.values(), raw.fileno()],
                                        stdin=subprocess.DEVNULL)
        for end in (*theirs.values(), raw):
            end.close()
        for descriptor in files.values():
            os.close(descriptor)
        for number in (QMP, CONSOLE, SHARE):
            swallow(self.ours[number])
        self.peer = Peer(self.ours[AGENT], timeout=300)
        self.peer.handshake()
        self.hello_seconds = time.time() - self.started

    def configure(self, user, network=False):
        payload = configuration(project="", user=user, uid=1000, gid=1000)
        payload = payload[:-5] + bytes([network]) + payload[-4:]
        assert self.peer.request(CONFIGURE, payload) == (OK, b"")

    def root(self, script):
        """Starts a script as root in the guest; its channel."""
        return self.peer.open(session(["sh", "-c", script], user="root"))

    def kill(self):
        self.process.kill()
        self.process.wait()
        for sock in (*self.ours.values(), self.raw):
            sock.close()


def hello_time(project):
    """When the supervisor heard the agent last, by its log."""
    lines = project.run("logs").stdout.decode().splitlines()
    stamp = [line.split()[0] for line in lines if " info agent: dxvm-agent " in line][-1]
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def keep_initrd(project, folder):
    """The initrd that the supervisor made for its running machine."""
    machine = project.processes()[1]
    path = folder / f"initrd-{project.root.name}"
    path.write_bytes(pathlib.Path(f"/proc/{machine}/fd/{INITRD}").read_bytes())
    return path


def measure_start(project, folder):
    """Returns the initrd."""
    dxvm, prompt, hand = [], [], []
    initrd = None
    for _ in range(STARTS):
        started = time.time()
        child = project.terminal("-q", "exec", "sh", timeout=600)
        child.expect("[$#] ")
        prompt.append(time.time() - hello_time(project))
        dxvm.append(hello_time(project) - started)
        initrd = keep_initrd(project, folder)
        child.sendline("exit")
        child.expect(pexpect.EOF)
        project.stop()
        machine = ByHand(project, initrd)
        hand.append(machine.hello_seconds)
        machine.kill()
    ratio = statistics.median(dxvm) / statistics.median(hand)
    row("QEMU by hand to HELLO", f"{statistics.median(hand):.2f}", "s",
        f"{min(hand):.2f} to {max(hand):.2f}")
    row("dxvm to HELLO", f"{statistics.median(dxvm):.2f}", "s",
        f"{min(dxvm):.2f} to {max(dxvm):.2f}, {ratio:.3f} x by hand (goal 1.05)")
    row("HELLO to prompt", f"{statistics.median(prompt):.2f}", "s")
    return initrd


def timed_out_of(project):
    started = time.perf_counter()
    child = project.popen("-q", "exec", "dd", "if=/dev/zero", "bs=64k",
                          f"count={BULK_BYTES >> 16}", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    came = 0
    while part := os.read(child.stdout.fileno(), 1 << 16):
        came += len(part)
    assert child.wait() == 0 and came == BULK_BYTES
    return BULK_BYTES / (time.perf_counter() - started) / 1e6


def timed_into(project):
    started = time.perf_counter()
    done = project.run("-q", "exec", "dd", "of=/dev/null", "bs=64k", "iflag=fullblock",
                       input=bytes(BULK_BYTES), timeout=600)
    assert done.returncode == 0 and f"{BULK_BYTES >> 16}+0 records in".encode() in done.stderr
    return BULK_BYTES / (time.perf_counter() - started) / 1e6


def raw_port(machine, out_pipe="", in_pipe=""):
    """MB/s out of and into the guest through a port that nobody else uses."""
    find = (f"for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) = {RAW} ] && "
            "port=/dev/${p##*/}; done; ")
    channel = machine.root(find + "echo up; read go; dd if=/dev/zero bs=64k "
                           f"count={BULK_BYTES >> 16} {out_pipe} >$port; echo up; "
                           f"dd if=$port bs=64k count={BULK_BYTES} iflag=count_bytes,fullblock "
                           f"{in_pipe} >/dev/null; echo end")
    channel.wait(lambda c: c.stdout.count(b"up") == 1)
    started = time.perf_counter()
    channel.send(b"\n")
    came = 0
    while came < BULK_BYTES:
        came += len(machine.raw.recv(1 << 16))
    out = BULK_BYTES / (time.perf_counter() - started) / 1e6
    channel.wait(lambda c: c.stdout.count(b"up") == 2)
    started = time.perf_counter()
    machine.raw.sendall(bytes(BULK_BYTES))
    channel.wait(lambda c: c.stdout.endswith(b"end\n"))
    return out, BULK_BYTES / (time.perf_counter() - started) / 1e6


def measure_bulk(project, initrd):
    assert project.run("-q", "exec", "true", timeout=600).returncode == 0
    ours = [(timed_out_of(project), timed_into(project)) for _ in range(3)]
    project.stop()
    machine = ByHand(project, initrd, ["-chardev", "socket,id=raw,fd=FD", "-device",
                                       f"virtserialport,id=raw-port,chardev=raw,name={RAW}"])
    machine.configure("dev")
    bare, piped = [], []
    for _ in range(3):
        bare.append(raw_port(machine))
        piped.append(raw_port(machine, "| dd bs=64k", "| dd bs=64k"))
    measure_agent(machine)
    machine.kill()
    for number, name in enumerate(("out of the guest", "into the guest")):
        dxvm, raw, pipe = (statistics.median(pair[number] for pair in pairs)
                           for pairs in (ours, bare, piped))
        row(f"bare port, {name}", f"{raw:.0f}", "MB/s")
        # A command talks to a pipe, and somebody has to carry it from there.
        row(f"bare port behind a pipe, {name}", f"{pipe:.0f}", "MB/s")
        row(f"dxvm exec, {name}", f"{dxvm:.0f}", "MB/s",
            f"{dxvm / raw:.2f} x the port (goal 0.8), {dxvm / pipe:.2f} x with the pipe")


def measure_agent(machine):
    """In the guest, from a session that sleeps: what the agent itself does meanwhile."""
    look = "grep -h ctxt_switches /proc/1/status; "
    channel = machine.root("grep Private /proc/1/smaps_rollup; " + look
                           + f"sleep {REST_SECONDS}; " + look).wait()
    lines = [line.split() for line in channel.stdout.decode().splitlines()]
    private = sum(int(line[1]) for line in lines if line[0].startswith("Private"))
    counts = [int(line[1]) for line in lines if "ctxt" in line[0]]
    woke = sum(counts[2:]) - sum(counts[:2])
    row("agent at rest: private memory", f"{private / 1024:.1f}", "MiB", "goal 2")
    row("agent at rest: wake-ups", f"{woke / REST_SECONDS:.1f}", "/s", "goal < 1")


def measure_supervisor(project):
    assert project.run("-q", "exec", "true", timeout=600).returncode == 0
    supervisor = project.processes()[0]
    before = switches(supervisor)
    time.sleep(REST_SECONDS)  # the span of the measurement
    row("supervisor at rest: private memory", f"{private_kib(supervisor) / 1024:.1f}", "MiB", "goal 4")
    row("supervisor at rest: wake-ups",
        f"{(switches(supervisor) - before) / REST_SECONDS:.1f}", "/s", "goal < 1")
    project.stop()


def install_sshd(project, folder):
    """Puts sshd and a key into the guest's disk."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")],
                   check=True)
    key = (folder / "key.pub").read_text().strip()
    done = project.run("-q", "exec", "sh", "-c",
                       "sudo apt-get -qq update && sudo apt-get -qqy --no-install-recommends "
                       "install openssh-server >/dev/null && sudo mkdir -p -m 700 /root/.ssh && "
                       f"echo '{key}' | sudo tee /root/.ssh/authorized_keys", timeout=900)
    return done.returncode == 0, done.stderr.decode(errors="replace")


def measure_ssh(project, folder):
    """A command in the same guest: through dxvm, then through ssh to a port of QEMU's user network."""
    if not shutil.which("ssh"):
        print("SKIP: comparison with ssh: openssh-client is missing")
        return
    installed, why = install_sshd(project, folder)
    if not installed:
        print(f"SKIP: comparison with ssh: the guest could not install openssh-server: {why}")
        return
    dxvm = median_ms([project.dxvm, "exec", "true"], 20, cwd=project.root, env=project.environment)
    initrd = keep_initrd(project, folder)
    project.stop()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machine = ByHand(project, initrd, netdev=f",hostfwd=tcp:127.0.0.1:{port}-:22")
    machine.configure("dev", network=True)
    sshd = machine.root("mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e")
    sshd.wait(lambda c: b"listening" in c.stderr)
    ssh = ["ssh", "-F", "none", "-i", str(folder / "key"), "-p", str(port), "-o", "LogLevel=ERROR",
           "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    control = ["-o", f"ControlPath={folder}/control"]
    cold = median_ms([*ssh, "root@127.0.0.1", "true"], 10)
    subprocess.run([*ssh, *control, "-o", "ControlMaster=yes", "-fN", "root@127.0.0.1"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    warm = median_ms([*ssh, *control, "root@127.0.0.1", "true"], 20)
    subprocess.run([*ssh, *control, "-O", "exit", "root@127.0.0.1"], check=False,
                   capture_output=True)
    machine.kill()
    row("ssh, cold", f"{cold:.1f}", "ms")
    row("ssh through a ControlMaster", f"{warm:.1f}", "ms")
    row("dxvm exec true", f"{dxvm:.1f}", "ms",
        f"{dxvm / cold:.2f} x cold (goal 0.2), {dxvm / warm:.2f} x ControlMaster (goal 0.8)")


def run(kind, folder, environment):
    project = Project(str(BUILD / "dxvm"), folder / kind, environment, kind)
    (project.data / "mem").write_text("512M\n")
    print(f"guest: {kind}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        if kind == "debian":
            measure_ssh(project, folder)
            return
        initrd = measure_start(project, folder)
        measure_bulk(project, initrd)
        measure_supervisor(project)
    finally:
        stop_quietly(project)


def main():
    state = BUILD / "test-state"
    kinds = sys.argv[1:] or ["tiny"]
    if not sys.argv[1:]:
        if list(state.glob("devbox/vm/base/debian-*")):
            kinds.append("debian")
        else:
            print("SKIP: comparison with ssh: no Debian guest was made in this build directory yet; "
                  "`tests/bench/vm.py debian` makes one")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    (folder / "run").mkdir(mode=0o700)
    environment.update(HOME=str(folder), TERM="xterm-256color", XDG_STATE_HOME=str(state),
                       XDG_RUNTIME_DIR=str(folder / "run"))
    try:
        for kind in kinds:
            run(kind, folder, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
