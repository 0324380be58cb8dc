"""`pulid-sdcpp serve`: what is refused before anything is listened at, how it starts and ends."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli import main
from pulid_sdcpp.server.access.access import KEY_VARIABLE, access_of
from pulid_sdcpp.server.endpoints.health_api import readiness
from pulid_sdcpp.server.given_settings import GivenSettings
from pulid_sdcpp.server.http import run_server as run_server_module
from pulid_sdcpp.server.http.run_server import HowToServe, _first_complete, run_server
from pulid_sdcpp.server.http.sockets import AddressInUseError, listening_sockets, url_of
from pulid_sdcpp.server.settings import ServerSettings
from pulid_sdcpp.store.presets import PresetInfo

from ..running import start_server

KEY = "k" * 20
PLAIN = "--no-page"


@pytest.mark.parametrize(
    ("url", "key", "who"),
    [
        ("", "", "no key; only this computer"),
        ("https://example.org/pulid", "", "no key: everybody at https://example.org"),
        ("https://example.org/pulid", KEY, "keys of 1 owner"),
    ],
)
def test_who_may_use_it_is_said_also_behind_a_proxy(url: str, key: str, who: str) -> None:
    access = access_of(ServerSettings(public_url=url), {KEY_VARIABLE: key})
    assert run_server_module._who(access) == who


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--host", "0.0.0.0"], "--api-key-file"),
        (["--host", "::"], "needs a key"),
        (["--host", "no.such.host.invalid"], "--host"),
        (["--port", "70000"], "--port is 70000"),
        (["--port", "1", "--port", "1"], "twice"),
        (["--cors-origin", "example.org"], "--cors-origin"),
        (["--preset", "pocke"], "did you mean pocket?"),
        (["--threads", "100000"], "--threads"),
        (["--diffusion-model", "no-such.gguf"], "--diffusion-model: there is no file"),
        (["--preset", "pocket", "--vae", "no-such.gguf"], "--vae: there is no file"),
        (["--api-key-file", "no-such-file"], "no-such-file"),
        (["--max-steps", "0"], "--max-steps"),
        (["--prompt", "x"], "No such option"),
    ],
)
def test_a_wrong_setting_ends_it_before_it_listens(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "listen", lambda *_: pytest.fail("it listens"))
    called = CliRunner().invoke(main, ["serve", "--data-dir", str(tmp_path), PLAIN, *flags])
    assert called.exit_code == 2
    assert message in called.output
    assert len(called.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_from_the_start_to_the_end_and_on_again(tmp_path: Path) -> None:
    body = {"prompt": "a portrait", "seed": 7, "sample_params": {"sample_steps": 12}}
    # Two ports, one of them given by `start_server`.
    server = start_server(tmp_path, PLAIN, "--port", "0", key=KEY)
    try:
        urls = sorted(set(line_with(server.log, "listens at").split(" at ")[1].split(", ")))
        assert len(urls) == 2
        for url in urls:
            assert httpx.get(f"{url}/health").json()["server"] == "pulid-sdcpp"
            assert httpx.get(f"{url}/ready").status_code == 401
        assert "keys of 1 owner" in server.log
        for flags, message in (
            (["--port", "0", "--data-dir", str(server.data)], "another server uses"),
            (["--port", str(server.port), "--data-dir", str(tmp_path / "2")], str(server.port)),
        ):
            called = CliRunner().invoke(main, ["serve", PLAIN, *flags])
            assert (called.exit_code, message in called.output) == (1, True)

        # A running picture comes to its end, and others wait for the next start.
        with server.client() as http:
            jobs = [http.post("/sdcpp/v1/img_gen", json=body).json()["id"] for _ in range(2)]
            wait_for_status(http, jobs[0], "generating")
            server.process.send_signal(signal.SIGTERM)
            while http.get("/ready").status_code == 200:
                time.sleep(0.02)
            assert http.get("/ready").json()["status"] == "draining"
            told = http.post("/sdcpp/v1/img_gen", json=body)
            assert (told.status_code, told.json()["code"]) == (503, "shutting_down")
        assert server.process.wait(60) == 0
        # Nothing is said but a line for each request, and what the engine warns of.
        lines = [line for line in server.log.splitlines()[3:] if "conditioner" not in line]
        assert all(" info: GET " in line or " info: POST " in line for line in lines)

        server = start_server(tmp_path, PLAIN, key=KEY)
        with server.client() as http:
            found = {job["id"]: job for job in http.get("/sdcpp/v1/jobs").json()["jobs"]}
            assert found[jobs[0]]["status"] == "completed"
            wait_for_status(http, jobs[1], "completed")
            body["sample_params"] = {"sample_steps": 150}
            job = http.post("/sdcpp/v1/img_gen", json=body).json()["id"]
            wait_for_status(http, job, "generating")
        # Ctrl-C twice: at once.
        begin = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 130
        assert time.monotonic() - begin < 20
        assert "Traceback" not in server.log
    finally:
        server.kill()


def test_settings_of_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(config))
    (config / "config.toml").write_text('[server]\nhost = "0.0.0.0"\n')
    called = CliRunner().invoke(main, ["serve", PLAIN])
    assert called.exit_code == 2
    assert "needs a key" in called.output
    (config / "config.toml").write_text("[server]\nhots = 1\n")
    called = CliRunner().invoke(main, ["serve", PLAIN])
    assert called.exit_code == 2
    assert "hots is unknown, did you mean host?" in called.output.replace("; did", ", did")


def test_sockets() -> None:
    with listening_sockets(["127.0.0.1"], [0, 0]) as found:
        ports = [one.getsockname()[1] for one in found]
        assert len(set(ports)) == 2
        assert url_of(found[0]) == f"http://127.0.0.1:{ports[0]}"
        with (
            pytest.raises(AddressInUseError, match=f"port {ports[0]}"),
            listening_sockets(["127.0.0.1"], [ports[0]]),
        ):
            pass
    with listening_sockets(["0.0.0.0"], [0]) as found:
        assert url_of(found[0]).startswith("http://127.0.0.1:")


def line_with(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)


def wait_for_status(http: httpx.Client, job: str, status: str) -> None:
    deadline = time.monotonic() + 60
    while (now := http.get(f"/sdcpp/v1/jobs/{job}").json()["status"]) != status:
        assert now in ("queued", "generating"), now
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_in_this_process_with_a_page(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    keys.chmod(0o600)
    said: list[str] = []
    got: dict[str, httpx.Response] = {}
    browser = {"Accept": "text/html,*/*"}

    def when_listening(app: Any, url: str) -> None:
        def ask() -> None:
            try:
                got["page"] = httpx.get(f"{url}/?view=people", headers=browser)
                got["api"] = httpx.get(f"{url}/pulid/v1/status", headers=browser)
                got["ready"] = httpx.get(f"{url}/ready", headers={"X-Api-Key": KEY})
                link = app.state.auth.new_link(time.monotonic())
                got["link"] = httpx.get(f"{url}/ui/login?link={link}")
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=ask).start()

    before = signal.getsignal(signal.SIGTERM)
    settings = ServerSettings(
        data_dir=tmp_path, port=(0,), engine="inline", api_key_file=str(keys), log_format="json"
    )
    how = HowToServe(
        mount=lambda app, service: None, say=said.append, when_listening=when_listening
    )
    assert run_server(GivenSettings(settings), how) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert (got["page"].status_code, got["api"].status_code) == (303, 401)
    assert got["page"].headers["location"] == "/ui/login?next=/%3Fview%3Dpeople"
    assert got["ready"].json() == {"status": "ready"}
    assert "pulid_session=" in got["link"].headers["set-cookie"]
    # None was named, and the files of no other are here.
    assert said[1] == "model: pocket"


def test_who_names_no_model_gets_one_of_his_own_before_those_of_the_package() -> None:
    def preset(name: str, **about: Any) -> PresetInfo:
        return PresetInfo(name, "what", "for whom", {}, 0, about.pop("missing", {}), (), **about)

    packaged = [preset("pocket", packaged=True), preset("pocket-sdxl", packaged=True)]
    own = preset("mine")  # whose files' sizes are not known
    assert _first_complete([*packaged, own]) == "mine"
    assert _first_complete([*packaged, preset("mine", missing={"a": 1})]) == "pocket"


def test_a_model_by_its_files_is_called_as_its_file(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("access"):
            raise StopError

    settings = ServerSettings(data_dir=tmp_path, port=(0,), engine="inline")
    (tmp_path / "my-flux.gguf").touch()
    context = {"model_path": tmp_path / "my-flux.gguf", "n_threads": 2}
    with pytest.raises(StopError):
        run_server(GivenSettings(settings, context=context), HowToServe(say=say))
    assert said[1] == "model: my-flux"
    with pytest.raises(ValueError, match="sampler_rng_type"):
        run_server(
            GivenSettings(settings, context={**context, "sampler_rng_type": "dice"}),
            HowToServe(say=say),
        )


@pytest.mark.parametrize(
    ("is_loaded", "is_stopping", "is_complete", "status"),
    [(False, True, True, "starting"), (True, True, False, "draining"),
     (True, False, False, "models_missing"), (True, False, True, "ready")],
)  # fmt: skip
def test_readiness(is_loaded: bool, is_stopping: bool, is_complete: bool, status: str) -> None:
    service: Any = SimpleNamespace(
        book=SimpleNamespace(is_loaded=is_loaded),
        is_stopping=is_stopping,
        models=SimpleNamespace(default="x", is_complete=lambda name: is_complete),
    )
    assert readiness(service) == status


@pytest.mark.parametrize(
    ("missing", "flags", "extra"),
    [("uvicorn", [], "[server]"), ("gradio", ["--page"], "[ui]"), ("gradio", [], "")],
)
def test_an_extra_that_is_not_installed_is_named(
    missing: str, flags: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == missing else found(name, *a)
    )
    monkeypatch.setattr(run_server_module, "run_server", lambda given, how: 7)
    called = CliRunner().invoke(main, ["serve", "--data-dir", str(tmp_path), *flags])
    assert called.exit_code == (1 if extra else 7)
    assert extra in called.output
