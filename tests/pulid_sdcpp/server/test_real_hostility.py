"""What somebody sends who means ill, or has a defect, to the real server over a real connection.

The pure rules have tests of their own, with more cases; here each kind goes the whole way. Each
test prints how many requests it sent, and each is answered with an error of the family, never with
a 5xx, and the server goes on.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulid_sdcpp.pocket.pack import pocket_files

from .bodies.test_safe_names import PATHS
from .picture_drafts import file_of, noise, png_of_size
from .running import RunningServer, running_server
from .test_hostile_pictures import BOMBS, NO_PICTURES

pytestmark = [pytest.mark.engine, pytest.mark.server]
MIB = 1 << 20
FAMILIES = {
    "/v1/images/generations": "openai",
    "/sdapi/v1/txt2img": "sdapi",
    "/sdcpp/v1/img_gen": "sdcpp",
}
JSON = {"Content-Type": "application/json"}
SMALL = {"prompt": "a", "steps": 1, "seed": 1}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With the smallest limits that there are, and every message in its log."""
    folder = tmp_path_factory.mktemp("narrow")
    with running_server(folder, "--max-body-mib", "1", "--log-format", "json") as server:
        yield server


def code_of(answer: httpx.Response) -> str:
    """The code in any family's error."""
    found = answer.json()
    error = found.get("error")
    return str(error["code"] if isinstance(error, dict) else found.get("code", found.get("errors")))


def refused(answer: httpx.Response, statuses: set[int], codes: set[str] | None = None) -> None:
    assert answer.status_code in statuses, answer.text[:500]
    if codes is not None:
        assert code_of(answer) in codes, answer.text[:500]
    assert "Traceback" not in answer.text
    assert str(Path.home()) not in answer.text


def is_alive(server: RunningServer) -> None:
    assert httpx.get(f"{server.url}/health", timeout=10).status_code == 200
    assert "Traceback" not in server.log, server.log[-3000:]


@pytest.mark.parametrize("path", FAMILIES)
def test_the_limit_of_a_body_is_to_the_byte(narrow: RunningServer, path: str) -> None:
    sent = 0
    with narrow.client() as client:
        for length, is_chunked in [(n, c) for n in (-1, 0, 1) for c in (False, True)]:
            # A prompt that is too long: a body that is not too large is refused for that.
            body = json.dumps({**SMALL, "prompt": "a" * MIB}).encode()[: MIB + length - 2] + b'"}'
            content: Any = iter([body[:1000], body[1000:]]) if is_chunked else body
            answer = client.post(path, content=content, headers=JSON)
            refused(answer, {413} if length > 0 else {400})
            sent += 1
    print(f"{path}: {sent} bodies at the limit")
    is_alive(narrow)


