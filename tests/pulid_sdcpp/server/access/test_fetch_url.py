"""Fetching from allowed hosts: a server of our own, reached as if it were a public one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pulid_sdcpp.server.access.fetch_url import UrlFetcher, checked_host, is_public_address
from pulid_sdcpp.server.errors import ApiError

HOST = "images.example.org"
PUBLIC = "93.184.215.14"
CONTENT = b"a picture" * 100
MOST = len(CONTENT)
OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for HOST, with its key, that signs itself."""
    if OPENSSL is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "host.pem"
    made = subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
         "-keyout", path.with_suffix(".key"), "-out", path],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("this openssl makes no such certificate")
    return path


class Site:
    """A server that gives one answer to whoever comes.

    Attributes:
        port: Where it listens, on this computer only.
        answer: What it does with a connection, once the request has come.
        requests: What it was asked.
        connections: How many came.
    """

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.answer: Callable[[ssl.SSLSocket], None] = lambda link: link.sendall(whole(CONTENT))
        self.requests: list[bytes] = []
        self.connections = 0
        self.trusted = ssl.create_default_context(cafile=str(certificate))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            self.connections += 1
            with plain, contextlib.suppress(OSError):
                plain.settimeout(5)
                if plain.recv(1, socket.MSG_PEEK) == b"!":
                    return
                with self._context.wrap_socket(plain, server_side=True) as link:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += link.recv(4096)
                    self.requests.append(request)
                    self.answer(link)
                    with contextlib.suppress(OSError):
                        link.unwrap()

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            link.sendall(b"!")
        self._thread.join()
        self._listener.close()


@pytest.fixture
def site(certificate: Path) -> Iterator[Site]:
    site = Site(certificate)
    yield site
    site.close()


def whole(content: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


class Net:
    """Names and connections of one fetch: every address leads to the site.

    Attributes:
        addresses: What names resolve to, each time anew.
        asked: Names that were resolved.
        connected: Addresses that were connected to.
    """

    def __init__(self, site: Site, *addresses: str) -> None:
        self._site = site
        self.addresses = list(addresses or (PUBLIC,))
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.dead: set[str] = set()

    def resolve(self, host: str) -> list[str]:
        self.asked.append(host)
        return self.addresses

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.connected.append(address)
        if address[0] in self.dead:
            raise OSError("unreachable")
        return socket.create_connection(("127.0.0.1", self._site.port), timeout)

    def fetch(self, url: str, time_s: float = 5) -> bytes:
        fetcher = UrlFetcher(
            [HOST],
            max_bytes=MOST,
            time_s=time_s,
            resolve=self.resolve,
            connect=self.connect,
            context=self._site.trusted,
        )
        return fetcher(url, "photo")

    def code_of(self, url: str = f"https://{HOST}/a", time_s: float = 5) -> str:
        with pytest.raises(ApiError) as caught:
            self.fetch(url, time_s)
        assert caught.value.param == "photo"
        assert caught.value.message.startswith("photo: ")
        assert "\n" not in caught.value.message
        assert not any(address in caught.value.message for address in self.addresses)
        return caught.value.code


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"https://{HOST}", "/"),
        (f"https://{HOST}/", "/"),
        (f"https://{HOST}/a/b.png?x=1&y=%20", "/a/b.png?x=1&y=%20"),
        (f"https://{HOST}?x=1", "/?x=1"),
        (f"https://{HOST}:443/a#part", "/a"),
        (f"HTTPS://{HOST.upper()}/A", "/A"),
    ],
)
def test_a_file_of_an_allowed_host(site: Site, url: str, path: str) -> None:
    net = Net(site)
    assert net.fetch(url) == CONTENT
    assert net.asked == [HOST]  # once
    assert net.connected == [(PUBLIC, 443)]
    request = site.requests[0].decode().split("\r\n")
    assert request[0] == f"GET {path} HTTP/1.1"
    assert f"Host: {HOST}" in request
    assert not any(line.lower().startswith(("cookie", "authorization")) for line in request)


@pytest.mark.parametrize(
    "url",
    ["http://images.example.org/a", "https://example.org/a", "https://www.images.example.org/a",
     "https://images.example.org.evil.net/a", "https://evilimages.example.org/a",
     "https://images.example.org./a", "https://images.example.org:444/a",
     "https://images.example.org:80/", "https://images.example.org@evil.net/a",
     "https://user:key@images.example.org/a", "https://evil.net#@images.example.org/",
     "https://evil.net\\@images.example.org/", "https://images.example.org\\@evil.net/",
     "https:/images.example.org/a", "https:images.example.org/a", "//images.example.org/a",
     "https://images.example.org/a b", "https://images.example.org/\r\nHost: evil.net",
     "https://images.example.org/\n", "https://images.example.org /", "https://images.example.org/é",
     "https://images%2eexample.org/", "https://imag\u0435s.example.org/", "https:///a", "https://",
     "https://169.254.169.254/latest/meta-data/", "https://127.0.0.1/", "https://[::1]/",
     "https://2130706433/", "https://0x7f.1/", "https://localhost/", "file:///etc/passwd",
     "ftp://images.example.org/a", "https://images.example.org/" + "a" * 2000],
)  # fmt: skip
def test_other_addresses_are_not_even_resolved(site: Site, url: str) -> None:
    net = Net(site)
    assert net.code_of(url) == "url_not_allowed"
    assert (net.asked, net.connected) == ([], [])


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], [PUBLIC, "192.168.1.5"],
     ["fe80::1", PUBLIC], ["::ffff:127.0.0.1"]],
)  # fmt: skip
def test_a_host_with_a_private_address_is_not_connected_to(
    site: Site, addresses: list[str]
) -> None:
    net = Net(site, *addresses)
    assert net.code_of() == "url_not_allowed"
    assert net.connected == []


