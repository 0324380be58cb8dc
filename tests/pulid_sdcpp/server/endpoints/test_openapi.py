"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.options.facts import of
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.server.endpoints.body_schemas import body_schemas, schema_of_fact
from pulid_sdcpp.server.request.aliases import PLACES
from served import run_served


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def test(client: Any, service: Any) -> None:
        got = await client.get("/openapi.json")
        assert got.status_code == 200
        found.update(got.json())

    run_served(tmp_path_factory.mktemp("openapi"), test)
    return found


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r"#/components/schemas/\w+", str(document)))
    schemas = document["components"]["schemas"]
    assert {one.rpartition("/")[2] for one in references} <= set(schemas)
    assert {"PictureRequest", "Person", "Error", "SdcppError", "A1111Error"} <= set(schemas)


def test_each_operation_says_its_errors_its_key_and_its_body(document: dict[str, Any]) -> None:
    errors = {"sdapi": "A1111Error", "sdcpp": "SdcppError"}
    for path, operations in document["paths"].items():
        family = path.split("/")[1]
        for method, operation in operations.items():
            where = f"{method} {path}"
            error = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert error["$ref"].endswith(errors.get(family, "/Error")), where
            assert "422" not in operation["responses"], where
            is_open = where in ("get /health", "post /ui/login")
            assert ("security" in operation) is not is_open, where
            assert ("requestBody" in operation) is (method in ("post", "patch")), where
            assert operation["tags"], where
    for path in ("/sdcpp/v1/img_gen", "/v1/images/generations", "/v1/images/edits"):
        body = document["paths"][path]["post"]["requestBody"]
        assert set(body["content"]) == {"application/json", "multipart/form-data"}, path


def test_a_body_has_all_options_where_they_belong() -> None:
    properties = body_schemas()["PictureRequest"]["properties"]
    for place in PLACES.values():
        inner = properties
        *groups, last = place.split(".")
        for group in groups:
            inner = inner[group]["properties"]
        assert inner[last]["description"], place
    steps = properties["sample_params"]["properties"]["sample_steps"]
    assert (steps["type"], steps["minimum"]) == ("integer", 1)
    assert "default" not in steps  # the preset's
    assert properties["output_format"]["enum"] == ["png", "jpeg", "webp"]
    assert body_schemas()["Person"]["additionalProperties"] is False


def test_ranges_are_those_of_the_facts() -> None:
    for fact in of(GenerationOptions).values():
        schema = schema_of_fact(fact)
        for key, value in (("minimum", fact.low), ("maximum", fact.high)):
            if key in schema and fact.kind != "step":
                assert schema[key] == value
        if fact.choices:
            assert schema["enum"] == list(fact.choices)


def test_the_docs_need_no_other_host(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert "http" not in page.text
        addresses = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assert len(addresses) == 3
        for address in addresses:
            got = await client.get(address)
            assert got.status_code == 200, address
            assert address.startswith("/pre/docs/")
        assert (await client.get("/docs/redoc.standalone.js")).status_code == 404
        assert (await client.get("/docs/..%2f__init__.py")).status_code == 404

    run_served(tmp_path, test, root_path="/pre")
