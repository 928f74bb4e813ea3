"""Where the devbox of Debian guests is from: this host's own, else a release, else nowhere, which a line says."""
import hashlib
import http.server
import io
import os
import pathlib
import platform
import subprocess
import tarfile
import threading

import pytest

from projects import BUILD

PROCESSOR = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ARCHIVE = f"devbox_0.18.0_linux_{PROCESSOR}.tar.gz"
STATIC = BUILD / "src" / "devbox" / "dxvm-devbox"
DYNAMIC = pathlib.Path("/bin/true")


def archive(name="devbox", content=None, kind=tarfile.REGTYPE):
    """A release with one file in it."""
    packed = io.BytesIO()
    content = STATIC.read_bytes() if content is None else content
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry, text in (("LICENSE", b"free"), (name, content)):
            info = tarfile.TarInfo(entry)
            info.size, info.mode = len(text), 0o755
            if entry == name:
                info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(text))
    return packed.getvalue()


@pytest.fixture
def release():
    """A server of releases on the loopback: what lies at each path, and what was asked for."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            server.asked.append(self.path)
            body = server.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.files = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}/0.18.0"

    def publish(content, checksum=None, listed=ARCHIVE):
        digest = checksum or hashlib.sha256(content).hexdigest()
        server.files = {f"/0.18.0/{ARCHIVE}": content, "/0.18.0/checksums.txt":
                        f"{'0' * 64}  devbox_0.18.0_darwin_arm64.tar.gz\n{digest}  {listed}\n".encode()}

    server.publish = publish
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(clean_environment, release):
    """Runs dxvm-image; its state directory is fetch.state."""
    state = pathlib.Path(clean_environment["XDG_STATE_HOME"]) / "devbox" / "vm"

    def run():
        return subprocess.run([BUILD / "src" / "image" / "dxvm-image", "devbox", "--state", state],
                              env={**clean_environment, "DXVM_DEVBOX_URL": release.url},
                              capture_output=True, check=False, timeout=60)

    run.tools = state / "tools"
    return run


def test_a_release_is_fetched_checked_and_unpacked(fetch, release):
    release.publish(archive())
    done = fetch()
    assert done.returncode == 0, done.stdout
    assert (fetch.tools / "devbox").read_bytes() == STATIC.read_bytes()
    assert (fetch.tools / "devbox").stat().st_mode & 0o777 == 0o755
    assert (fetch.tools / "devbox.from").read_text() == f"{release.url}/{ARCHIVE}\n"
    assert sorted(path.name for path in fetch.tools.iterdir()) == ["devbox", "devbox.from", "lock"]


@pytest.mark.parametrize("content, more, why", [
    (archive(), {"checksum": "1" * 64}, "SHA-256"),
    (archive(), {"listed": "x" + ARCHIVE}, f"there is no SHA-256 of {ARCHIVE} in it"),
    (archive(content=DYNAMIC.read_bytes()), {}, "there is no devbox for guests in it"),
    (archive(content=b"#!/bin/sh\n"), {}, "there is no devbox for guests in it"),
    (archive(name="../devbox"), {}, "there is no devbox for guests in it"),
    (archive(kind=tarfile.SYMTYPE), {}, "there is no devbox for guests in it"),
    (b"not an archive", {}, "unpack"),
    (archive()[:30000], {}, ""),
], ids=["wrong checksum", "not listed", "dynamic", "script", "outside", "link", "no archive", "cut"])
def test_nothing_else_becomes_the_guests_devbox(fetch, release, content, more, why):
    release.publish(content, **more)
    done = fetch()
    last = done.stdout.decode().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error ") and why in last, done.stdout
    assert not (fetch.tools / "devbox").exists()
    assert not (fetch.tools.parent / "devbox").exists()


def test_a_release_that_is_not_there_is_named(fetch, release):
    done = fetch()
    assert done.returncode == 1
    assert f"error {release.url}/checksums.txt: the server answers 404" in done.stdout.decode()
