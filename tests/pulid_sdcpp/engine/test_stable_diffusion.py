"""What a caller of the engine relies on: equality of bytes, errors, cancellation, memory.

On the CPU; test_engine_vulkan.py has what depends on the device.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from long_form import times
from pulid_sdcpp import (
    DeviceError,
    GenerationCancelled,
    Identity,
    IdentityFileError,
    ModelFileError,
    ModelMismatchError,
    StableDiffusion,
)

pytestmark = pytest.mark.engine

SETTINGS = {
    "width": 32,
    "height": 32,
    "sample_steps": 2,
    "cfg_scale": 1.0,
    "seed": 7,
    "sample_method": "euler",
}
Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]


def picture(engine: StableDiffusion, **changes: object) -> bytes:
    (image,) = engine.generate_image("a portrait", **{**SETTINGS, **changes})
    return bytes(image.tobytes())


@pytest.fixture(scope="module")
def engine(standin_weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(standin_weights) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def without_pulid(standin_weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(standin_weights, pulid=False) as loaded:
        yield loaded


@pytest.mark.parametrize(
    "identity_options",
    [
        {"pulid_id_weight": 0.0},
        {"pulid_id_weight": 0.0, "pulid_start_step": 99},
        {"pulid_id_embedding": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("cfg_scale", [1.0, 2.0])
def test_identity_off_gives_the_bytes_of_an_engine_without_pulid(
    engine: StableDiffusion,
    without_pulid: StableDiffusion,
    make_identity: MakeIdentity,
    identity_options: dict[str, object],
    cfg_scale: float,
) -> None:
    options = {"pulid_id_embedding": make_identity(1), **identity_options}
    off = picture(engine, cfg_scale=cfg_scale, **options)
    assert off == picture(without_pulid, cfg_scale=cfg_scale)


def test_identities_change_on_a_living_engine(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    first = picture(engine, pulid_id_embedding=make_identity(1))
    second = picture(engine, pulid_id_embedding=make_identity(2))
    none = picture(engine)
    again = picture(engine, pulid_id_embedding=make_identity(1))
    assert first == again
    assert len({first, second, none}) == 3


def test_true_cfg_uses_the_unconditional_identity_in_the_negative_pass(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    identity = make_identity(1)
    with_positive_in_both = Identity.from_array(identity.tokens, identity.tokens)
    settings = {"cfg_scale": 3.0, "negative_prompt": "blurry"}
    right = picture(engine, pulid_id_embedding=identity, **settings)
    wrong = picture(engine, pulid_id_embedding=with_positive_in_both, **settings)
    assert right != wrong
    assert right == picture(engine, pulid_id_embedding=identity, **settings)


def test_true_cfg_starts_at_step_one_with_an_identity(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    settings = {"cfg_scale": 3.0, "pulid_id_embedding": make_identity(1)}
    default = picture(engine, **settings)
    assert default == picture(engine, cfg_start_step=1, **settings)
    assert default != picture(engine, cfg_start_step=0, **settings)
    never = picture(engine, cfg_start_step=2, **settings)
    assert never == picture(engine, pulid_id_embedding=make_identity(1))


def test_true_cfg_without_unconditional_identity_is_refused(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    identity = Identity.from_array(make_identity(1).tokens)
    with pytest.raises(IdentityFileError, match="no unconditional part"):
        picture(engine, cfg_scale=3.0, pulid_id_embedding=identity)


def test_file_identity_and_array_are_the_same(engine: StableDiffusion, identity_file: Path) -> None:
    from_file = picture(engine, pulid_id_embedding=identity_file)
    assert from_file == picture(engine, pulid_id_embedding=str(identity_file))
    identity = Identity.load(identity_file)
    assert from_file == picture(engine, pulid_id_embedding=identity)
    assert from_file == picture(engine, pulid_id_embedding=identity.tokens)


def test_q8_0_identity_is_close_to_f16(
    standin_weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> None:
    results = {}
    for dtype in ("f32", "f16", "q8_0"):
        with load_engine(standin_weights, pulid_dtype=dtype) as engine:
            random = np.random.default_rng(3)
            results[dtype] = engine.evaluate(
                random.normal(size=(16, 8, 8)),
                0.5,
                random.normal(size=(8, 4096)) * 0.3,
                random.normal(size=768),
                pulid_id_embedding=make_identity(1),
            )
    scale = np.abs(results["f32"]).max()
    for dtype, allowed in (("f16", 4 * 3.5e-4), ("q8_0", 4 * 9e-3)):  # 5 layers, adding up
        relative = np.abs(results[dtype] - results["f32"]).max() / scale
        print(f"{dtype}: {relative:.1e}")
        assert relative < allowed
    assert not np.array_equal(results["q8_0"], results["f16"])


@pytest.mark.parametrize("flux", ["flux-f16", "flux-q8_0", "flux-q4_0", "flux-q4_k"])
def test_every_quantization_takes_an_identity(
    standin_weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity, flux: str
) -> None:
    with load_engine(standin_weights, flux=flux) as engine:
        assert picture(engine) != picture(engine, pulid_id_embedding=make_identity(1))


def test_kontext_reference_gets_no_identity(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    from PIL import Image

    reference = Image.new("RGB", (32, 32), "red")
    plain = picture(engine, ref_images=[reference])
    off = picture(
        engine, ref_images=[reference], pulid_id_embedding=make_identity(1), pulid_id_weight=0
    )
    on = picture(engine, ref_images=[reference], pulid_id_embedding=make_identity(1))
    assert plain == off
    assert plain != on


def test_unknown_device_lists_those_there_are(
    standin_weights: dict[str, Path], load_engine: Load
) -> None:
    with pytest.raises(DeviceError, match=r"no compute device 'cuda7'; there are: .*CPU"):
        load_engine(standin_weights, backend="diffusion=cuda7")


def test_cancel_from_another_thread_within_one_evaluation(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    steps_seen: list[int] = []
    before = picture(engine, pulid_id_embedding=make_identity(1))

    def progress(step: int, steps: int, time_s: float) -> None:
        steps_seen.append(step)
        if step == 2:
            threading.Thread(target=engine.cancel).start()
            time.sleep(0.2)  # until the other thread has cancelled

    with pytest.raises(GenerationCancelled):
        picture(engine, sample_steps=50, progress_callback=progress)
    assert max(steps_seen) <= 3
    assert picture(engine, pulid_id_embedding=make_identity(1)) == before


def test_cancel_while_nothing_runs_does_nothing(engine: StableDiffusion) -> None:
    engine.cancel()
    assert picture(engine) == picture(engine)


def test_an_exception_in_the_progress_callback_stops_and_is_raised(engine: StableDiffusion) -> None:
    def progress(step: int, steps: int, time_s: float) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        picture(engine, sample_steps=50, progress_callback=progress)
    assert picture(engine) == picture(engine)


def test_what_is_asked_of_the_native_model_is_asked_on_its_thread(engine: StableDiffusion) -> None:
    """Elsewhere it would be read while it is changed, or freed."""
    asked = (lambda: engine.diffusion_params_bytes, lambda: engine.default_scheduler())
    refused: list[str] = []

    def progress(step: int, steps: int, time_s: float) -> None:
        for ask in asked:
            try:
                ask()
            except RuntimeError as error:
                refused.append(str(error))

    picture(engine, sample_steps=1, progress_callback=progress)
    assert len(refused) == 2 * len(asked)
    assert all("one of its own callbacks" in text for text in refused)
    assert engine.diffusion_params_bytes > 0


def test_progress_counts_the_steps(engine: StableDiffusion) -> None:
    seen: list[tuple[int, int]] = []
    picture(
        engine, sample_steps=3, progress_callback=lambda step, steps, _: seen.append((step, steps))
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_threads_take_turns(engine: StableDiffusion, make_identity: MakeIdentity) -> None:
    expected = {
        person: picture(engine, pulid_id_embedding=make_identity(person)) for person in (1, 2, 3)
    }
    found: list[tuple[int, bytes]] = []

    def work(person: int) -> None:
        found.append((person, picture(engine, pulid_id_embedding=make_identity(person))))

    threads = [threading.Thread(target=work, args=(person,)) for person in (1, 2, 3) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(data == expected[person] for person, data in found)


def test_closed_engine_says_so(standin_weights: dict[str, Path], load_engine: Load) -> None:
    engine = load_engine(standin_weights)
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        picture(engine)


def test_identity_without_weights_is_an_error(
    without_pulid: StableDiffusion, make_identity: MakeIdentity
) -> None:
    with pytest.raises(ValueError, match="without PuLID weights"):
        picture(without_pulid, pulid_id_embedding=make_identity(1))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"depth": 5, "depth_single": 5, "hidden": 256}, "identity layers"),
        ({"depth": 3, "depth_single": 5, "hidden": 128}, "width"),
    ],
)
def test_weights_of_another_model_are_refused(
    standin_weights: dict[str, Path],
    make_weights: Callable[..., dict[str, Path]],
    load_engine: Load,
    sizes: dict[str, int],
    message: str,
) -> None:
    mixed = {**standin_weights, "pulid": make_weights(**sizes)["pulid"]}
    with pytest.raises(ModelMismatchError, match=message):
        load_engine(mixed)


@pytest.mark.parametrize(
    ("shape", "error"), [((16, 2048), ModelMismatchError), ((32, 1024), ModelMismatchError)]
)
def test_identity_of_another_model_is_refused(
    engine: StableDiffusion, shape: tuple[int, int], error: type[Exception]
) -> None:
    with pytest.raises(error, match="extract it again"):
        picture(engine, pulid_id_embedding=np.ones(shape, np.float32))
    assert picture(engine) == picture(engine)


def test_a_missing_lora_is_an_error(engine: StableDiffusion) -> None:
    with pytest.raises(ModelFileError, match="no LoRA 'nowhere'"):
        engine.generate_image("a cat <lora:nowhere:1>", **SETTINGS)


def test_engine_messages_have_the_right_level_and_stay_off_the_terminal(
    standin_weights: dict[str, Path],
    load_engine: Load,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "pulid_sdcpp.engine"),
        load_engine(standin_weights) as engine,
    ):
        picture(engine)
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert {"DEBUG", "INFO"} <= {level for level, _ in messages}
    assert any(
        "loading diffusion model from" in text for level, text in messages if level == "INFO"
    )
    assert not [text for level, text in messages if level == "ERROR"]
    assert capfd.readouterr() == ("", "")


def test_nothing_on_the_terminal_in_a_fresh_process(standin_weights: dict[str, Path]) -> None:
    program = (
        "import sys; from pulid_sdcpp import StableDiffusion, devices\n"
        "devices()\n"
        "e = StableDiffusion(diffusion_model_path=sys.argv[1], clip_l_path=sys.argv[2],"
        " taesd_path=sys.argv[3])\n"
        "e.generate_image('x', width=64, height=64, sample_steps=1, cfg_scale=1.0)\n"
    )
    files = [str(standin_weights[role]) for role in ("flux-q4_0", "clip_l", "taesd")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *files], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.long
@pytest.mark.slow
def test_memory_stays_flat_over_many_generations_with_changing_identities(
    standin_weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> None:
    people = [make_identity(person) for person in range(5)]
    with load_engine(standin_weights, flux="flux-q8_0") as engine:
        resident = []
        for index in range(times(32, 200)):
            identity = people[index % 5] if index % 6 else None
            picture(
                engine,
                sample_steps=1,
                pulid_id_embedding=identity,
                cfg_scale=2.0 if index % 4 == 3 else 1.0,
                seed=index,
            )
            resident.append(_resident_bytes())
    growth = max(resident[10:]) / resident[10] - 1
    print(f"resident {resident[10] / 2**20:.1f} MiB after ten, growth {growth:.2%}")
    assert growth < 0.01


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("resident memory is read from /proc")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
