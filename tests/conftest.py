"""What all tests share: an isolated user, the stand-in weights, and when to skip."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from hub_server import HubServer, hub_of_a_user
from own_preset import add_own_preset
from pulid_sdcpp import Identity, PulidError, StableDiffusion, devices
from pulid_sdcpp.native.library import binding
from standin import make_sdxl_standin_weights, make_standin_weights
from standin.sdxl_pulid import SDXL_ID_DIM

# A machine that is meant to have them sets these, so that a broken build fails instead of
# skipping everything: `make test` sets the first, .ci/run both.
REQUIRE_ENGINE = os.environ.get("PULID_REQUIRE_ENGINE") == "1"
REQUIRE_VULKAN = os.environ.get("PULID_REQUIRE_VULKAN") == "1"

# How long an example takes says how busy the computer is, and nothing of the code.
settings.register_profile(
    "any computer", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any computer")

# Where alone Makefile and .ci/run look for these, as collecting all tests takes half a minute.
PLACES = {
    "server": ("pulid_sdcpp/server", "test_server_page.py"),
    "vulkan": ("pulid_sdcpp/engine", "pulid_sdcpp/pocket"),
}

VULKAN_BACKEND = "diffusion=vulkan0,clip=cpu,vae=cpu"
Files = dict[str, Path]


def _engine_problem() -> str:
    try:
        binding()
    except PulidError as error:
        return str(error)
    return ""


def _vulkan_device() -> str:
    if _engine_problem():
        return ""
    return next((device.name for device in devices() if device.name.startswith("Vulkan")), "")


def _check_places(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        for marker, places in PLACES.items():
            if item.get_closest_marker(marker) and not any(
                item.path.is_relative_to(tests / place) for place in places
            ):
                raise pytest.UsageError(f"{item.nodeid} is {marker}, but not in {places}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _check_places(items)
    needs_engine = [item for item in items if item.get_closest_marker("engine")]
    if needs_engine and not REQUIRE_ENGINE and (problem := _engine_problem()):
        for item in needs_engine:
            item.add_marker(pytest.mark.skip(reason=problem))
    needs_vulkan = [item for item in items if item.get_closest_marker("vulkan")]
    if needs_vulkan and not REQUIRE_VULKAN and not _vulkan_device():
        for item in needs_vulkan:
            item.add_marker(pytest.mark.skip(reason="no Vulkan device, or built without SD_VULKAN"))


@pytest.fixture(scope="session", autouse=True)
def _isolated_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nobody's home, caches or settings are read or written."""
    home = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
                     "APPDATA", "LOCALAPPDATA", "HF_HOME"):  # fmt: skip
        os.environ[variable] = str(home)
    for variable in ("PULID_SDCPP_CACHE", "PULID_SDCPP_CONFIG", "PULID_SDCPP_DATA",
                     "PULID_SDCPP_FOLD_CACHE_MB", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN",
                     "HUGGINGFACE_HUB_CACHE"):  # fmt: skip
        os.environ.pop(variable, None)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


@pytest.fixture(scope="session")
def standin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standin")


@pytest.fixture(scope="session")
def standin_weights(standin_folder: Path) -> Files:
    """A complete small set: 3 double and 5 single blocks of width 256; path by role."""
    return make_standin_weights(standin_folder / "default")


