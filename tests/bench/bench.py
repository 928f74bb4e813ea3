#!/usr/bin/python3
"""What dxvm costs, measured: start of the program, a command in a running VM, bulk data, and what
supervisor and agent use at rest. Prints a table; judges nothing.

Usage: bench.py [KIND]      KIND of guest: fake (the agent on this host, the default), tiny, debian
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from projects import BUILD, Project, stop_quietly  # noqa: E402

REST_SECONDS = 5
BULK_BYTES = 200_000_000


def median_ms(command, times, **more):
    """The median time of a command, in milliseconds, after one run to warm up."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True, **more)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken[1:])


def private_kib(pid):
    """Memory that only this process has."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def switches(pid):
    """How often the process went to sleep of its own accord: once for each time it woke."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    return 0


def row(what, value, unit, note=""):
    print(f"{what:<44}{value:>10} {unit:<5}{note}", flush=True)


def measure_program(project):
    true = median_ms(["/bin/true"], 50)
    version = median_ms([project.dxvm, "version"], 50)
    row("/bin/true", f"{true:.2f}", "ms")
    row("dxvm version", f"{version:.2f}", "ms", f"{version / true:.1f} x /bin/true")


def measure_start(project):
    stop_quietly(project)
    start = time.perf_counter()
    assert project.run("start", timeout=600).returncode == 0
    row("dxvm start, from nothing", f"{time.perf_counter() - start:.2f}", "s")


def measure_exec(project):
    taken = median_ms([project.dxvm, "exec", "true"], 50, cwd=project.root, env=project.environment)
    row("dxvm exec true, VM running", f"{taken:.1f}", "ms")


def measure_bulk(project):
    start = time.perf_counter()
    done = project.run("-q", "exec", "head", "-c", str(BULK_BYTES), "/dev/zero", timeout=600)
    out = time.perf_counter() - start
    assert len(done.stdout) == BULK_BYTES
    row("out of the guest", f"{BULK_BYTES / out / 1e6:.0f}", "MB/s")
    start = time.perf_counter()
    done = project.run("-q", "exec", "wc", "-c", input=bytes(BULK_BYTES), timeout=600)
    into = time.perf_counter() - start
    assert done.stdout.split() == [str(BULK_BYTES).encode()]
    row("into the guest", f"{BULK_BYTES / into / 1e6:.0f}", "MB/s")


def measure_rest(project):
    """At rest: nobody is connected."""
    supervisor, machine = project.processes()
    watched = {"supervisor": supervisor}
    if project.kind == "fake":
        watched["agent"] = machine
    before = {pid: switches(pid) for pid in watched.values()}
    time.sleep(REST_SECONDS)  # the span of the measurement
    for name, pid in watched.items():
        row(f"{name} at rest: private memory", f"{private_kib(pid) / 1024:.1f}", "MiB")
        row(f"{name} at rest: wake-ups",
            f"{(switches(pid) - before[pid]) / REST_SECONDS:.1f}", "/s")


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "fake"
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("XDG_")}
    (scratch / "run").mkdir(mode=0o700)
    environment.update(HOME=str(scratch), XDG_RUNTIME_DIR=str(scratch / "run"),
                       XDG_STATE_HOME=str(BUILD / "test-state"))
    project = Project(str(BUILD / "dxvm"), scratch / "project", environment, kind)
    project.kind = kind
    print(f"guest: {kind}, {os.cpu_count()} processors")
    try:
        measure_program(project)
        measure_start(project)
        measure_exec(project)
        measure_bulk(project)
        measure_rest(project)
    finally:
        stop_quietly(project)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
