"""Compute devices, and which module of a model runs on which."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import DeviceError, named, option_error
from ..terminal_text import shown
from .library import last_error, library, pulid_device_t

__all__ = ["MODULES", "Device", "Placement", "devices", "find_device", "parse_backend"]

MODULES = ("diffusion", "clip", "vae")
"""Parts of a model that can be placed: the transformer, the text encoders, the autoencoder."""

DeviceKind = Literal["cpu", "gpu", "igpu", "accel"]
_KINDS: tuple[DeviceKind, ...] = ("cpu", "gpu", "igpu", "accel")  # enum ggml_backend_dev_type


@dataclass(frozen=True)
class Device:
    """One device that the compiled engine can compute on.

    Attributes:
        name: ggml's name: "CPU", "CUDA0", "Vulkan1", "MTL0".
        description: The product's name.
        kind: "cpu", "gpu", "igpu" (shares the computer's memory) or "accel".
        memory_free_bytes, memory_total_bytes: 0 if the driver does not say.
    """

    name: str
    description: str
    kind: DeviceKind
    memory_free_bytes: int
    memory_total_bytes: int

    @property
    def shares_ram(self) -> bool:
        """Whether its memory is a part of the computer's own: integrated graphics, Apple Silicon.

        ggml's Metal calls every device "gpu"; Intel Macs have cards with memory of their own.
        """
        is_metal = self.name.startswith(("MTL", "Metal"))
        return self.kind == "igpu" or (is_metal and self.description.startswith("Apple"))


@dataclass(frozen=True)
class Placement:
    """The device of each module by its full name; "" leaves it to the engine."""

    diffusion: str = ""
    clip: str = ""
    vae: str = ""


def devices() -> list[Device]:
    """List the devices, in the engine's order.

    Raises:
        NativeLibraryError: The compiled engine is missing.
        DeviceError: A driver failed.
    """
    engine = library()
    count = engine.pulid_device_count()
    if count < 0:
        raise DeviceError(f"the compute devices could not be listed: {last_error()}")
    found = []
    for index in range(count):
        device = pulid_device_t()
        if not engine.pulid_get_device(index, ctypes.byref(device)):
            raise DeviceError(f"compute device {index} could not be asked: {last_error()}")
        known = 0 <= device.type < len(_KINDS)
        kind: DeviceKind = _KINDS[device.type] if known else "accel"
        found.append(
            Device(
                device.name.decode(),
                device.description.decode(errors="replace"),
                kind,
                device.memory_free,
                device.memory_total,
            )
        )
    return found


def parse_backend(backend: str, available: Sequence[Device] | None = None) -> Placement:
    """Read "vulkan0" or "diffusion=vulkan0,vae=cpu".

    Args:
        backend: A device for everything, or MODULE=DEVICE pairs with commas between them;
            modules are `MODULES`, names as `find_device` takes them. "" is the engine's choice.
        available: The devices to choose from; None asks the engine.

    Raises:
        ValueError: Not of this form, an unknown module, or one named twice.
        DeviceError: An unknown device; the message lists those there are.
    """
    if not backend.strip():
        return Placement()
    choices = devices() if available is None else available
    if "=" not in backend:
        name = find_device(backend, choices).name
        return Placement(name, name, name)
    chosen: dict[str, str] = {}
    for part in backend.split(","):
        module, equals, device = (text.strip() for text in part.partition("="))
        module = module.lower()
        if not equals or module not in MODULES:
            raise option_error(
                f"{named('backend')} is {shown(backend)}, but {shown(part.strip())} is not "
                f"MODULE=DEVICE "
                f"with a module of {', '.join(MODULES)}"
            )
        if module in chosen:
            raise option_error(
                f"{named('backend')} is {shown(backend)}, which places {module} twice"
            )
        chosen[module] = find_device(device, choices).name
    return Placement(**chosen)


def find_device(name: str, available: Sequence[Device]) -> Device:
    """The device called `name`, upper or lower case; "vulkan" means "Vulkan0", "gpu" the first GPU.

    Raises:
        DeviceError: No such device; the message lists those there are.
    """
    wanted = name.strip().lower()
    by_name: Mapping[str, Device] = {device.name.lower(): device for device in available}
    found = by_name.get(wanted) or by_name.get(wanted + "0")
    if found is None and wanted == "gpu":
        found = next((device for device in available if device.kind in ("gpu", "igpu")), None)
    if found is None:
        there = ", ".join(f"{device.name} ({device.description})" for device in available)
        raise DeviceError(
            f"there is no compute device {shown(name.strip())}; there are: {there or 'none'}"
        )
    return found
