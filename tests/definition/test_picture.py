"""The whole picture by the definitions reacts to what it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from definition.picture import picture
from standin import make_standin_weights
from standin.random_values import normal

ALICE, BOB = (normal(0, name, (32, 2048)) for name in ("alice", "bob"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_standin_weights(
        tmp_path_factory.mktemp("picture"),
        depth=1,
        depth_single=1,
        hidden=128,
        quantizations=("f16",),
    )


def test_prompt_identity_and_guidance_change_the_picture(files: dict[str, Path]) -> None:
    common = {"files": files, "width": 48, "height": 32, "steps": 3, "seed": 3}
    alice = {"identities": [(ALICE, 1.0)]}
    pictures = {
        "plain": picture(prompt="a car", **common),
        "other prompt": picture(prompt="red", **common),
        "other decoder": picture(prompt="a car", decoder="vae", **common),
        "identity": picture(prompt="a car", **alice, **common),
        "identity from step 1": picture(
            prompt="a car", identity_steps=range(1, 2), **alice, **common
        ),
        "guided": picture(prompt="a car", cfg_scale=2.0, **alice, **common),
        "guided, negative identity": picture(
            prompt="a car", cfg_scale=2.0, negative_identities=[(BOB, 1.0)], **alice, **common
        ),
    }
    names = list(pictures)
    for i, a in enumerate(names):
        assert pictures[a].shape == (32, 48, 3)
        for b in names[i + 1 :]:
            assert np.abs(pictures[a] - pictures[b]).mean() > 0.5, f"{a} / {b}"
    no_step = picture(prompt="a car", identity_steps=range(0), **alice, **common)
    assert np.array_equal(no_step, pictures["plain"])
