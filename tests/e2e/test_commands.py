"""config, ls, rm, adopt, and data for programs."""
import json
import pathlib
import shutil
import subprocess

import pexpect

from projects import Project, stop_quietly, wait_until


def test_config_prints_sets_and_checks(project):
    lines = project.run("config").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["mem", "cpu", "disk", "net", "idle", "loglevel",
                                                 "guest"]
    assert project.run("config", "cpu=3").returncode == 0
    assert (project.data / "cpu").read_text() == "3\n"
    assert project.run("config", "cpu").stdout == b"3\n"
    wrong = project.run("config", "cpu=many")
    assert wrong.returncode == 125
    assert b'cpu: line 1: "many" is not understood; allowed: a number from 1 to 255' in wrong.stderr
    assert (project.data / "cpu").read_text() == "3\n"
    assert b'there is no setting "cups"' in project.run("config", "cups").stderr
    assert b"chosen when the VM is made" in project.run("config", "guest=tiny").stderr
    (project.data / "net").unlink()
    assert b"default" in project.run("config").stdout


def test_config_lends_one_binary_cache_and_only_one(project):
    cache = project.root.parent / "a cache"
    cache.mkdir()
    done = project.run("config", f"cache={cache}")
    assert done.returncode == 125 and b"is no binary cache, it has no nix-cache-info" in done.stderr
    (cache / "nix-cache-info").write_text("StoreDir: /nix/store\n")
    assert project.run("config", f"cache={cache}").returncode == 0
    assert project.run("config", "cache").stdout.decode() == f"{cache}\n"
    assert project.run("config", "share").stdout.decode() == f"{cache}:ro:/run/dxvm/cache\n"
    other = project.root.parent / "other"
    shutil.copytree(cache, other)
    assert project.run("config", "cache=../other").returncode == 0
    assert project.run("config", "cache").stdout.decode() == f"{other}\n"
    for key in ("cache", "share+"):
        assert project.run("config", f"{key}=/missing").stderr == \
            b"dxvm: /missing cannot be shared: No such file or directory\n"
    assert b"share+=PATH" in project.run("config", f"share={cache}").stderr
    assert project.run("config", "cache=").returncode == 0
    assert project.run("config", "cache").stdout == project.run("config", "share").stdout == b""


def test_nix_in_sessions_is_told_of_the_clients_caches(project):
    project.environment.update(DXVM_SUBSTITUTERS="file:///a\n https://b", DXVM_TRUSTED_KEYS="k:AAAA\n",
                               NIX_CONFIG="of-the-host")
    assert project.run("exec", "sh", "-c", 'echo "$NIX_CONFIG"').stdout.decode() == (
        "extra-substituters = file:///a https://b\nsubstitute = true\n"
        "extra-trusted-public-keys = k:AAAA\n\n")
    del project.environment["DXVM_SUBSTITUTERS"], project.environment["DXVM_TRUSTED_KEYS"]
    assert project.run("exec", "sh", "-c", 'echo "${NIX_CONFIG-none}"').stdout == b"none\n"


def at_once(processes):
    """All ended well, that were started before any was waited for."""
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, (output, errors)


def test_many_change_settings_at_once(project):
    at_once([project.popen("config", f"mem={number}M", stderr=subprocess.PIPE) for number in range(600, 616)])
    assert project.run("config", "mem").stdout in {b"%dM\n" % number for number in range(600, 616)}
    assert not list(project.data.rglob("*.part"))


def test_a_disk_is_not_said_to_become_smaller(project):
    with open(project.data / "disk.img", "wb") as disk:
        disk.truncate(40 << 30)
    refused = project.run("config", "disk=4G")
    assert refused.returncode == 125
    assert b"disk: it has 42949672960 bytes (40.0G) already, and only grows; " in refused.stderr
    assert b"`dxvm install --force` makes another" in refused.stderr
    assert project.run("config", "disk").stdout == b"32G\n"
    assert project.run("config", "disk=40G").returncode == 0
    assert project.run("config", "disk=41G").returncode == 0


