"""More people than the engine has room for are refused by number, before anything is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pulid_sdcpp import IdentityOptions, Person, StableDiffusion, recipe_from
from pulid_sdcpp.batch.job_file import read_batch
from pulid_sdcpp.cli import main
from pulid_sdcpp.people.identity_options import MAX_PEOPLE
from standin import make_standin_weights

MANY = f"{MAX_PEOPLE + 1} people are named, but a picture may have {MAX_PEOPLE}"


def test_in_python() -> None:
    people = (Person("nobody.pulidembd"),) * (MAX_PEOPLE + 1)
    IdentityOptions(people=people[1:])
    with pytest.raises(ValueError, match=MANY):
        IdentityOptions(people=people)


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    persons = ["--person", "nobody.png"] * (MAX_PEOPLE + 1)
    with pytest.raises(SystemExit) as ended:
        main(["generate", "--preset", "pocket", "-p", "x", "-o", "x.png", *persons])
    assert ended.value.code == 2
    assert MANY in capsys.readouterr().err


def test_in_a_file_of_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    names = ", ".join(["'nobody.png'"] * (MAX_PEOPLE + 1))
    path.write_text(f"[[jobs]]\nprompt = 'x'\npeople = [{names}]\n")
    with pytest.raises(Exception, match=MANY):
        read_batch(path)


def test_in_the_text_of_a_picture(tmp_path: Path) -> None:
    people = ", ".join(
        f"PuLID identity {n}: c3f5f525ce, PuLID weight {n}: 1.0" for n in range(1, MAX_PEOPLE + 2)
    )
    text = PngInfo()
    text.add_text(
        "parameters",
        "a cat\nSteps: 4, Sampler: Euler, CFG scale: 1.0, Distilled CFG Scale: 3.5, Seed: 1, "
        f"Size: 128x128, Model: m, Version: pulid-sdcpp 0.1.0, {people}",
    )
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", pnginfo=text)
    with pytest.raises(Exception, match=MANY):
        recipe_from(tmp_path / "x.png")


@pytest.mark.engine
def test_as_many_as_there_may_be_fit_into_the_engine(tmp_path: Path) -> None:
    """With Flux's own number of blocks; the shape of the graph is that of any width."""
    weights = make_standin_weights(
        tmp_path, depth=19, depth_single=38, hidden=128, quantizations=["q8_0"]
    )
    random = np.random.default_rng(1)
    tokens = random.normal(size=(2, 1, 32, 2048)).astype(np.float32)
    with StableDiffusion(
        diffusion_model_path=str(weights["flux-q8_0"]),
        clip_l_path=str(weights["clip_l"]),
        taesd_path=str(weights["taesd"]),
        pulid_weights=str(weights["pulid"]),
        n_threads=1,
    ) as engine:
        people = [Person(tokens[0, 0], weight=0.5 + n / 200) for n in range(MAX_PEOPLE)]
        engine.generate_image(
            "x", width=16, height=16, sample_steps=1, cfg_scale=1.0, pulid_people=people
        )