def test_a_name_that_changes_its_address_is_asked_once(site: Site) -> None:
    net = Net(site)
    first = net.resolve

    def rebinding(host: str) -> list[str]:
        found = list(first(host))
        net.addresses = ["127.0.0.1"]
        return found

    net.resolve = rebinding  # type: ignore[method-assign]
    assert net.fetch(f"https://{HOST}/a") == CONTENT
    assert net.connected == [(PUBLIC, 443)]


def test_the_next_address_is_tried(site: Site) -> None:
    net = Net(site, "2606:2800:21f:cb07::1", PUBLIC)
    net.dead = {"2606:2800:21f:cb07::1"}
    assert net.fetch(f"https://{HOST}/a") == CONTENT
    net.dead = set(net.addresses)
    assert net.code_of() == "bad_image"


def test_a_host_without_an_address(site: Site) -> None:
    net = Net(site)
    net.addresses = []
    assert net.code_of() == "bad_image"

    def unknown(host: str) -> list[str]:
        raise socket.gaierror(8, "not known")

    net.resolve = unknown  # type: ignore[method-assign]
    assert net.code_of() == "bad_image"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 T", "308 P"])
def test_redirects_are_not_followed(site: Site, status: str) -> None:
    site.answer = lambda link: link.sendall(whole(b"", status, f"Location: https://{HOST}/b"))
    net = Net(site)
    assert net.code_of() == "bad_image"
    assert len(net.connected) == site.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        whole(CONTENT, "404 Not Found"),
        whole(CONTENT, "206 Partial Content"),
        whole(b"", "204 No Content"),
        whole(b"", "500 Error"),
        whole(CONTENT, "200 OK", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
def test_other_answers_are_refused(site: Site, answer: bytes) -> None:
    site.answer = lambda link: link.sendall(answer)
    assert Net(site).code_of() == "bad_image"


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("how", ["length", "chunks", "end"])
def test_the_limit_is_to_the_byte(site: Site, how: str, more: int) -> None:
    content = b"x" * (MOST + more)
    answers = {
        "length": whole(content),
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content),
        "end": b"HTTP/1.1 200 OK\r\n\r\n" + content,
    }
    site.answer = lambda link: link.sendall(answers[how])
    if more <= 0:
        assert Net(site).fetch(f"https://{HOST}/a") == content
    else:
        assert Net(site).code_of() == "image_too_large"


def test_an_endless_file_is_cut_off(site: Site) -> None:
    sent = 0

    def endless(link: ssl.SSLSocket) -> None:
        nonlocal sent
        link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 1 << 30:
            link.sendall(b"x" * 65536)
            sent += 65536

    site.answer = endless
    assert Net(site).code_of() == "image_too_large"
    assert sent < 64 << 20


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", whole(CONTENT)[:60]])
def test_a_byte_at_a_time_has_an_end(site: Site, start: bytes) -> None:
    def drip(link: ssl.SSLSocket) -> None:
        link.sendall(start)
        for _ in range(100):
            link.sendall(b"x")
            time.sleep(0.05)

    site.answer = drip
    began = time.monotonic()
    assert Net(site).code_of(time_s=0.5) == "bad_image"
    assert time.monotonic() - began < 2


def test_silence_has_an_end(site: Site) -> None:
    gone = threading.Event()
    site.answer = lambda _: gone.wait(5) and None
    with pytest.raises(ApiError, match=r"more than 0\.3 s"):
        Net(site).fetch(f"https://{HOST}/a", time_s=0.3)
    gone.set()


def test_a_certificate_that_nobody_vouches_for(site: Site) -> None:
    net = Net(site)
    site.trusted = ssl.create_default_context()
    with pytest.raises(ApiError, match="no secure connection"):
        net.fetch(f"https://{HOST}/a")
    assert site.requests == []


def test_a_certificate_of_another_host(site: Site) -> None:
    net = Net(site)
    fetcher = UrlFetcher(
        ["other.example.org"], max_bytes=MOST, resolve=net.resolve, connect=net.connect,
        context=site.trusted,
    )  # fmt: skip
    with pytest.raises(ApiError, match="no secure connection"):
        fetcher("https://other.example.org/a", "photo")
    assert site.requests == []


PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fc00::1",
    "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::1",
    "2002:c0a8:101::", "", "localhost", "1.2.3", "0x7f.0.0.1", "2130706433", "127.0.0.1:80",
    "[::1]",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1",
                "64:ff9b::101:101"]
)  # fmt: skip
def test_addresses_that_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "host", ["images.example.org", "a.b", "x-1.example", "xn--bcher-kva.example"]
)
def test_hosts_that_can_be_allowed(host: str) -> None:
    assert checked_host(host.upper()) == host


@pytest.mark.parametrize(
    "host", ["", "localhost", "*.example.org", ".example.org", "example.org.", "example.org:443",
             "https://example.org", "example.org/a", "127.0.0.1", "::1", "[::1]", "a b.org",
             "bücher.example", "-a.example", "a-.example", "a..b", "x" * 64 + ".org", "a@b.org"]
)  # fmt: skip
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="full name of a host"):
        UrlFetcher([host], max_bytes=MOST)
