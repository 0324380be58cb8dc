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


def use_torchvision_without_its_compiled_part() -> None:
    """Next to a CPU-only torch, which that part does not fit.

    The libraries need one operator of it.
    """
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):  # without which it cannot be imported
        torch.library.define(f"torchvision::{name}", boxes)
    torch.library.impl("torchvision::nms", "CPU", best_boxes)
    importlib.import_module("torchvision")
    extension = importlib.import_module("torchvision.extension")
    extension._has_ops = lambda: True  # of those that are left


def best_boxes(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Numbers of the boxes that no better one covers, the best first; (n, 4): two corners."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    left, kept = scores.argsort(descending=True, stable=True).tolist(), []
    while left:
        best, *others = left
        kept.append(best)
        low = torch.maximum(boxes[others, :2], boxes[best, :2])
        high = torch.minimum(boxes[others, 2:], boxes[best, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        share = common / (areas[others] + areas[best] - common)
        left = [other for other, one in zip(others, share, strict=True) if one <= iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)


@pytest.fixture(scope="session")
def library() -> Callable[[str], ModuleType]:
    """Import a library of the extra [reference].

    Without it the test is skipped, or fails where PULID_REQUIRE_REFERENCE=1 says that the
    extra is installed (as `make test-reference` does).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if "torchvision::nms does not exist" in str(error):
                use_torchvision_without_its_compiled_part()
        except ImportError:
            pass

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
