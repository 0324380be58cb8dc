"""A user's own preset, of two files on the tests' hub; one is under terms that must be accepted."""

from __future__ import annotations

from pathlib import Path

from hub_server import HubServer
from pulid_sdcpp.system.user_config import CONFIG_NAME

__all__ = ["CONFIG", "add_own_preset"]

CONFIG = """
[licenses.some-terms]
name = "Somebody's terms"
url = "https://example.org/terms"

[licenses.free]
name = "Free"
commercial = true

[files.flux]
role = "diffusion_model"
repository = "a/flux"
path = "flux.gguf"
license = "free"
about_bytes = 4

[files.eyes]
role = "eva"
repository = "a/eyes"
path = "eyes.pt"
license = "some-terms"
size_bytes = 6

[presets.mine]
what = "my own"
settings = { steps = 2 }
files.diffusion_model = "flux"
files.eva = "eyes"
"""


def add_own_preset(hub: HubServer, folder: Path) -> None:
    """Put the preset "mine" into the config file of a test's user, and its files onto the hub."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / CONFIG_NAME).write_text(CONFIG, encoding="utf-8")
    hub.add("a/flux/flux.gguf", b"flux")
    hub.add("a/eyes/eyes.pt", b"eyes!!")
