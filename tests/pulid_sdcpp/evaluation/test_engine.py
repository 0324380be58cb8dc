"""An evaluation by the real engine, extractor and judge, with stand-in weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image

from pulid_sdcpp import (
    ContextOptions,
    EvaluationOptions,
    EvaluationPrompt,
    GenerationOptions,
    Reference,
    evaluate,
)
from pulid_sdcpp.cli import main
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.pictures.text_entries import file_hash
from standin import make_standin_weights


@pytest.mark.engine
@pytest.mark.extract
def test_the_real_parts_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins make noise, in which no face is found: that must count, not vanish."""
    pytest.importorskip("torch")
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    from standin.extractor.networks import idformer_tensors, make_extractor_standins
    from standin.extractor.recogniser import recogniser_model

    files = make_standin_weights(
        tmp_path, quantizations=("q8_0",), idformer_tensors=idformer_tensors()
    )
    make_extractor_standins(tmp_path)
    (tmp_path / "judge.onnx").write_bytes(recogniser_model(seed=1))
    photo = Image.fromarray(skimage.data.astronaut())
    photo.save(tmp_path / "her.png")
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")

    folder = tmp_path / "out"
    result = evaluate(
        EvaluationOptions(
            references=(Reference(tmp_path / "her.png"), Reference(tmp_path / "mirrored.png")),
            prompts=(EvaluationPrompt("a portrait"),),
            output=folder,
            judges=(tmp_path / "judge.onnx",),
            models_dir=tmp_path,
            device="cpu",
            keep_pictures=True,
        ),
        ContextOptions(
            diffusion_model_path=files["flux-q8_0"],
            taesd_path=files["taesd"],
            clip_l_path=files["clip_l"],
            pulid_weights=files["pulid"],
        ),
        GenerationOptions("", width=64, height=64, steps=1),
    )

    assert (result.scores.n_pictures, result.scores.n_without_face) == (2, 2)
    assert result.scores.similarity["judge"].mean == 0
    assert result.scores.purity is not None
    assert result.scores.purity.n_pictures == 0  # no head is known
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reference"] for row in rows] == ["", "her", "mirrored"]
    assert [row["face_found"] for row in rows] == ["no"] * 3
    assert [row["similarity_glintr100"] for row in rows] == ["", "0", "0"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["own"]["similarity"]["judge"]["auc"] == 0.5  # nothing but ties
    pictures = [np.asarray(Image.open(folder / row["file"])) for row in rows]
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[1] != pictures[2]).any()
    for row, with_a_person in zip(rows, (False, True, True), strict=True):
        values = parse_text(read_picture_text(folder / row["file"]) or "").values
        assert values["Model hash"] == file_hash(files["flux-q8_0"])
        assert ("PuLID weights hash" in values) == with_a_person

    # A kept picture can be made again, whoever is in it.
    for row, picture in zip(rows[:2], pictures, strict=False):
        again = CliRunner().invoke(main, [
            "generate", "--from", str(folder / row["file"]), "-o", str(tmp_path / "again.png"),
            "--diffusion-model", str(files["flux-q8_0"]), "--taesd", str(files["taesd"]),
            "--clip_l", str(files["clip_l"]), "--pulid-weights", str(files["pulid"]),
            "--overwrite",
        ])  # fmt: skip
        assert again.exit_code == 0, again.output
        assert (np.asarray(Image.open(tmp_path / "again.png")) == picture).all()
