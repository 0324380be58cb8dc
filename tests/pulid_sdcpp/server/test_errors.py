"""Codes, their statuses, what of an exception a client is told, and in which shape."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path

import pytest

from pulid_sdcpp import errors
from pulid_sdcpp.errors import named, option_error
from pulid_sdcpp.identity.fusion import check_fusion
from pulid_sdcpp.server.engine.engine_errors import EngineCrashedError
from pulid_sdcpp.server.errors import (
    DEFECT,
    STATUSES,
    ApiError,
    api_error_of,
    body_of,
    headers_of,
    retry_after_s,
)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("invalid_value", 400, "invalid_request_error"),
        ("no_face", 400, "invalid_request_error"),
        ("does_not_fit", 400, "invalid_request_error"),
        ("unauthorized", 401, "authentication_error"),
        ("forbidden", 403, "permission_error"),
        ("identity_not_found", 404, "invalid_request_error"),
        ("expired", 410, "invalid_request_error"),
        ("too_large", 413, "invalid_request_error"),
        ("wrong_host", 421, "invalid_request_error"),
        ("unsupported", 422, "invalid_request_error"),
        ("queue_full", 429, "rate_limit_error"),
        ("cancelled", 499, "invalid_request_error"),
        ("defect", 500, "server_error"),
        ("extraction_unavailable", 501, "server_error"),
        ("shutting_down", 503, "server_error"),
        ("disk_full", 507, "server_error"),
    ],
)
def test_a_code_has_a_status_and_a_type(code: str, status: int, kind: str) -> None:
    error = ApiError(code, "what")
    assert (error.status, error.type, str(error)) == (status, kind, "what")


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        ApiError("no_such_code", "what")


def test_a_family_may_have_a_status_of_its_own() -> None:
    assert ApiError("unsupported", "no gif", status=400).status == 400


def test_bodies_are_as_each_family_reads_them() -> None:
    error = ApiError("no_face", "photo: no face was found", "photo")
    one = {
        "error": {
            "message": "photo: no face was found",
            "type": "invalid_request_error",
            "param": "photo",
            "code": "no_face",
        }
    }
    assert body_of(error, "openai") == body_of(error, "own") == one
    assert body_of(error, "sdcpp") == {
        "error": "no face",
        "message": "photo: no face was found",
        "code": "no_face",
        "param": "photo",
    }
    assert body_of(error, "sdapi") == {
        "error": "invalid_request_error",
        "detail": "photo: no face was found",
        "body": "",
        "errors": "no_face",
    }


@pytest.mark.parametrize("code", STATUSES)
def test_every_code_can_be_sent(code: str) -> None:
    error = ApiError(code, "what")
    for family in ("openai", "own", "sdcpp", "sdapi"):
        json.dumps(body_of(error, family))
        headers = headers_of(error, family)
        if error.status in (429, 503):
            assert headers["x-should-retry"] == "true"
            assert 1 <= int(headers["Retry-After"]) <= 120
        elif error.status in (409, 499, 500, 507):
            assert headers == {"x-should-retry": "false"}
        elif error.status != 401:
            assert headers == {}


def test_only_a1111_s_clients_are_asked_for_basic() -> None:
    error = ApiError("unauthorized", "a key is needed")
    assert headers_of(error, "sdapi")["WWW-Authenticate"].startswith("Basic ")
    for family in ("openai", "own", "sdcpp"):
        assert headers_of(error, family) == {"WWW-Authenticate": "Bearer"}


def test_an_error_s_own_headers_win() -> None:
    error = ApiError("queue_full", "full", headers={"Retry-After": "77"})
    assert headers_of(error, "own")["Retry-After"] == "77"


@pytest.mark.parametrize(
    ("picture_s", "waiting", "expected"),
    [(0, 0, 1), (0, 64, 1), (10, 0, 10), (10, 3, 30), (60, 64, 120), (0.2, 2, 1)],
)
def test_how_long_to_wait(picture_s: float, waiting: int, expected: int) -> None:
    assert retry_after_s(picture_s, waiting) == expected


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        (errors.FaceNotFoundError("a.jpg: no face found"), "no_face"),
        (errors.FaceNotThereError("a.jpg: face 3 was asked for"), "face_not_there"),
        (EngineCrashedError("the engine ended with signal 6"), "engine_crashed"),
        (errors.ImageFileError("a.jpg: not an image"), "bad_image"),
        (errors.IdentityFileError("a.pulidembd: damaged"), "bad_identity"),
        (errors.BatchFileError("line 1"), "invalid_value"),
        (errors.MemoryPlanError("needs 12 GiB; 8 GiB fit at 768x768"), "does_not_fit"),
        (errors.LicenseError("flux-dev: accept it first"), "forbidden"),
        (errors.DownloadError("no network"), "models_missing"),
        (errors.ModelFileError("flux is missing; run pulid-sdcpp pull"), "models_missing"),
        (errors.ModelMismatchError("depth 20 and 19"), "model_mismatch"),
        (errors.MissingDependencyError("install pulid-sdcpp[extract]"), "extraction_unavailable"),
        (errors.NativeLibraryError("not compiled"), "device"),
        (errors.DeviceError("cuda7 is not there"), "device"),
        (errors.OutputFileError("cannot write"), "disk_full"),
        (errors.OutputExistsError("it exists"), "name_taken"),
        (errors.GenerationCancelled("stopped"), "cancelled"),
        (errors.GenerationError("it failed", ["secret prompt"]), "generation_failed"),
    ],
)
def test_errors_of_the_package_say_what_they_say(exception: Exception, code: str) -> None:
    error = api_error_of(exception)
    assert (error.code, error.message, error.param) == (code, str(exception), None)


def test_every_error_of_the_package_is_known() -> None:
    for name in set(errors.__all__) - {"PulidError"}:
        assert api_error_of(getattr(errors, name)("what")).code != "defect", name


def test_an_option_s_error_names_the_field() -> None:
    error = api_error_of(option_error(f"{named('steps')} is 0; {named('cfg_scale')} is 1"))
    assert (error.code, error.param) == ("invalid_value", "steps")
    assert error.message == "steps is 0; cfg_scale is 1"


def test_a_plain_value_error_of_ours_is_the_caller_s() -> None:
    with pytest.raises(ValueError, match="fusion") as caught:
        check_fusion("sum")
    assert api_error_of(caught.value).code == "invalid_value"


@pytest.mark.parametrize(
    "exception",
    [
        ValueError("cannot reshape /srv/rose"),
        KeyError("x"),
        RuntimeError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        FileNotFoundError(errno.ENOENT, "no such file", "x"),
    ],
)
def test_of_anything_else_nothing_is_told(exception: Exception) -> None:
    try:
        raise exception
    except Exception as caught:
        error = api_error_of(caught)
    assert (error.code, error.message, error.status) == ("defect", DEFECT, 500)


def test_a_library_s_value_error_is_a_defect() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    assert api_error_of(caught.value).code == "defect"


def test_a_full_disk_is_one() -> None:
    assert api_error_of(OSError(errno.ENOSPC, "No space left", "/data/x")).code == "disk_full"


def test_an_api_error_stays_as_it_is() -> None:
    error = ApiError("in_use", "GET /pulid/v1/jobs names it")
    assert api_error_of(error) is error


def test_it_goes_to_another_process() -> None:
    error = ApiError("unsupported", "what", "size", {"Retry-After": "3"}, status=400)
    copy = pickle.loads(pickle.dumps(error))
    assert vars(copy) == vars(error)
    assert str(copy) == "what"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("cannot read /srv/data/server/a.png: damaged", "cannot read a.png: damaged"),
        ("/srv/models/flux.gguf: not a model", "flux.gguf: not a model"),
        ("'/srv/a b/flux.gguf' is missing", "'a b/flux.gguf' is missing"),
        (r"C:\models\flux.gguf: not a model", "flux.gguf: not a model"),
        (r"\\host\share\flux.gguf is missing", "flux.gguf is missing"),
        ("~/models/flux.gguf is missing", "flux.gguf is missing"),
        ("see https://example.org/a/b for it", "see https://example.org/a/b for it"),
        ("folder/flux.gguf: 1/2 of it", "folder/flux.gguf: 1/2 of it"),
        ("0.5 s/step", "0.5 s/step"),
        ("two\nlines", r"two\nlines"),
    ],
)
def test_folders_of_this_computer_are_not_told(message: str, told: str) -> None:
    assert api_error_of(errors.ModelFileError(message)).message == told


def test_the_user_s_own_folder_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "Rose Smith"
    monkeypatch.setattr(Path, "home", lambda: home)
    error = errors.ModelFileError(f"{home / 'models' / 'flux.gguf'}: not a model")
    assert api_error_of(error).message == "flux.gguf: not a model"
