"""Words for devices and types."""

from __future__ import annotations

import pytest
import torch

from pulid_extractor.compute import resolve_device, resolve_dtype
from pulid_sdcpp.errors import DeviceError

CPU = torch.device("cpu")


def test_fp16_on_the_cpu_and_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="'fp16' is not offered on the CPU"):
        resolve_dtype("fp16", CPU)
    with pytest.raises(ValueError, match="'int8': expected auto, fp32, bf16, fp16"):
        resolve_dtype("int8", CPU)
    assert resolve_dtype("auto", CPU) == torch.float32
    assert resolve_dtype("fp16", torch.device("mps")) == torch.float16


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", "", "meta", "mps:1"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected auto, cpu, cuda, cuda:N or mps"):
        resolve_device(name)


def test_absent_devices_are_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=f"'{name}' is not available; there is: cpu"):
            resolve_device(name)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda")
    with pytest.raises(DeviceError, match="there is: cuda, cuda:0, cpu"):
        resolve_device("cuda:1")
