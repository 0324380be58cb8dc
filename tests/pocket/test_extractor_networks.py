"""Parser, tower and IDFormer: their data, training that goes on, files the extractor takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pocket import features, idformer, parser, references, tower
from pocket.features import FeatureSet, Networks
from pocket.identity_groups import GROUPS, group_scores
from pocket.portraits import identity_vector, sample_person
from pocket.portraits.people import IDENTITY_DIM
from pocket.references import aligned, draw_reference
from pocket.resuming import seed_training
from pulid_extractor.clip_picture import clip_picture
from pulid_extractor.eva_vision import EvaVision, load_eva
from pulid_extractor.idformer import IdFormer
from pulid_extractor.parsing import BiSeNet, face_only, load_parsing
from pulid_extractor.parsing_shape import BACKGROUND_LABELS
from pulid_extractor.torch_networks import load_torch_encoder

torch.set_num_threads(1)
CPU = torch.device("cpu")
PARSER = replace(
    parser.SHAPE, stem=4, stages=(4, 4, 4, 4), context=4, fusion=4, squeeze=2, output=4
)
TOWER = replace(tower.SHAPE, width=64, mlp_dim=16, patch_px=16, grid=2, embedding_dim=8)
IDFORMER = replace(
    idformer.SHAPE,
    dim=64,
    inner=64,
    ff_dim=8,
    n_queries=2,
    id_dim=12,
    n_id_tokens=1,
    embedding_dim=512 + 8,
    id_hidden=8,
    vit_dim=64,
    vit_hidden=8,
)


def steps(folder: Path, name: str) -> int:
    return int(torch.load(folder / f"{name}.ckpt", weights_only=True)["step"])


def spent_s(folder: Path, name: str) -> float:
    return float(torch.load(folder / f"{name}.ckpt", weights_only=True)["spent_s"])


def tiny_networks() -> Networks:
    torch.manual_seed(0)
    recogniser = torch.nn.Sequential(torch.nn.AvgPool2d(28), torch.nn.Flatten(),
                                     torch.nn.Linear(48, 512))  # fmt: skip
    return Networks(BiSeNet(PARSER).eval(), tower.initialised(TOWER).eval(), recogniser.eval())


def random_features(n: int, photos: int, seed: int) -> FeatureSet:
    rng = np.random.default_rng(seed)
    tokens = (n, photos, 5, 1 + TOWER.grid**2, TOWER.width)
    return FeatureSet(
        rng.standard_normal((n, photos, IDFORMER.embedding_dim)).astype(np.float16),
        rng.standard_normal(tokens).astype(np.float16),
        np.stack([identity_vector(sample_person(rng)) for _ in range(n)]),
    )


@torch.no_grad()
def teacher(people: torch.Tensor) -> torch.Tensor:
    mixing = torch.randn(IDENTITY_DIM, 24, generator=torch.Generator().manual_seed(1))
    return (people @ mixing).unflatten(1, (2, 12))


def test_the_labels_of_a_crop_lie_on_its_pixels() -> None:
    rng = np.random.default_rng(3)
    person = replace(sample_person(rng), skin=0.0, beard=0, frames=0)
    crop, labels = aligned(draw_reference(person, rng, with_labels=True))
    assert crop.shape == (512, 512, 3)
    assert labels.shape == (512, 512)
    # The eyes of an FFHQ face, the left one in the picture first.
    assert (labels[225:255, 178:208] == 4).mean() > 0.5
    assert (labels[225:255, 304:334] == 5).mean() > 0.5


def test_references_come_in_several_sizes() -> None:
    rng = np.random.default_rng(0)
    person = sample_person(rng)
    sides = {len(draw_reference(person, rng).pixels) for _ in range(12)}
    assert sides <= set(references.SIDES_PX)
    assert len(sides) > 1


def test_a_grey_crop_is_what_the_extractor_sees_with_a_perfect_parser() -> None:
    rng = np.random.default_rng(4)
    reference = draw_reference(sample_person(rng), rng, with_labels=True)
    crop, labels = aligned(reference)
    face = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    luma = (face * torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True)
    white = torch.from_numpy(np.isin(labels, BACKGROUND_LABELS))
    expected = clip_picture(torch.where(white, 1.0, luma).expand(-1, 3, -1, -1), 64)
    found = tower.normalised(tower.grey_crop(reference, 64, coarse=False)[None])
    # Half a step of what is kept, over CLIP's smallest deviation.
    assert (found - expected).abs().max() < 0.51 * tower.STEP / 255 / 0.26


def test_coarse_masks_move_the_edge_only() -> None:
    rng = np.random.default_rng(4)
    reference = draw_reference(sample_person(rng), rng, with_labels=True)
    fine, coarse = (tower.grey_crop(reference, 128, coarse=value) for value in (False, True))
    changed = (np.abs(fine.astype(int) - coarse) > 8).mean()
    assert 0 < changed < 0.08


def test_the_fast_way_to_the_tower_is_the_extractors() -> None:
    networks = tiny_networks()
    rng = np.random.default_rng(5)
    crops = np.stack([aligned(draw_reference(sample_person(rng), rng))[0] for _ in range(3)])
    pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    expected = clip_picture(face_only(pictures, networks.parser), 32)
    found = features.seen_by_tower(crops, networks.parser, 32)
    white = (expected > 1.9).float().mean()
    assert 0 < white < 1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_features_are_computed_once_and_have_their_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 2)
    made = features.make_features(tmp_path, "some", tiny_networks(), 70, 3, 2)
    assert made.embeddings.shape == (3, 2, 520)
    assert made.embeddings.dtype == made.hidden.dtype == np.float16
    assert made.hidden.shape == (3, 2, 5, 5, 64)
    assert made.people.shape == (3, IDENTITY_DIM)
    monkeypatch.delattr("pocket.features._draw")
    kept = features.make_features(tmp_path, "some", tiny_networks(), 70, 3, 2)
    for field, values in vars(made).items():
        np.testing.assert_array_equal(getattr(kept, field), values)


def test_the_parser_trains_on_and_the_extractor_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser, "BATCH", 2)
    monkeypatch.setattr(parser, "SETTLING", 1)
    monkeypatch.setattr(parser, "MEASURED", 2)
    parser.train_parser(tmp_path, 0.05, shape=PARSER)
    before = steps(tmp_path, "parser")
    trained = parser.train_parser(tmp_path, spent_s(tmp_path, "parser") + 0.05, shape=PARSER)
    assert steps(tmp_path, "parser") > before > 0
    loaded = load_parsing(parser.export_parser(tmp_path, tmp_path / "pack"), device=CPU)
    assert loaded.shape == PARSER
    picture = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(loaded(picture), trained(picture))


def test_a_parser_that_knows_everything_has_perfect_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = parser.draw_batch
    truth: list[torch.Tensor] = []

    def remembered(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        pictures, labels = drawn(seed, n)
        truth.append(labels)
        return pictures, labels

    def oracle(network: BiSeNet, pictures: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(truth[-1], 19).permute(0, 3, 1, 2).float()

    monkeypatch.setattr(parser, "draw_batch", remembered)
    monkeypatch.setattr(parser, "_scores", oracle)
    figures = parser.parser_figures(BiSeNet(PARSER), 2)
    assert figures == {"white": 1.0, "classes": 1.0, "kept_lost": 0.0, "white_left": 0.0}
    monkeypatch.setattr(parser, "_scores", lambda *_: torch.eye(19)[0].view(1, 19, 1, 1) + 0 *
                        oracle(*_))  # fmt: skip
    figures = parser.parser_figures(BiSeNet(PARSER), 2)
    assert figures["kept_lost"] == 1
    assert figures["white_left"] == 0
    assert 0.2 < figures["white"] < 0.9


def test_the_tower_trains_on_and_the_extractor_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tower, "BATCH", 4)
    tower.train_tower(tmp_path, 0.05, shape=TOWER, n_people=3)
    before = steps(tmp_path, "tower")
    tower.train_tower(tmp_path, spent_s(tmp_path, "tower") + 0.05, shape=TOWER, n_people=3)
    assert steps(tmp_path, "tower") > before > 0
    path = tower.export_tower(tmp_path, tmp_path / "pack")
    loaded = load_eva(path, device=CPU, dtype=torch.float32)
    assert loaded.shape == TOWER
    picture = torch.rand(2, 3, 32, 32)
    expected, depths = tower.load_tower(tmp_path, TOWER)(picture)
    found, hidden = loaded(picture)
    torch.testing.assert_close(found, expected)
    assert len(hidden) == len(depths) == 5
    assert hidden[0].shape == (2, 5, 64)


def test_gradients_reach_every_weight_of_the_tower() -> None:
    network = tower.initialised(TOWER)
    embedding, _ = tower.look(network, torch.randn(2, 3, 32, 32))
    embedding[:, 0].sum().backward()
    untouched = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert untouched == []
    assert not EvaVision.forward(network, torch.zeros(1, 3, 32, 32))[0].requires_grad


def test_the_idformer_trains_on_and_the_extractor_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idformer, "BATCH", 4)
    data, held = random_features(6, 2, 0), random_features(4, 2, 1)
    idformer.fit_idformer(tmp_path, 0.05, teacher, data, held, shape=IDFORMER)
    before = steps(tmp_path, "idformer")
    budget_s = spent_s(tmp_path, "idformer") + 0.05
    trained = idformer.fit_idformer(tmp_path, budget_s, teacher, data, held, shape=IDFORMER)
    assert steps(tmp_path, "idformer") > before > 0
    tensors = idformer.idformer_tensors(tmp_path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    save_file(tensors, tmp_path / "pulid.safetensors")
    loaded = load_torch_encoder(tmp_path / "pulid.safetensors", device=CPU, dtype=torch.float32)[
        1
    ].network
    assert isinstance(loaded, IdFormer)
    assert loaded.shape == IDFORMER
    one, both = (idformer.pick(held, np.array([0]), np.array([which])) for which in ([0], [0, 1]))
    assert both[1][0].shape == (1, 10, 64)
    torch.testing.assert_close(loaded(*one), trained(*one), atol=0.01, rtol=0.01)
    assert torch.isfinite(loaded(*both)).all()
    assert torch.isfinite(loaded.unconditional(torch.float32, 5)).all()


def test_idformer_figures_of_the_teacher_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says what the teacher says has no error, and everybody can be read."""
    data, held = random_features(400, 1, 0), random_features(50, 1, 1)

    def perfect(network: IdFormer, some: FeatureSet, *, together: bool = False) -> torch.Tensor:
        tokens = torch.nn.functional.layer_norm(teacher(torch.from_numpy(some.people)), (12,))
        return tokens[:, None]

    monkeypatch.setattr(idformer, "all_tokens", perfect)
    network = idformer.initialised(IDFORMER)
    figures = idformer.idformer_figures(network, teacher, data, held)
    assert figures["error"] == figures["error several"] == 0
    assert figures["nobody"] > 0
    assert set(GROUPS) < set(figures)


def test_group_scores_are_those_of_their_definition() -> None:
    rng = np.random.default_rng(0)
    truth = np.stack([identity_vector(sample_person(rng)) for _ in range(200)])
    perfect = group_scores(truth, truth)
    assert set(perfect) == set(GROUPS)
    assert all(score == pytest.approx(1) for score in perfect.values())
    blind = group_scores(np.broadcast_to(truth.mean(0), truth.shape), truth)
    assert blind["skin"] == pytest.approx(0, abs=1e-6)
    assert blind["freckles"] == pytest.approx(0.5)
    commonest = truth[:, GROUPS["beard"]].mean(0).max()
    assert blind["beard"] == pytest.approx(commonest, abs=1e-6)


def test_a_resumed_training_has_other_chances(tmp_path: Path) -> None:
    assert seed_training(tmp_path, "some", 5) == 0
    first = torch.rand(3)
    torch.save({"step": 7}, tmp_path / "some.ckpt")
    assert seed_training(tmp_path, "some", 5) == 7
    assert not torch.equal(first, torch.rand(3))
