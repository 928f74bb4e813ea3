#!/usr/bin/python3
"""What the project share costs in a Debian VM, against the guest's own disk in the same VM, in turns:
2000 files made, looked at cold and warm, `git status` cold and warm, removed. Medians and ratios;
judges nothing.
"""
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from projects import BUILD, Project, stop_quietly  # noqa: E402

ROUNDS = 3
FILES = 2000
# Prints a line "NAME NANOSECONDS" for each measurement.
SCRIPT = f"""
set -e
timed() {{
    name=$1; shift
    a=$(date +%s%N); "$@" >/dev/null; b=$(date +%s%N)
    echo "$name" $((b - a))
}}
cold() {{ sync; echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; }}
create() {{ for i in $(seq {FILES}); do : >d$((i % 20))/$i; done; }}
look() {{ find . -path ./.git -prune -o -type f -size 1; }}
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd "$1" && rm -rf bench && mkdir bench && cd bench && git init -q
for i in $(seq 0 19); do mkdir d$i; done
timed create create
git add . && git commit -qm one
cold; timed stat-cold look; timed stat-warm look
cold; timed git-status-cold git status; timed git-status-warm git status
timed remove rm -rf d*
cd .. && rm -rf bench
"""


def measure(project, place):
    """Seconds by name, in one place."""
    done = project.run("-q", "exec", "bash", "-c", SCRIPT, "bench", place, timeout=900)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return {name: int(number) / 1e9 for name, number in
            (line.split() for line in done.stdout.decode().splitlines())}


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dxt-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    (folder / "run").mkdir(mode=0o700)
    environment.update(HOME=str(folder), TERM="xterm-256color", XDG_RUNTIME_DIR=str(folder / "run"),
                       XDG_STATE_HOME=str(BUILD / "test-state"))
    project = Project(str(BUILD / "dxvm"), folder / "project", environment, "debian")
    print(f"{FILES} files, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        assert project.run("start", timeout=600).returncode == 0
        places = {"share": ".", "disk": "/var/tmp"}
        found = [{name: measure(project, place) for name, place in places.items()}
                 for _ in range(ROUNDS)]
        print(f"{'':20}{'share':>10}{'disk':>10}{'ratio':>10}")
        for what in found[0]["share"]:
            share, disk = (statistics.median(one[place][what] for one in found) for place in places)
            print(f"{what:20}{share:>8.2f} s{disk:>8.2f} s{share / disk:>10.2f}")
    finally:
        stop_quietly(project)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
