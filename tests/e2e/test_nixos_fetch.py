"""How dxvm-image comes by the installer of NixOS: from a server that does what servers do, and out of an image
that may be anything. The image here has the right files in the right places, and nothing in them."""
import hashlib
import http.server
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from projects import BUILD, wait_until

PROGRAM = BUILD / "src" / "image" / "dxvm-image"
GRUB = "menuentry 'NixOS' {\n  linux /boot/kernel ${isoboot} init=/init quiet\n  initrd /boot/initrd\n}\n"
MIB = 1 << 20


def make_iso(folder, grub=GRUB, name="nixos.iso", missing=()):
    """An image of about 4 MiB."""
    tree = folder / "tree"
    for path, content in {"EFI/BOOT/grub.cfg": grub.encode(), "boot/kernel": os.urandom(4096),
                          "boot/initrd": os.urandom(4 * MIB)}.items():
        if path not in missing:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "nixos-minimal-26.05-x86_64", "-o",
                    folder / name, tree], check=True, capture_output=True)
    shutil.rmtree(tree)
    return folder / name


class Server(http.server.ThreadingHTTPServer):
    """Serves one image and its checksum. `faults` are taken one a request for the image."""
    daemon_threads = True

    def __init__(self, content, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.faults = content, '"one"', []
        self.checksum = hashlib.sha256(content).hexdigest()
        self.ranges = []  # of each request for the image
        self.tunnels = []  # that were asked for, as of a proxy
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}/nixos.iso"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    """A fault is a function of this, or how many bytes of the image are sent before the end."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server
        if self.path.endswith(".sha256"):
            self.answer(200, f"{server.checksum}  nixos.iso\n".encode())
            return
        server.ranges.append(self.headers["Range"])
        fault = server.faults.pop(0) if server.faults else None
        if callable(fault):
            fault(self)
        else:
            self.image(fault)

    def do_CONNECT(self):
        """As a proxy: bytes go both ways until one end is closed."""
        self.server.tunnels.append(self.path)
        with socket.create_connection(self.path.split(":")) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)

    def image(self, cut=None, ranges=True, pause=0.0):
        content, start = self.server.content, 0
        asked = self.headers["Range"]
        if ranges and asked and self.headers.get("If-Range", self.server.tag) == self.server.tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        end = len(content) if cut is None else cut
        for at in range(start, end, 65536):
            self.wfile.write(content[at:min(at + 65536, end)])
            time.sleep(pause)  # a slow line
        if cut is not None:
            self.close_connection = True


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The bytes of an image."""
    return make_iso(tmp_path_factory.mktemp("iso")).read_bytes()


@pytest.fixture
def server(image):
    """One that has it."""
    made = Server(image)
    yield made
    made.shutdown()
    made.server_close()


class Place:
    """Where it is fetched to."""

    def __init__(self, top):
        self.state, self.data = top / "state", top / "data"
        self.name = self.state / "nixos.iso"
        self.environment = {}  # besides what it needs

    def start(self, url, *options):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.state.parent), "DXVM_NIXOS_URL": url,
                       "DXVM_FETCH_STALL": "1", **self.environment}
        return subprocess.Popen([PROGRAM, "install", "--guest", "nixos", "--state", self.state, "--data",
                                 self.data, *options], stdout=subprocess.PIPE, text=True, env=environment)

    def get(self, url, *options):
        """Its lines; it must succeed."""
        with self.start(url, *options) as process:
            lines = process.stdout.read().splitlines()
        assert process.returncode == 0 and lines[-1] == "done", lines
        assert not list(self.state.glob("*.part*"))
        assert (self.data / "installer" / "kernel").stat().st_size == 4096
        return lines

    def refused(self, url, *options):
        """Why."""
        with self.start(url, *options) as process:
            lines = process.stdout.read().splitlines()
        assert process.returncode == 1 and lines[-1].startswith("error "), lines
        assert not (self.data / "installer").exists()
        return lines[-1]

    def names(self):
        return {path.name for path in self.state.iterdir()}


@pytest.fixture
def place(tmp_path):
    """A fresh one."""
    return Place(tmp_path)


def test_what_is_fetched_is_what_the_server_has(place, server, image):
    lines = place.get(server.url)
    assert place.name.read_bytes() == image and place.names() == {"nixos.iso", "nixos.iso.from"}
    installer = place.data / "installer"
    assert {path.name for path in installer.iterdir()} == {"kernel", "initrd", "cmdline", "iso", "hash",
                                                           "release", "disk.img"}
    assert (installer / "cmdline").read_text() == "init=/init quiet"
    assert (installer / "iso").read_text() == str(place.name)
    assert (installer / "hash").read_text() == hashlib.sha256(image).hexdigest()
    assert (installer / "release").read_text() == "26.05\n"
    assert "stage downloading nixos.iso" in lines
    assert any(line == f"bytes {len(image)} {len(image)}" for line in lines)
    place.get(server.url)  # is there already
    assert len(server.ranges) == 1


def test_a_line_that_breaks_at_ten_places_costs_time_and_no_byte(place, server, image):
    cuts = sorted(random.sample(range(1, len(image)), 10))
    server.faults = list(cuts)
    lines = place.get(server.url)
    assert place.name.read_bytes() == image
    assert server.ranges == [None] + [f"bytes={cut}-" for cut in cuts]
    assert sum("trying again in" in line for line in lines) == 10


def test_a_file_that_is_not_there(place, server):
    server.faults = [lambda handler: handler.answer(404)]
    assert "the server answers 404, there is no such file" in place.refused(server.url)
    assert not place.name.exists()


def test_a_server_that_is_busy_is_asked_again(place, server):
    server.faults = [lambda handler: handler.answer(500)]
    assert any("the server answers 500; trying again in 1 s" in line for line in place.get(server.url))


@pytest.mark.parametrize("length", [None, 100_000])
def test_a_wrong_file_is_said_and_removed(place, server, image, length):
    server.content = bytes(len(image) if length is None else length)
    assert f"and should be {server.checksum}; it was removed" in place.refused(server.url)
    assert place.names() == set()


def test_a_server_that_cannot_continue_begins_anew(place, server, image):
    server.faults = [2 * MIB, lambda handler: handler.image(ranges=False)]
    assert any("cannot be continued" in line for line in place.get(server.url))
    assert place.name.read_bytes() == image


def test_a_file_that_changed_meanwhile_is_fetched_whole(place, server, tmp_path):
    server.faults = [2 * MIB, lambda handler: handler.answer(404)]
    place.refused(server.url)
    assert "nixos.iso.part" in place.names()
    (tmp_path / "other").mkdir()
    server.content = make_iso(tmp_path / "other").read_bytes()
    server.checksum, server.tag = hashlib.sha256(server.content).hexdigest(), '"two"'
    place.get(server.url)
    assert place.name.read_bytes() == server.content and server.ranges[-1] is None


def test_a_server_that_falls_silent_is_given_up_and_asked_again(place, server, image):
    def stall(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(image)))
        handler.end_headers()
        handler.wfile.write(image[:MIB])
        handler.wfile.flush()
        released.wait(60)
    released = threading.Event()
    server.faults = [stall]
    lines = place.get(server.url)
    released.set()
    assert any("nothing came for 1 seconds" in line for line in lines)
    assert place.name.read_bytes() == image


def test_redirects_without_end(place, server):
    server.faults = [lambda handler: handler.answer(302, Location="/nixos.iso")] * 20
    assert "more than 10 redirects" in place.refused(server.url)


def test_a_web_page_instead(place, server):
    server.faults = [lambda handler: handler.answer(200, b"<html>", Content_Type="text/html; charset=utf-8")]
    assert "a web page, not the file" in place.refused(server.url)
    assert not place.name.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_says_how_much_is_missing(place, server):
    place.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "dxvm-test", place.state], check=True)
    try:
        assert "are missing" in place.refused(server.url)
        assert "nixos.iso" not in place.names()
    finally:
        subprocess.run(["umount", place.state], check=True)


def test_a_cache_that_cannot_be_made(place, server):
    place.state = pathlib.Path("/proc/dxvm-test")
    assert "/proc/dxvm-test" in place.refused(server.url)


@pytest.mark.parametrize("number, status, word",
                         [(signal.SIGKILL, -signal.SIGKILL, ""),
                          (signal.SIGINT, 130, "error interrupted; ")])
def test_what_an_ended_run_has_is_kept(place, server, image, number, status, word):
    server.faults = [lambda handler: handler.image(pause=0.02)]
    part = place.state / "nixos.iso.part"
    with place.start(server.url) as process:
        wait_until(lambda: part.exists() and part.stat().st_size > MIB, "a part")
        process.send_signal(number)
        last = process.stdout.read()
        assert word in last and ("are kept, the next run goes on there" in last) == bool(word)
    assert process.returncode == status
    place.get(server.url)
    assert place.name.read_bytes() == image
    assert int(server.ranges[1].removeprefix("bytes=").removesuffix("-")) > MIB


def test_two_that_want_it_fetch_it_once(place, server, image, tmp_path):
    server.faults = [lambda handler: handler.image(pause=0.02)]
    other = Place(tmp_path)
    other.data = tmp_path / "other"
    with place.start(server.url) as process:
        wait_until((place.state / "nixos.iso.part").exists, "a part")
        lines = other.get(server.url)
        process.stdout.read()
    assert process.returncode == 0 and len(server.ranges) == 1
    assert any("another dxvm is fetching nixos.iso: waiting for it" in line for line in lines)
    assert place.name.read_bytes() == image


def test_a_cut_file_of_another_tool_is_completed(place, server, image):
    place.state.mkdir()
    place.name.write_bytes(image[:3 * MIB])
    lines = place.get(server.url)
    assert any("not complete or not the right file" in line for line in lines)
    assert place.name.read_bytes() == image and server.ranges == [f"bytes={3 * MIB}-"]


def test_without_a_network(place, server):
    assert "--offline: run it once without, or give --iso FILE" in place.refused(server.url, "--offline")
    place.get(server.url)
    server.shutdown()
    server.server_close()
    place.get(server.url, "--offline")
    assert any("which was fetched before" in line for line in place.get(server.url))


def test_a_proxy_of_the_environment_is_used(place, server):
    place.environment = {"http_proxy": server.url.removesuffix("/nixos.iso")}
    place.get("http://nowhere.invalid/nixos.iso")


# -- https --

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of a server at 127.0.0.1, and its key, in a file; signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=dxvm test", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", folder / "key", "-out", folder / "certificate"], check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "certificate").read_bytes() + (folder / "key").read_bytes())
    return folder / "both"


@pytest.fixture
def safe_server(image, certificate):
    """One that speaks https."""
    made = Server(image, certificate)
    yield made
    made.shutdown()
    made.server_close()


def test_a_server_that_nobody_vouches_for_is_refused(place, safe_server):
    assert "name their file in CURL_CA_BUNDLE" in place.refused(safe_server.url)
    assert not safe_server.ranges


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE"])
def test_certificates_of_the_environment_are_believed(place, safe_server, certificate, name):
    place.environment = {name: str(certificate)}
    place.get(safe_server.url)


def test_a_certificate_is_for_its_server_only(place, safe_server, certificate):
    place.environment = {"CURL_CA_BUNDLE": str(certificate)}
    assert "name their file in CURL_CA_BUNDLE" in place.refused(safe_server.url.replace("127.0.0.1", "localhost"))


def test_certificates_that_are_not_there(place, safe_server):
    place.environment = {"CURL_CA_BUNDLE": "/nowhere"}
    assert "no certificates can be read from /nowhere" in place.refused(safe_server.url)


def test_https_does_not_lead_to_http(place, safe_server, server, certificate):
    place.environment = {"CURL_CA_BUNDLE": str(certificate)}
    safe_server.faults = [lambda handler: handler.answer(302, Location=server.url)]
    assert "refused, because that is not https" in place.refused(safe_server.url)
    assert not server.ranges


def test_https_goes_through_a_proxy_of_the_environment(place, safe_server, server, certificate):
    proxy = server.url.removesuffix("/nixos.iso")
    place.environment = {"CURL_CA_BUNDLE": str(certificate), "https_proxy": proxy}
    place.get(safe_server.url)
    assert set(server.tunnels) == {f"127.0.0.1:{safe_server.server_port}"} and not server.ranges
    before = len(server.tunnels)
    place.environment["no_proxy"] = "127.0.0.1"
    shutil.rmtree(place.state)
    place.get(safe_server.url)
    assert len(server.tunnels) == before


# -- what an image may be --

def test_an_image_cut_short(place, tmp_path, image):
    (tmp_path / "cut.iso").write_bytes(image[:3 * MIB])
    assert "the ISO image is cut short" in place.refused("", "--iso", tmp_path / "cut.iso")


def test_something_else(place, tmp_path):
    (tmp_path / "page.iso").write_text("<html>" * 10000)
    assert "this is no ISO image" in place.refused("", "--iso", tmp_path / "page.iso")


@pytest.mark.parametrize("grub, missing, words",
                         [(GRUB, ["boot/kernel"], "names boot/kernel, which is not there"),
                          (GRUB, ["EFI/BOOT/grub.cfg"], "neither EFI/BOOT/grub.cfg nor"),
                          ("", [], "no entry with a kernel and an initrd"),
                          (GRUB.replace("/boot/kernel", "/../../etc/passwd"), [], "leads out of the image"),
                          (GRUB + "#" * (2 * MIB), [], "grub.cfg is larger than 1048576 bytes")],
                         ids=["no kernel", "no menu", "an empty menu", "a path outside", "a huge menu"])
def test_an_image_that_is_no_installer(place, tmp_path, grub, missing, words):
    iso = make_iso(tmp_path, grub, "odd.iso", missing)
    assert words in place.refused("", "--iso", iso)