def test_a_length_over_the_limit_is_refused_before_the_body_comes(narrow: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=10) as connection:
        connection.sendall(
            b"POST /sdcpp/v1/img_gen HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096).partition(b"\r\n")[0]


BAD_JSON: dict[str, bytes] = {
    "NaN": b'{"prompt": "a", "strength": NaN}',
    "infinity": b'{"prompt": "a", "strength": -Infinity}',
    "1e999": b'{"prompt": "a", "strength": 1e999}',
    "a key twice": b'{"prompt": "a", "prompt": "b"}',
    "deep": b'{"prompt": ' + b"[" * 100 + b"]" * 100 + b"}",
    "10 MB of [": b"[" * 10_000_000,
    "10 MB of {": b'{"a":' * 2_000_000,
    "half a text": b'{"prompt": "',
    "UTF-16": '{"prompt": "a"}'.encode("utf-16"),
    "no UTF-8": b'{"prompt": "\xff"}',
    "half a character": b'{"prompt": "\\ud800"}',
    "a list": b"[]",
    "a number": b"1",
    "a number of 1 MB": b'{"prompt": "a", "seed": ' + b"1" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("path", FAMILIES)
def test_what_is_no_json(server: RunningServer, path: str) -> None:
    with server.client() as client:
        for content in BAD_JSON.values():
            answer = client.post(path, content=content, headers=JSON)
            refused(answer, {400}, {"bad_json", "invalid_value"})
    print(f"{path}: {len(BAD_JSON)} bodies that are no JSON")
    is_alive(server)


@pytest.mark.parametrize("path", FAMILIES)
def test_pictures_that_are_bombs_or_none(server: RunningServer, path: str) -> None:
    sent = 0
    with server.client() as client:
        for make, codes in [*BOMBS.values(), *((made, None) for made, _ in NO_PICTURES.values())]:
            value = make() if callable(make) else make
            if not isinstance(value, bytes):
                continue
            text = base64.b64encode(value).decode("ascii")
            field = {"init_image": text} if "sdapi" not in path else {"photo": text}
            begin = time.monotonic()
            answer = client.post(path, json={**SMALL, **field})
            refused(answer, {400}, codes or {"bad_image", "image_too_large"})
            assert time.monotonic() - begin < 10
            sent += 1
        for text in ("%%%", "data:text/html;base64,PGI+", "data:image/png;base64,", "a" * 1001):
            refused(client.post(path, json={**SMALL, "photo": text}), {400})
            sent += 1
    print(f"{path}: {sent} pictures that are bombs, or none")
    is_alive(server)


ADDRESSES = [
    "http://169.254.169.254/latest/meta-data/", "https://127.0.0.1/a.png", "http://localhost:1/",
    "file:///etc/passwd", "ftp://127.0.0.1/a.png", "gopher://127.0.0.1:1/", "//127.0.0.1/a.png",
    "https://example.org/a.png", "HTTP://[::1]/a.png", "https://example.org@127.0.0.1/a.png",
]  # fmt: skip


@pytest.mark.parametrize("path", FAMILIES)
def test_no_address_is_asked_for_a_picture(server: RunningServer, path: str) -> None:
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        own = f"http://127.0.0.1:{trap.getsockname()[1]}/a.png"
        with server.client() as client:
            for address in [*ADDRESSES, own]:
                for field in ("photo", "init_image"):
                    if "sdapi" in path and field == "init_image":
                        continue
                    answer = client.post(path, json={**SMALL, field: address})
                    refused(answer, {400}, {"url_not_allowed", "bad_base64", "bad_image"})
        with pytest.raises(BlockingIOError):
            trap.accept()
    print(f"{path}: {len(ADDRESSES) + 1} addresses")


@pytest.mark.parametrize("path", FAMILIES)
def test_no_name_is_a_path(server: RunningServer, path: str) -> None:
    sent = 0
    names = [name for name in PATHS if name and "\ud800" not in name]
    with server.client() as client:
        for name in names:
            for field in ({"identity": name}, {"lora": [{"path": name}]}, {"model": name}):
                if "sdapi" in path and "model" in field:
                    field = {"override_settings": {"sd_model_checkpoint": name}}
                answer = client.post(path, json={**SMALL, **field})
                if "lora" in field and "sdapi" in path:
                    assert answer.status_code in (200, 400), answer.text
                else:
                    refused(answer, {400, 404})
                sent += 1
        for name in names:
            quoted = "".join(f"%{byte:02x}" for byte in name.encode())
            for place in ("sdcpp/v1/jobs/", "pulid/v1/pictures/", "pulid/v1/identities/"):
                # 405: with its slashes it may be the path of a route for another method.
                refused(client.get(f"/{place}{quoted}"), {400, 404, 405})
                sent += 1
    print(f"{path}: {sent} names that are paths")
    is_alive(server)


def test_other_hosts_and_pages_of_other_sites(server: RunningServer) -> None:
    sent = 0
    with server.client() as client:
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::",
                     "192.168.1.5", "169.254.169.254", "localhost@evil.example"):  # fmt: skip
            for path in ("/health", "/v1/models", "/"):
                refused(client.get(path, headers={"Host": host}), {400, 421})
                sent += 1
        for origin in ("https://evil.example", "null", f"{server.url}.evil.example",
                       "http://localhost:1", "file://", "chrome-extension://abc"):  # fmt: skip
            for method, path in (
                ("GET", "/v1/models"),
                ("POST", "/sdcpp/v1/img_gen"),
                ("POST", "/sdapi/v1/interrupt"),
                ("OPTIONS", "/v1/models"),
            ):
                answer = client.request(method, path, headers={"Origin": origin, **JSON})
                refused(answer, {403})
                assert "access-control-allow-origin" not in answer.headers
                sent += 1
        # What any page can send without asking: a form, and a text.
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            headers = {"Content-Type": kind}
            answer = client.post("/sdcpp/v1/img_gen", content=json.dumps(SMALL), headers=headers)
            refused(answer, {415}, {"wrong_type"})
            sent += 1
    print(f"{sent} requests under other names, and of other sites")


BAD_HEADS = [
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0" * 100,
    b"\r\n" * 100,
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"
    b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip


def test_heads_that_are_none(server: RunningServer) -> None:
    for head in BAD_HEADS:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.settimeout(1)
            try:
                connection.sendall(head)
                answer = connection.recv(4096)
            except (TimeoutError, ConnectionError):  # it waits for the rest, or hung up
                continue
            first = answer.partition(b"\r\n")[0]
            assert not answer or re.search(rb" 4\d\d ", first), (head[:80], first)
    print(f"{len(BAD_HEADS)} heads that are none")
    is_alive(server)


def test_many_slow_clients_keep_nobody_out(server: RunningServer) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        begin = time.monotonic()
        is_alive(server)
        assert time.monotonic() - begin < 5
    finally:
        for connection in slow:
            connection.close()


def test_no_log_and_no_metric_has_what_a_client_sent(narrow: RunningServer, tmp_path: Path) -> None:
    """Prompts, names, photos, keys, and the folders of this computer."""
    photo = pocket_files().portraits[1].read_bytes()
    text = base64.b64encode(photo).decode("ascii")
    secret = "sEcReT-0123456789-kEy"
    with narrow.client(headers={"Authorization": f"Bearer {secret}"}) as client:
        client.post("/pulid/v1/identities", json={"photos": [text], "name": "Quenya"})
        body = {**SMALL, "prompt": "a xylophone", "title": "Ziggurat"}
        for path in FAMILIES:
            client.post(path, json={**body, "photo": text})
            client.post(path, json={**body, "identity": "Quenya"})
            client.post(f"{path}?token={secret}", json={**body, "identity": "Nobodyatall"})
            client.post(path, json={**body, "photo": base64.b64encode(b"no picture").decode()})
        metrics = client.get("/metrics").text
        status = client.get("/pulid/v1/status").text
    written = narrow.log + metrics + status
    for word in ("xylophone", "Ziggurat", "Quenya", "Nobodyatall", secret, text[:40], text[-40:]):
        assert word not in written, word
    for answer in (metrics, status):
        assert str(narrow.data) not in answer
    lines = [line for line in narrow.log.splitlines() if line.startswith("{")]
    requests = [fields for line in lines if "route" in (fields := json.loads(line))]
    assert any(
        (one["method"], one["route"], one["status"]) == ("POST", "/sdcpp/v1/img_gen", 400)
        for one in requests
    ), lines[:3]


def test_a_picture_at_the_limit_of_its_file(server: RunningServer) -> None:
    picture = file_of(noise(64, 48))
    with server.client() as client:
        for length in (-1, 0, 1):
            content = picture + b"\0" * (16 * MIB + length - len(picture))
            files = {"photo": ("a.png", content, "image/png")}
            answer = client.post("/pulid/v1/faces", files=files)
            if length > 0:
                refused(answer, {400}, {"image_too_large"})
            else:
                assert answer.status_code == 200, answer.text
        answer = client.post(
            "/pulid/v1/faces", files={"photo": png_of_size(60_000, 60_000, rows=1)}
        )
        refused(answer, {400}, {"image_too_large"})
