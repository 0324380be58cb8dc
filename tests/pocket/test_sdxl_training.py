"""The pocket SDXL's training: that it learns, and what it learns from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pocket import sdxl_training  # noqa: E402
from pocket.dataset import people_of  # noqa: E402
from pocket.orthogonal_momentum import OrthogonalMomentum, orthogonal  # noqa: E402
from pocket.sdxl_data import PictureSet, draw_target, patch_pca_of  # noqa: E402
from pocket.sdxl_training import SceneTexts, load_unet, train_unet, unet_loss  # noqa: E402
from pocket.sdxl_unet import Unet  # noqa: E402
from pulid_sdcpp.pocket.pack import pocket_files  # noqa: E402

PEOPLE = 120


@pytest.fixture(scope="module")
def data() -> PictureSet:
    torch.manual_seed(0)
    return PictureSet(
        torch.ones(PEOPLE, 2, 16, 16, 16).half(),
        torch.randint(3, (PEOPLE, 2, 3)).byte(),
        torch.randn(PEOPLE, 8, 256).half(),
    )


def codes(prompt: str) -> torch.Tensor:
    return torch.full((77, 24), float(len(prompt) % 7))


def test_the_loss_falls(data: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdxl_training, "SCENES", 2)
    monkeypatch.setattr(sdxl_training, "PER_SCENE", 2)
    torch.manual_seed(0)
    unet, texts = Unet(), SceneTexts(codes, data.scenes, wordings=1)  # type: ignore[arg-type]
    optimizer = sdxl_training._optimizer(unet)
    losses = []
    for _ in range(16):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * group.get("factor", 1.0)
        loss = unet_loss(unet, data, texts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def test_a_training_goes_on_where_it_stopped(
    data: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdxl_training, "SCENES", 1)
    monkeypatch.setattr(sdxl_training, "PER_SCENE", 1)
    monkeypatch.setattr(sdxl_training, "WORDINGS", 1)
    for budget_s in (0.05, 0.1):
        unet = train_unet(tmp_path, budget_s, data, codes)  # type: ignore[arg-type]
    kept = load_unet(tmp_path)
    for one, other in zip(unet.parameters(), kept.parameters(), strict=True):
        assert torch.equal(one, other)


def test_texts_are_those_of_the_pictures() -> None:
    scenes = torch.tensor([[[0, 0, 0], [7, 2, 5]], [[7, 2, 5], [1, 1, 1]]])
    said: list[str] = []
    texts = SceneTexts(lambda prompt: said.append(prompt) or codes(prompt), scenes, 1)  # type: ignore
    assert len(said) == len(texts.choices) == 8 * 3 * 6
    for _ in range(10):
        _, pictures = texts.draw(2, 3)
        for shown in pictures.tolist():
            assert len({tuple(scenes.flatten(0, 1)[n].tolist()) for n in shown}) == 1


def test_orthogonal_momentum_moves_all_directions_alike() -> None:
    torch.manual_seed(0)
    for shape in ((2, 16, 48), (1, 48, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.5
        assert values.max() < 1.5


def test_its_state_is_kept() -> None:
    def made() -> tuple[list[torch.nn.Parameter], OrthogonalMomentum]:
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(4, 4)), torch.nn.Parameter(torch.randn(4))]
        return parameters, OrthogonalMomentum(parameters[:1], parameters[1:])

    def step(parameters: list[torch.nn.Parameter], optimizer: OrthogonalMomentum) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        sum(parameter.square().sum() for parameter in parameters).backward()  # type: ignore
        optimizer.step()
        optimizer.zero_grad()

    through, stopped = made(), made()
    step(*through)
    step(*stopped)
    resumed = made()
    for mine, theirs in zip(resumed[0], stopped[0], strict=True):
        mine.data.copy_(theirs)
    resumed[1].load_state_dict(stopped[1].state_dict())
    step(*through)
    step(*resumed)
    for one, other in zip(through[0], resumed[0], strict=True):
        assert torch.equal(one, other)


def test_a_target_is_decided_by_person_and_scene() -> None:
    (person,) = people_of(1, 1)
    seen: dict[tuple[int, int, int], np.ndarray] = {}
    random, again = np.random.default_rng(0), 0
    for _ in range(60):
        pixels, scene = draw_target(person, random)
        assert pixels.shape == (128, 128, 3)
        if scene in seen:
            again += 1
            assert np.array_equal(seen[scene], pixels)
        seen[scene] = pixels
    assert again


def test_latents_are_those_of_the_shipped_encoder() -> None:
    pca = patch_pca_of(pocket_files().taesd)
    assert pca.matrix.shape == (192, 16)
    grey = torch.full((1, 8, 8, 3), 0.5)
    bright = torch.full((1, 8, 8, 3), 0.9)
    assert (pca.encode(bright) - pca.encode(grey)).abs().max() > 0.2
    assert SimpleNamespace(latents=pca.encode(grey)).latents.shape == (1, 16, 1, 1)
