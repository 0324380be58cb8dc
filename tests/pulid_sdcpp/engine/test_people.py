"""Several people in one picture, what the engine tells of itself, and prompts it remembers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import (
    Identity,
    IdentityFileError,
    Person,
    ProgressEvent,
    Region,
    StableDiffusion,
)

pytestmark = pytest.mark.engine

Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]
LEFT, RIGHT = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
PICTURE = {"width": 64, "height": 32, "sample_steps": 2, "cfg_scale": 1.0, "seed": 5}


@pytest.fixture(scope="module")
def engine(standin_weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(standin_weights, backend="cpu") as engine:
        yield engine


@pytest.fixture(scope="module")
def last_layer_only(
    make_weights: Callable[..., dict[str, Path]],
    load_engine: Load,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StableDiffusion]:
    """An engine whose identity attention adds something after its last block only.

    What follows is done for each token by itself, so its result shows which tokens were changed.
    """
    weights = dict(make_weights(depth=2, depth_single=1, hidden=128))
    content = bytearray(weights["pulid"].read_bytes())
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    begin, end = (
        8 + header_bytes + at for at in header["pulid_ca.0.to_out.weight"]["data_offsets"]
    )
    # As good as zeros, which are refused: 1e-38 in bf16, so that B is zeros in F16.
    content[begin:end] = b"\x80\x00" * ((end - begin) // 2)
    weights["pulid"] = tmp_path_factory.mktemp("last") / "pulid_flux_v0.9.1.safetensors"
    weights["pulid"].write_bytes(content)
    with load_engine(weights, backend="cpu") as engine:
        yield engine


def inputs(rows: int = 8, columns: int = 16) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return (
        random.normal(size=(16, rows, columns)).astype(np.float32),
        0.8,
        (random.normal(size=(20, 4096)) * 0.3).astype(np.float32),
        random.normal(size=768).astype(np.float32),
    )


def test_a_person_contributes_to_his_own_region_only(
    last_layer_only: StableDiffusion, make_identity: MakeIdentity
) -> None:
    """Of the engine's arrays, to the last bit: the first evaluation's contribution."""
    alice, bob, carol = (make_identity(number) for number in (1, 2, 3))
    nobody = last_layer_only.evaluate(*inputs())

    def contribution(*people: Person) -> np.ndarray:
        return last_layer_only.evaluate(*inputs(), pulid_people=people) - nobody

    first = contribution(Person(alice, region=LEFT), Person(bob, region=RIGHT))
    other = contribution(Person(carol, region=LEFT), Person(bob, region=RIGHT))
    alone = contribution(Person(alice, region=LEFT))
    halves = [np.s_[:, :, :8], np.s_[:, :, 8:]]
    assert first[halves[1]].tobytes() == other[halves[1]].tobytes()
    assert np.abs(first[halves[0]] - other[halves[0]]).max() > 0.01
    assert np.abs(first[halves[1]]).max() > 0.01
    assert not alone[halves[1]].any()
    assert alone[halves[0]].tobytes() == first[halves[0]].tobytes()


def test_a_mask_image_says_where(
    last_layer_only: StableDiffusion, make_identity: MakeIdentity, tmp_path: Path
) -> None:
    from PIL import Image

    pixels = np.zeros((64, 128), np.uint8)
    pixels[32:, :] = 255
    Image.fromarray(pixels).save(tmp_path / "below.png")
    person = Person(make_identity(1), region=Region(mask=tmp_path / "below.png"))
    changed = last_layer_only.evaluate(*inputs(), pulid_people=[person])
    changed = changed - last_layer_only.evaluate(*inputs())
    assert not changed[:, :4].any()
    assert (np.abs(changed[:, 4:]).max(axis=0) > 0).all()


def test_each_person_changes_the_picture(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    alice, bob = make_identity(1), make_identity(2)

    def picture(*people: Person, **options: object) -> bytes:
        (image,) = engine.generate_image("two", pulid_people=people, **{**PICTURE, **options})
        return image.tobytes()

    both = picture(Person(alice, region=LEFT), Person(bob, region=RIGHT))
    swapped = picture(Person(alice, region=RIGHT), Person(bob, region=LEFT))
    one = picture(Person(alice, region=LEFT))
    nobody = picture()
    assert len({both, swapped, one, nobody}) == 4
    assert picture(Person(alice, region=LEFT), Person(bob, 0.0, region=RIGHT)) == one
    with pytest.raises(ValueError, match="there are 2 steps: 0 to 1"):
        picture(Person(alice, region=LEFT), Person(bob, start_step=1.0))
    # Steps as parts: the second half of two steps is the second step.
    late = picture(Person(alice, region=LEFT), Person(bob, start_step=1, region=RIGHT))
    assert late == picture(Person(alice, region=LEFT), Person(bob, start_step=0.5, region=RIGHT))
    assert late not in (both, one)
    # True CFG: everybody's region in the negative pass too.
    assert picture(Person(alice, region=LEFT), cfg_scale=2.0) != picture(
        Person(alice), cfg_scale=2.0
    )


def test_one_person_alone_is_the_identity_of_before(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    alice = make_identity(1)
    (as_person,) = engine.generate_image("one", pulid_people=[Person(alice, 0.7)], **PICTURE)
    (before,) = engine.generate_image(
        "one", pulid_id_embedding=alice, pulid_id_weight=0.7, **PICTURE
    )
    assert as_person.tobytes() == before.tobytes()


def test_people_that_cannot_be_used_are_refused(
    engine: StableDiffusion, make_identity: MakeIdentity, tmp_path: Path
) -> None:
    alice = make_identity(1)
    with pytest.raises(ValueError, match="not both"):
        engine.generate_image("", pulid_people=[Person(alice)], pulid_id_embedding=alice, **PICTURE)
    outside = Region(box=(500, 0, 16, 16))
    with pytest.raises(ValueError, match="is outside the picture"):
        engine.generate_image("", pulid_people=[Person(alice, region=outside)], **PICTURE)
    with pytest.raises(IdentityFileError, match="none"):
        engine.generate_image("", pulid_people=[Person(tmp_path / "none.pulidembd")], **PICTURE)


def test_stages_are_told_in_order(
    standin_weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> None:
    loading: list[ProgressEvent] = []
    told: list[ProgressEvent] = []
    with load_engine(
        standin_weights, backend="cpu", on_event=loading.append, pulid_fold_cache=False
    ) as engine:
        for _ in range(2):
            engine.generate_image(
                "told", pulid_id_embedding=make_identity(7), on_event=told.append, **PICTURE
            )
    assert {event.stage for event in loading} == {"load"}
    assert loading[0] == ProgressEvent("load")
    assert loading[-1].step == loading[-1].steps > 0
    stages = [event.stage for event in told if event.step == 0]
    once = ["encode", "denoise", "decode"]
    assert stages == ["fold", *once, *once]  # the second time it is in the engine already
    steps = [event for event in told if event.stage == "denoise" and event.step]
    assert [(event.step, event.steps) for event in steps] == [(1, 2), (2, 2)] * 2
    assert all(event.step_time_s > 0 for event in steps)


def test_what_a_listener_raises_stops_loading_and_generating(
    standin_weights: dict[str, Path], engine: StableDiffusion, load_engine: Load
) -> None:
    def refuse(event: ProgressEvent) -> None:
        raise LookupError(event.stage)

    with pytest.raises(LookupError, match="load"):
        load_engine(standin_weights, backend="cpu", on_event=refuse)
    with pytest.raises(LookupError, match="encode"):
        engine.generate_image("", on_event=refuse, **PICTURE)
    with load_engine(standin_weights, backend="cpu") as another:
        assert another.generate_image("", **PICTURE)


def test_a_prompt_is_encoded_once(
    engine: StableDiffusion, caplog: pytest.LogCaptureFixture
) -> None:
    def picture(prompt: str) -> tuple[bytes, int]:
        caplog.clear()
        (image,) = engine.generate_image(prompt, **PICTURE)
        encoded = sum("parse '" in r.getMessage() for r in caplog.records)
        return image.tobytes(), encoded

    with caplog.at_level(logging.DEBUG, "pulid_sdcpp.engine"):
        first, encoded = picture("a prompt nobody had")
        assert encoded > 0
        again, encoded = picture("a prompt nobody had")
        assert (again, encoded) == (first, 0)
        other, encoded = picture("a prompt nobody had either")
        assert encoded > 0
        assert other != first
        for number in range(8):
            picture(f"number {number}")
        assert picture("a prompt nobody had") == (first, 1)


def test_room_for_identities_is_made_wholly_or_not_at_all(
    standin_weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> None:
    """More than the engine has names for: what was begun of it would be without memory."""
    from pulid_sdcpp.native import thread as native_thread
    from pulid_sdcpp.native.library import last_error, library

    def pictures(engine: StableDiffusion) -> list[bytes]:
        uses = ([Person(make_identity(1))], [Person(make_identity(1)), Person(make_identity(2))])
        return [
            engine.generate_image("a", pulid_people=people, **PICTURE)[0].tobytes()
            for people in uses
        ]

    with load_engine(standin_weights, backend="cpu") as engine:
        expected = pictures(engine)
    with load_engine(standin_weights, backend="cpu") as engine:
        before = engine.diffusion_params_bytes
        reserve = library().pulid_reserve_slots
        done, reason = native_thread.run(lambda: (reserve(engine._context, 4000, 32), last_error()))
        assert not done
        assert "no room for 4000 identities" in reason
        assert engine.diffusion_params_bytes == before
        assert pictures(engine) == expected