def test_many_vms_are_made_at_once_and_all_are_known(project, scratch):
    roots = [scratch / f"p{number}" for number in range(8)]
    for root in roots:
        root.mkdir()
        (root / "devbox.json").write_text("{}")
    at_once([subprocess.Popen([project.dxvm, "install", "--guest", "fake"], cwd=root, env=project.environment,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for root in roots])
    listed = {vm["path"]: vm["state"] for vm in json.loads(project.run("ls", "--json").stdout)}
    assert listed == {str(root / ".devbox" / "vm"): "stopped" for root in [project.root, *roots]}


def test_what_is_left_of_an_install_is_listed_and_removed(project):
    (project.data / "guest").unlink()
    (project.data / "disk.img").write_bytes(b"a part of it")
    assert [vm["state"] for vm in json.loads(project.run("ls", "--json").stdout)] == ["unfinished"]
    assert b"has no VM yet" in project.run("exec", "true").stderr
    assert project.run("rm", "--force").returncode == 0
    assert not project.data.exists() and project.run("ls").stdout == b""


def test_ls_names_every_vm_and_its_state(project):
    def listed():
        return json.loads(project.run("ls", "--json").stdout)

    assert [vm["state"] for vm in listed()] == ["stopped"]
    project.run("start")
    assert [(vm["state"], vm["guest"]) for vm in listed()] == [("running", "fake")]
    assert str(project.data).encode() in project.run("ls").stdout
    project.stop()
    shutil.rmtree(project.data)
    assert [vm["state"] for vm in listed()] == ["missing"]


def test_ls_forgets_the_missing_when_told(project, scratch):
    away = scratch / "away"
    project.data.rename(away)
    said = project.run("ls")
    assert said.returncode == 0 and said.stdout.startswith(b"missing ")
    assert b"1 missing, removed by hand or on a disk that is not mounted; `dxvm ls --prune`" in said.stderr
    assert project.run("install", "--guest", "fake").returncode == 0 # another one at the same path
    pruned = project.run("ls", "--prune")
    assert (pruned.stdout.count(b"\n"), pruned.stderr) == (1, b"")
    assert project.run("exec", "echo", "still known").stdout == b"still known\n"
    project.stop()
    shutil.rmtree(project.data)
    away.rename(project.data)
    refused = project.run("exec", "true")
    assert refused.returncode == 125 and b"`dxvm adopt`" in refused.stderr


def test_status_as_json(project):
    assert json.loads(project.run("status", "--json").stdout)["state"] == "not running"
    project.run("start")
    status = json.loads(project.run("status", "--json").stdout)
    assert status["state"] == "running" and status["supervisor_pid"] > 1
    assert status["project"] == str(project.root)


def real_bytes(top):
    """What du says."""
    return sum(path.lstat().st_blocks * 512 for path in [top, *top.rglob("*")])


def test_status_says_what_it_costs(project):
    (project.data / "disk.img").write_bytes(bytes(3 << 20)) # written, so not a hole
    with open(project.data / "disk.img", "r+b") as disk:
        disk.truncate(8 << 30)
    project.run("start")
    session = project.popen("exec", "cat", stdin=subprocess.PIPE)
    wait_until(lambda: project.status()["sessions"] == "1", "it is there")
    status = json.loads(project.run("status", "--json").stdout)
    assert abs(status["disk_bytes"] - real_bytes(project.data)) < 64 << 10
    assert 3 << 20 <= status["disk_bytes"] < 4 << 20
    assert 100 << 10 < status["overhead_bytes"] < 200 << 20
    assert status["sessions"] == 1 and status["kept"] is False and status["uptime_ms"] > 0
    lines = project.status()
    assert lines["disk"] == f"{status['disk_bytes'] / 2 ** 20:.1f} MiB on the host"
    assert lines["overhead"].endswith(" MiB of memory for supervisor and machine")
    assert lines["idle"] == "it runs until it is stopped"
    session.communicate(timeout=20)
    project.stop()
    stopped = json.loads(project.run("status", "--json").stdout)
    assert abs(stopped["disk_bytes"] - status["disk_bytes"]) < 64 << 10
    (listed,) = json.loads(project.run("ls", "--json").stdout)
    assert listed["disk_bytes"] == stopped["disk_bytes"]


def test_keep_holds_until_it_is_told_not_to_or_the_vm_ends(project):
    assert b"is not running" in project.run("keep", "off").stderr
    done = project.run("keep")
    assert done.returncode == 0 and b"dxvm: started in" in done.stderr
    assert b"runs on when nobody uses it, until `dxvm keep off`" in done.stderr
    assert project.status()["idle"] == "kept running; `dxvm keep off` ends that"
    assert project.run("keep", "off").returncode == 0
    assert "kept" not in project.status()["idle"]
    assert project.run("-q", "keep", "on").stderr == b""
    assert json.loads(project.run("status", "--json").stdout)["kept"] is True
    project.run("restart")
    assert json.loads(project.run("status", "--json").stdout)["kept"] is False
    wrong = project.run("keep", "of")
    assert wrong.returncode == 2 and b'"of" is not understood; allowed: on, off' in wrong.stderr


def test_loglevel_decides_what_the_log_holds(project):
    def levels(level):
        assert project.run("config", f"loglevel={level}").returncode == 0
        (project.data / "log").unlink(missing_ok=True)
        project.run("exec", "true")
        project.stop()
        return {line.split()[1] for line in project.run("logs").stdout.decode().splitlines()}

    assert levels("warning") == set()
    assert levels("info") == {"info"}
    assert levels("debug") == {"info", "debug"}
    wrong = project.run("config", "loglevel=loud")
    assert wrong.returncode == 125
    assert b'allowed: "error", "warning", "info" or "debug"' in wrong.stderr


def test_the_log_is_followed_over_a_stop_and_a_start(project):
    project.run("start")
    watching = project.popen("logs", "-f", stdout=subprocess.PIPE)
    seen = b""
    while b"-> running" not in seen:
        seen += watching.stdout.readline()
    project.stop()
    while b"supervisor ends" not in seen:
        seen += watching.stdout.readline()
    project.run("start")
    while seen.count(b"-> running") < 2:
        seen += watching.stdout.readline()
    watching.kill()
    watching.communicate()


def test_rm_asks_or_wants_force_and_keeps_the_project(project):
    assert project.run("rm").returncode == 2
    project.run("start")
    assert b"is running; stop it with `dxvm stop` first" in project.run("rm", "-f").stderr
    project.stop()
    child = project.terminal("rm")
    child.expect_exact("[y/N] ")
    child.sendline("n")
    child.expect_exact("nothing was removed")
    child.expect(pexpect.EOF)
    assert project.data.exists()
    assert project.run("rm", "--force").returncode == 0
    assert not project.data.exists()
    assert (project.root / "devbox.json").exists()
    assert json.loads(project.run("ls", "--json").stdout) == []
    assert b"has no VM yet" in project.run("exec", "true").stderr


def test_a_vm_that_came_with_a_repository_is_refused_until_adopted(project, scratch):
    copy = scratch / "cloned"
    shutil.copytree(project.root, copy)
    cloned = Project.__new__(Project)
    cloned.dxvm, cloned.root, cloned.environment = project.dxvm, copy, project.environment
    cloned.data = copy / ".devbox" / "vm"
    for words in (("exec", "true"), ("start",), ("logs",), ("rm", "-f"), ("config",)):
        refused = cloned.run(*words)
        assert refused.returncode == 125, words
        assert b"was not made by dxvm on this machine for you" in refused.stderr
        assert b"`dxvm adopt`" in refused.stderr
    (cloned.data / "saved").mkdir()
    (cloned.data / "saved" / "ram").write_text("what somebody else's guest was doing")
    assert cloned.run("adopt").returncode == 0
    assert not (cloned.data / "saved").exists()
    try:
        assert cloned.run("exec", "echo", "mine").stdout == b"mine\n"
        assert (cloned.data / "id").read_text() != (project.data / "id").read_text()
        assert project.run("exec", "echo", "still mine").stdout == b"still mine\n"
    finally:
        stop_quietly(cloned)


def test_a_registry_entry_that_cannot_be_read_is_made_anew_by_adopt(project):
    known = pathlib.Path(project.environment["XDG_STATE_HOME"]) / "devbox" / "vm" / "registry"
    (known / (project.data / "id").read_text().strip()).write_text(f"device 1\ninode 2\npath {project.data}")
    refused = project.run("exec", "true")
    assert refused.returncode == 125
    assert b"is damaged or of another dxvm; `dxvm adopt` makes it anew" in refused.stderr
    assert project.run("adopt").returncode == 0
    assert project.run("exec", "echo", "mine").stdout == b"mine\n"


def test_a_moved_project_is_still_known(project, scratch):
    moved = scratch / "elsewhere"
    project.root.rename(moved)
    project.root, project.data = moved, moved / ".devbox" / "vm"
    assert project.run("exec", "echo", "hi").stdout == b"hi\n"
    assert str(project.data).encode() in project.run("ls").stdout


def test_progress_for_programs_is_json(project):
    lines = project.run("--progress=json", "start").stderr.decode().splitlines()
    assert all(list(json.loads(line)) == ["stage"] for line in lines) # none when it is that quick
    assert b"allowed: json" in project.run("--progress=xml", "start").stderr


def test_without_a_vm_a_person_is_offered_one(dxvm, scratch, clean_environment):
    (scratch / "p").mkdir()
    (scratch / "p" / "devbox.json").write_text("{}")
    child = pexpect.spawn(dxvm, cwd=str(scratch / "p"), env=clean_environment, encoding="utf-8",
                          timeout=20)
    child.expect_exact("this project has no VM yet. It can have:")
    child.expect(r"debian +Debian 13 [^\n]*MB[^\n]*minutes")
    child.expect(r"nixos +NixOS[^\n]*minutes")
    child.expect_exact("Which one is to be made now? [debian, or none] ")
    child.sendline("n")
    child.expect_exact("dxvm: nothing was made")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    plain = subprocess.run([dxvm], cwd=scratch / "p", env=clean_environment,
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert b"has no VM yet; make one with `dxvm install --guest debian`" in plain.stderr
