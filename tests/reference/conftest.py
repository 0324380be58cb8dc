"""Libraries of the extra [reference], and diffusers, and when their absence is a failure."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/reference/" in item.path.as_posix():
            item.add_marker(pytest.mark.reference)


@pytest.fixture(scope="session")
def library() -> Callable[[str], ModuleType]:
    """Import a library of the extra [reference].

    Without it the test is skipped, or fails where PULID_REQUIRE_REFERENCE=1 says that the
    extra is installed (as `make test-reference` does). Next to a CPU-only torch, torchvision
    is installed and cannot be imported: that counts as absent.
    """

    def load(name: str) -> ModuleType:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return importlib.import_module(name)
        except (ImportError, RuntimeError) as error:
            if os.environ.get("PULID_REQUIRE_REFERENCE") == "1":
                pytest.fail(f"{name} of the extra [reference] cannot be imported: {error}")
            pytest.skip(f"{name} of the extra [reference] cannot be imported: {error}")

    return load