@pytest.fixture(scope="session")
def make_weights(standin_folder: Path) -> Callable[..., Files]:
    """Weights of other sizes, made once each."""

    def make(**sizes: object) -> Files:
        name = "-".join(f"{key}-{value}" for key, value in sorted(sizes.items()))
        return make_standin_weights(
            standin_folder / name,
            quantizations=("f16",),
            **sizes,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def make_sdxl_weights(standin_folder: Path) -> Callable[..., Files]:
    """Weights of an SDXL of some sizes, made once each; path by role."""

    def make(*, checkpoint: bool = False, unet_type: str = "f16", **sizes: object) -> Files:
        name = re.sub(r"\W+", "-", f"sdxl {sorted(sizes.items())}").strip("-")
        return make_sdxl_standin_weights(
            standin_folder / name,
            checkpoint=checkpoint,
            unet_types=(unet_type,),
            **sizes,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def make_identity() -> Callable[[int], Identity]:
    """A random person by number, all with the same unconditional identity."""

    def make(person: int) -> Identity:
        tokens = np.random.default_rng(person).normal(size=(32, 2048))
        nobody = np.random.default_rng(1_000_000).normal(size=(32, 2048))
        return Identity.from_array(tokens, nobody)

    return make


@pytest.fixture(scope="session")
def identity_file(
    tmp_path_factory: pytest.TempPathFactory, make_identity: Callable[[int], Identity]
) -> Path:
    """The first person's identity file."""
    path = tmp_path_factory.mktemp("identities") / "first.pulidembd"
    make_identity(1).save(path)
    return path


@pytest.fixture(scope="session", params=["cpu", pytest.param("vulkan", marks=pytest.mark.vulkan)])
def backend(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs on the CPU and, where there is one, on Vulkan.

    There only the diffusion model, where PuLID is, runs on Vulkan: with the other modules beside
    it Mesa 22.3's software driver crashes, now and then (native/README.md).
    """
    return "cpu" if request.param == "cpu" else VULKAN_BACKEND


@pytest.fixture(scope="session")
def load_engine() -> Callable[..., StableDiffusion]:
    """Load an engine from a set of stand-in weights."""

    def load(
        weights: Files, *, pulid: bool = True, flux: str = "flux-f16", **options: object
    ) -> StableDiffusion:
        return StableDiffusion(
            diffusion_model_path=weights[flux],
            clip_l_path=weights["clip_l"],
            taesd_path=weights["taesd"],
            pulid_weights=weights["pulid"] if pulid else None,
            **options,
        )

    return load


@pytest.fixture(scope="session")
def small_sdxl_weights(make_sdxl_weights: Callable[..., Files]) -> Files:
    """The smallest SDXL: one transformer block in each attention."""
    return make_sdxl_weights(depths=(1, 1))


@pytest.fixture(scope="session")
def load_sdxl() -> Callable[..., StableDiffusion]:
    """Load an engine from a set of stand-in weights of SDXL."""

    def load(
        weights: Files,
        *,
        pulid: str | None = "pulid-v1.1",
        unet: str = "unet-f16",
        **options: object,
    ) -> StableDiffusion:
        return StableDiffusion(
            diffusion_model_path=weights[unet],
            clip_l_path=weights["clip_l"],
            clip_g_path=weights["clip_g"],
            taesd_path=weights["taesd"],
            pulid_weights=weights[pulid] if pulid else None,
            **options,
        )

    return load


@pytest.fixture(scope="session")
def make_sdxl_identity() -> Callable[..., Identity]:
    """A random person by number for the stand-in of SDXL."""

    def make(person: int, n_tokens: int = 32, encoder: str = "sdxl-v1.1") -> Identity:
        tokens = np.random.default_rng(person).normal(size=(n_tokens, SDXL_ID_DIM))
        nobody = np.random.default_rng(1_000_000).normal(size=(n_tokens, SDXL_ID_DIM))
        return Identity.from_array(tokens, nobody, encoder=encoder)

    return make


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub on this computer that huggingface_hub asks; its cache, and ours, are the test's own."""
    with hub_of_a_user(tmp_path) as server:
        yield server


@pytest.fixture
def own_preset(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has a preset of their own, "mine", which the hub has."""
    add_own_preset(hub, tmp_path)
    monkeypatch.setattr("pulid_sdcpp.store.resumable_download._PAUSE_S", 0.0)


@pytest.fixture(scope="module")
def files_of_zeros() -> Iterator[None]:
    """Files of the published sizes are holes in tests of memory, and loaded all the same."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("model_files.engine_checks", "tensors.tensor_file"):
            patch.setattr(f"pulid_sdcpp.{module}.check_not_hollow", lambda *arguments: None)
        patch.setattr("pulid_sdcpp.families.flux.folding._check_somebody", lambda *arguments: None)
        yield
