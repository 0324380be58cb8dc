"""Which devices have no memory of their own."""

from __future__ import annotations

import pytest

from pulid_sdcpp.native.devices import Device, DeviceKind


@pytest.mark.parametrize(
    ("name", "description", "kind", "shares"),
    [
        ("CUDA0", "NVIDIA GeForce RTX 3060", "gpu", False),
        ("Vulkan0", "AMD Radeon RX 7800 XT", "gpu", False),
        ("Vulkan0", "AMD Radeon 780M Graphics", "igpu", True),
        ("MTL0", "Apple M2 Pro", "gpu", True),
        ("Metal", "Apple M1", "gpu", True),
        ("MTL0", "AMD Radeon Pro 5500M", "gpu", False),  # in an Intel Mac
        ("CPU", "Apple M1", "cpu", False),
    ],
)
def test_integrated_graphics_share_the_computers_memory(
    name: str, description: str, kind: DeviceKind, shares: bool
) -> None:
    assert Device(name, description, kind, 1, 1).shares_ram is shares
