"""A newer program of ours for a guest that has it on its disk: what the agent takes, and what it does not."""
import os
import resource
import signal

import pytest

from dxvm_peer import (BAD_REQUEST, NO_RESOURCES, NOT_FOUND, PROGRAM, program)
from test_protocol import peer, greeted, running_agent  # noqa: F401 (fixtures)

OLD = b"old" * 1000
NEW = os.urandom(700_000)  # more than two windows


@pytest.fixture
def folder(scratch):
    """Where the programs lie."""
    path = scratch / "programs"
    path.mkdir()
    (path / "dxvm-agent").write_bytes(OLD)
    return path


@pytest.fixture
def updated(agent, scratch, folder):
    """An agent that has them there."""
    with running_agent(agent, scratch, "--programs", str(folder)) as (connected, _):
        connected.handshake()
        yield connected


def offer(connected, content, description=None):
    """Offers and sends it, as the supervisor does; the channel at its end."""
    channel = connected.open(description or program("dxvm-agent", content), kind=PROGRAM)
    channel.wait(lambda it: it.accepted or it.over)
    if channel.wanted:
        channel.send(content)
    if not channel.over:
        channel.send_eof()
    return channel.wait()


def refused(folder, channel, words):
    """Why; the old one is there, and nothing else."""
    assert channel.status == 1 and words in channel.stdout.decode(), (channel.exit, channel.stdout)
    assert (folder / "dxvm-agent").read_bytes() == OLD
    assert os.listdir(folder) == ["dxvm-agent"]


def test_a_program_takes_the_place_of_the_old_one(updated, folder):
    kept = os.open(folder / "dxvm-agent", os.O_RDONLY)  # as one that runs is
    channel = offer(updated, NEW)
    assert channel.wanted and channel.status == 0 and channel.stdout == b""
    assert (folder / "dxvm-agent").read_bytes() == NEW
    assert (folder / "dxvm-agent").stat().st_mode & 0o777 == 0o755
    assert os.listdir(folder) == ["dxvm-agent"]
    assert os.read(kept, len(NEW)) == OLD
    os.close(kept)


def test_what_is_there_already_is_not_sent(updated, folder):
    before = (folder / "dxvm-agent").stat()
    channel = offer(updated, OLD)
    assert channel.wanted is False and channel.status == 0
    assert (folder / "dxvm-agent").stat().st_ino == before.st_ino


def test_a_program_that_was_not_there_is_put_there(updated, folder):
    assert offer(updated, b"x", program("dxvm-devbox", b"x")).status == 0
    assert (folder / "dxvm-devbox").read_bytes() == b"x"
    assert (folder / "dxvm-agent").read_bytes() == OLD


def test_a_host_need_not_wait_for_the_answer(updated, folder):
    channel = updated.open(program("dxvm-agent", b"new") + b"new", announced(b"new"), PROGRAM)
    channel.send_eof()
    assert channel.wait().status == 0
    assert (folder / "dxvm-agent").read_bytes() == b"new"


def announced(content):
    return len(program("dxvm-agent", content))


@pytest.mark.parametrize("description, words", [
    (program("dxvm-agent", NEW, digest=bytes(32)), "its SHA-256 differs"),
    (program("dxvm-agent", NEW, length=len(NEW) + 1), f"only {len(NEW)} of {len(NEW) + 1} bytes came"),
    (program("dxvm-agent", NEW, length=len(NEW) - 1), f"more than the announced {len(NEW) - 1} bytes came"),
], ids=["another hash", "too short", "too long"])
def test_what_is_not_as_announced_leaves_the_old_one(updated, folder, description, words):
    refused(folder, offer(updated, NEW, description), words)
    assert offer(updated, NEW).status == 0  # and the next one is taken


def test_a_full_disk_leaves_the_old_one(agent, scratch, folder):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    more = {"preexec_fn": no_room, "restore_signals": False}
    with running_agent(agent, scratch, "--programs", str(folder), **more) as (connected, _):
        connected.handshake()
        refused(folder, offer(connected, NEW), "dxvm-agent: write: File too large")


def test_a_host_that_goes_away_leaves_the_old_one(updated, folder):
    channel = updated.open(program("dxvm-agent", NEW), kind=PROGRAM)
    channel.wait(lambda it: it.accepted)
    channel.send(NEW[:300_000])
    channel.close()
    channel.wait(lambda it: it.closed)
    assert (folder / "dxvm-agent").read_bytes() == OLD
    assert os.listdir(folder) == ["dxvm-agent"]
    assert offer(updated, NEW).status == 0


@pytest.mark.parametrize("description, code", [
    (program("../dxvm-agent", NEW), NOT_FOUND),
    (program("", NEW), NOT_FOUND),
    (program("dxvm-agent", NEW, length=0), BAD_REQUEST),
    (program("dxvm-agent", NEW, length=(8 << 20) + 1), BAD_REQUEST),
    (program("dxvm-agent", NEW)[:-1], BAD_REQUEST),
    (b"x" * 1000, BAD_REQUEST),
], ids=["a path", "no name", "nothing", "too much", "cut", "too long"])
def test_no_description_of_a_program(updated, folder, description, code):
    assert offer(updated, b"", description).rejected[0] == code
    assert (folder / "dxvm-agent").read_bytes() == OLD


def test_one_at_a_time(updated):
    first = updated.open(program("dxvm-agent", NEW), kind=PROGRAM)
    assert offer(updated, NEW).rejected[0] == NO_RESOURCES
    first.wait(lambda it: it.accepted)
    first.send(NEW)
    first.send_eof()
    assert first.wait().status == 0


def test_a_guest_whose_programs_come_with_its_boot_takes_none(peer):
    assert offer(peer, NEW).rejected[0] == NOT_FOUND
