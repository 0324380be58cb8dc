"""Recognisers: ArcFace's signature, crops from seeds, training that goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pocket import recogniser as recogniser_module
from pocket.convolution import settle_batch_norms
from pocket.face_crops import MARGIN_PX, draw_crops, make_crops, random_cut
from pocket.onnx_export import largest_difference, readable
from pocket.portraits.people import IDENTITY_DIM
from pocket.recogniser import (
    JUDGE,
    RECOGNISER,
    RecogniserConfig,
    build_recogniser,
    even_out,
    load_recogniser,
    recogniser_model,
)
from pocket.recogniser_figures import UnseenPeople, recogniser_figures
from pulid_extractor.faces import FaceFinder
from standin.extractor.detector import detector_model

torch.set_num_threads(1)
BOTH = pytest.mark.parametrize("config", [RECOGNISER, JUDGE], ids=lambda config: config.name)


def test_crops_are_the_same_every_time_and_differ_between_seeds() -> None:
    first, again, other = draw_crops(5, 2, 2), draw_crops(5, 2, 2), draw_crops(6, 2, 2)
    side = 112 + 2 * MARGIN_PX
    assert first.crops.shape == (2, 2, side, side, 3)
    np.testing.assert_array_equal(first.crops, again.crops)
    np.testing.assert_array_equal(first.people, again.people)
    assert (first.crops != other.crops).any()


def test_crops_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = make_crops(tmp_path, 2, 3, 2)
    monkeypatch.delattr("pocket.face_crops.draw_crops")
    kept = make_crops(tmp_path, 2, 3, 2)
    np.testing.assert_array_equal(drawn.crops, kept.crops)
    np.testing.assert_array_equal(drawn.people, kept.people)


def test_an_even_cut_is_the_middle_of_the_crop() -> None:
    crops = draw_crops(5, 1, 1).crops[0]
    inside = crops[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX].astype(np.float32)
    expected = np.moveaxis((inside - 127.5) / 127.5, -1, 1)
    np.testing.assert_array_equal(random_cut(crops, 0).numpy(), expected)


@BOTH
def test_the_finder_takes_it_for_arcface(config: RecogniserConfig, tmp_path: Path) -> None:
    model = recogniser_model(readable(build_recogniser(config)))
    (tmp_path / "detector.onnx").write_bytes(detector_model())
    (tmp_path / "recogniser.onnx").write_bytes(model)
    finder = FaceFinder(tmp_path / "detector.onnx", tmp_path / "recogniser.onnx")
    assert (finder._recogniser._mean, finder._recogniser._scale) == (127.5, 127.5)
    embedding = finder._recogniser.embedding(np.full((112, 112, 3), 90, np.uint8))
    assert embedding.shape == (512,)
    assert np.linalg.norm(embedding) == pytest.approx(20, abs=1e-3)


@BOTH
@torch.no_grad()
def test_the_file_is_small_and_exact(config: RecogniserConfig) -> None:
    network = readable(build_recogniser(config))
    model = recogniser_model(network)
    assert len(model) < 2_200_000
    pictures = 2 * torch.rand(2, 3, 112, 112) - 1
    assert largest_difference(model, [network(pictures)], {"input.1": pictures}) < 1e-4


def test_the_recognisers_share_neither_people_nor_shape() -> None:
    assert RECOGNISER.prefix != JUDGE.prefix
    assert RECOGNISER.widths != JUDGE.widths
    assert RECOGNISER.stem_px != JUDGE.stem_px
    assert JUDGE.identity < RECOGNISER.identity


@BOTH
def test_the_loss_falls_when_people_are_told_apart(config: RecogniserConfig) -> None:
    torch.manual_seed(0)
    n = 8
    criterion = recogniser_module.Loss(config, torch.ones(IDENTITY_DIM))
    vectors = torch.zeros(n, IDENTITY_DIM)
    apart = torch.linalg.qr(torch.randn(512, n))[0].T * 20
    same, strangers = torch.cat([apart, apart]), torch.cat([apart, apart.roll(1, 0)])
    assert criterion(same, vectors) < criterion(strangers, vectors) - 1


@torch.no_grad()
def test_the_loss_falls_when_the_identity_is_read() -> None:
    torch.manual_seed(0)
    criterion = recogniser_module.Loss(RECOGNISER, torch.full((IDENTITY_DIM,), 0.5))
    embeddings = torch.randn(8, 512)
    read = criterion.identity(embeddings)
    right = criterion(torch.cat([embeddings, embeddings]), read)
    wrong = criterion(torch.cat([embeddings, embeddings]), read + 0.5)
    # Off by one spread everywhere: the mean square is 1.
    assert float(wrong - right) == pytest.approx(RECOGNISER.identity, rel=1e-4)


@torch.no_grad()
def test_evened_embeddings_have_no_mean_and_less_in_common() -> None:
    torch.manual_seed(0)
    network = build_recogniser(replace(RECOGNISER, widths=(4,), blocks=(0,), neck=2)).eval()
    light = torch.rand(64, 1, 1, 1)
    pictures = light * torch.rand(1, 3, 112, 112) + 0.3 * torch.rand(64, 3, 112, 112)
    raw = network[:-1](pictures)
    alike = torch.nn.functional.cosine_similarity(raw[:32], raw[32:])
    even_out(network, pictures, 1.0)
    evened = network[:-1](pictures)
    assert float(evened.mean(0).abs().max()) < 1e-3 * float(evened.abs().max())
    spread = torch.nn.functional.cosine_similarity(evened[:32], evened[32:])
    assert float(spread.abs().mean()) < 0.5 * float(alike.abs().mean())


@torch.no_grad()
def test_evening_by_nothing_only_moves_the_mean() -> None:
    torch.manual_seed(0)
    network = build_recogniser(replace(RECOGNISER, widths=(4,), blocks=(0,), neck=2)).eval()
    pictures = torch.rand(8, 3, 112, 112)
    raw = network[:-1](pictures)
    even_out(network, pictures, 0.0)
    torch.testing.assert_close(network[:-1](pictures), raw - raw.mean(0), atol=1e-5, rtol=1e-4)


def test_settled_norms_are_those_of_the_batches() -> None:
    network = build_recogniser(replace(RECOGNISER, widths=(4,), blocks=(0,), neck=2))
    pictures = torch.rand(4, 3, 112, 112)
    settle_batch_norms(network, [pictures])
    norm, conv = network[0][1], network[0][0]
    with torch.no_grad():
        expected = conv(pictures).mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-5, rtol=1e-4)


def test_training_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = replace(
        RECOGNISER,
        n_people=4,
        per_batch=3,
        stem_px=8,
        widths=(8, 8),
        blocks=(0, 0),
        neck=2,
        evened=0.5,
    )
    monkeypatch.setattr(recogniser_module, "RECOGNISER", tiny)
    monkeypatch.setattr(recogniser_module, "PER_PERSON", 2)
    recogniser_module.train_recogniser(tmp_path, 0.05)
    first = torch.load(tmp_path / "recogniser.ckpt", weights_only=True)
    recogniser_module.train_recogniser(tmp_path, first["spent_s"] + 0.05)
    second = torch.load(tmp_path / "recogniser.ckpt", weights_only=True)
    assert 0 < first["step"] < second["step"]
    assert recogniser_module.export_recogniser(tmp_path, tmp_path / "pack") < 1e-4
    stored = onnx.load(tmp_path / "pack" / "antelopev2" / "glintr100.onnx")
    assert [value.name for value in stored.graph.output] == ["1333"]
    assert not load_recogniser(tmp_path, tiny).training


def test_figures_of_a_perfect_recogniser() -> None:
    """It knows the pictures by heart: the figures are those of their definitions."""
    unseen = UnseenPeople(6, seed=1)
    known = torch.eye(6)
    known[5] = known[4]

    class Oracle(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            nonlocal place
            place += len(pictures)
            return known[torch.arange(place - len(pictures), place) % 6]

    place = 0
    figures = recogniser_figures(Oracle(), unseen)
    for name in ("second photo", "monochrome", "comic"):
        assert figures[f"{name} same"] == pytest.approx(1)
        # Two of the 30 pairs of strangers look alike.
        assert figures[f"{name} other"] == pytest.approx(2 / 30)
        assert figures[f"{name} auc"] == pytest.approx(28 / 30)
        assert figures[f"{name} top1"] == pytest.approx(5 / 6)
