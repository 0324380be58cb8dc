"""The LoRA for two people: what is trained, on what pictures, and what its file does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocket import loop, two_people
from pocket.dataset import SIDE_PX, people_of
from pocket.flux import T5_TOKENS, TEXT_DIM, Flux, FluxConfig, contribution, patchify, unpatchify
from pocket.lora import Lora, write_lora
from pocket.pairs import PairSet, draw_pair
from pocket.portraits.people import IDENTITY_DIM
from pocket.teacher import ID_DIM, ID_TOKENS, Teacher
from pocket.train_two_people import shipped_flux
from pocket.two_people import each_half, halves, load_lora, pair_loss, train_two_people, with_lora
from pulid_sdcpp import Identity, Person, Region, StableDiffusion
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files

CONFIG = FluxConfig(hidden=128, depth=1, depth_single=1, grid=8, id_dim=ID_DIM, id_heads=1)
LEFT, RIGHT = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))


def random_flux(config: FluxConfig = CONFIG) -> Flux:
    """Whose last layer is not zero, so that everything before it is seen."""
    torch.manual_seed(0)
    flux = Flux(config).eval()
    torch.nn.init.normal_(flux.final_layer.linear.weight, std=0.1)
    return flux


def pairs(count: int = 6) -> PairSet:
    generator = torch.Generator().manual_seed(0)
    return PairSet(
        latents=torch.randn(count, 16, 16, 32, generator=generator).half(),
        scenes=torch.randint(3, (count, 4), generator=generator).byte(),
        who=torch.randint(4, (count, 2), generator=generator),
        people=torch.randn(4, IDENTITY_DIM, generator=generator),
        tokens=torch.randn(4, 2, ID_TOKENS, ID_DIM, generator=generator).half(),
    )


def inputs() -> tuple[torch.Tensor, ...]:
    """Latents, time, prompt and two people's tokens of two pictures."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 16, 16, 32, generator=generator),
        torch.tensor([0.9, 0.3]),
        torch.randn(2, 768, generator=generator),
        torch.randn(2, 2, ID_TOKENS, ID_DIM, generator=generator),
    )


def test_an_untrained_lora_changes_nothing() -> None:
    flux = random_flux()
    wide, _ = with_lora(flux)
    plain = Flux(replace(CONFIG, columns=2 * CONFIG.grid))
    plain.load_state_dict(flux.state_dict())
    latents, time, prompt, identity = inputs()
    masks = halves(CONFIG.grid).expand(2, -1, -1)
    with torch.no_grad():
        both = [model(patchify(latents), time, prompt, identity, masks) for model in (wide, plain)]
    # Only the order of summation may differ.
    assert torch.allclose(*both, atol=1e-5), (both[0] - both[1]).abs().max()


def test_only_the_lora_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_people, "BATCH", 2)
    flux = random_flux().requires_grad_(False)
    wide, lora = with_lora(flux)
    torch.manual_seed(0)
    pair_loss(wide, flux, Teacher().requires_grad_(False), pairs()).backward()
    assert lora.names == ["double_blocks.0.img_attn.qkv", "single_blocks.0.linear1"]
    assert all(parameter.grad is None for parameter in wide.parameters())
    assert all(up.grad is not None and up.grad.abs().max() > 0 for up in lora.up)


def test_training_leaves_flux_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EMA_EVERY", 1)  # else a few steps leave no trace
    monkeypatch.setattr(two_people, "BATCH", 2)
    torch.save(Teacher().state_dict(), tmp_path / "teacher.pt")
    flux = random_flux()
    before = {name: value.clone() for name, value in flux.state_dict().items()}
    trained = train_two_people(tmp_path, 1.0, flux, pairs(), pairs())
    assert all(torch.equal(before[name], value) for name, value in flux.state_dict().items())
    _, loaded = load_lora(tmp_path, flux)
    assert all(up.abs().max() > 0 for up in loaded.up)
    for mine, theirs in zip(trained.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_each_half_is_a_picture_of_its_own() -> None:
    flux = random_flux()
    latents, time, prompt, identity = inputs()
    weight = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    with torch.no_grad():
        both = each_half(flux, latents, time, prompt, identity, weight)
        for half in (0, 1):
            part = patchify(latents[..., 16 * half : 16 * half + 16])
            alone = flux(part, time, prompt, identity[:, half], weight[:, half])
            seen = unpatchify(both, CONFIG.grid)[..., 16 * half : 16 * half + 16]
            assert torch.allclose(seen, unpatchify(alone), atol=1e-5)


def test_of_several_people_each_is_where_his_mask_is() -> None:
    flux = random_flux(replace(CONFIG, columns=16))
    latents, time, prompt, identity = inputs()
    x = patchify(latents)
    everywhere = torch.stack((torch.ones(2, 128), torch.zeros(2, 128)), 1)
    with torch.no_grad():
        one = flux(x, time, prompt, identity[:, 0])
        assert torch.allclose(flux(x, time, prompt, identity, everywhere), one, atol=1e-5)
        layer, img = flux.pulid_ca[0], torch.randn(2, 128, CONFIG.hidden)
        masks = halves(CONFIG.grid)[None, ..., None]
        added = contribution(layer, identity, img, masks)
        rows = added.unflatten(1, (8, 16))
        for half, columns in enumerate((slice(8), slice(8, 16))):
            alone = layer(identity[:, half], img).unflatten(1, (8, 16))
            assert torch.allclose(rows[:, :, columns], alone[:, :, columns], atol=1e-5)


def test_two_people_stand_in_one_light() -> None:
    """Where the halves meet there is nothing but background, lit alike on both sides."""
    left, right = people_of(9_000_000, 2)
    for seed in range(20):
        pixels, _ = draw_pair(left, right, np.random.default_rng(seed))
        assert pixels.shape == (SIDE_PX, 2 * SIDE_PX, 3)
        seam = pixels[:40, SIDE_PX - 1 : SIDE_PX + 1].astype(int)
        assert np.abs(np.diff(seam, axis=1)).max() <= 1


def test_the_file_is_a_flux_lora_in_float16(tmp_path: Path) -> None:
    lora = random_lora(random_flux())
    path = tmp_path / "both.safetensors"
    write_lora(path, lora, "a test")
    described = describe_file(path)
    assert described.kind == "lora"
    assert {tensor.name: (tensor.shape, tensor.dtype) for tensor in described.tensors} == {
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": ((5, 128), "f16"),
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight": ((384, 5), "f16"),
        "diffusion_model.single_blocks.0.linear1.lora_A.weight": ((5, 128), "f16"),
        "diffusion_model.single_blocks.0.linear1.lora_B.weight": ((896, 5), "f16"),
    }


def random_lora(flux: Flux) -> Lora:
    """One that changes much, as its float16 file has it."""
    _, lora = with_lora(flux)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for up in lora.up:
            up.copy_(0.3 * torch.randn(up.shape, generator=generator))
        for parameter in lora.parameters():
            parameter.copy_(parameter.half().float())
    return lora


@pytest.mark.engine
@pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and os.environ.get("PULID_REQUIRE_POCKET") != "1",
    reason="the pocket model is not in this folder",
)
def test_the_engine_computes_what_is_trained(tmp_path: Path) -> None:
    """The shipped Flux is quantized, so the engine rounds: with the LoRA no more than without."""
    files = pocket_files()
    flux = shipped_flux(files.models_dir)
    wide, lora = with_lora(flux)
    latents, _, prompt, _ = inputs()
    identity = torch.randn(2, ID_TOKENS, ID_DIM, generator=torch.Generator().manual_seed(3))
    masks = halves(CONFIG.grid)[None]

    def expected() -> np.ndarray:
        with torch.no_grad():
            x = patchify(latents[:1])
            velocity = wide(x, torch.tensor([0.6]), prompt[:1], identity[None], masks)
        return unpatchify(velocity, CONFIG.grid)[0].numpy()

    plain = expected()
    with torch.no_grad():
        for kept, drawn in zip(lora.up, random_lora(flux).up, strict=True):
            kept.copy_(drawn)
        for parameter in lora.parameters():
            parameter.copy_(parameter.half().float())
    changed = expected()
    write_lora(tmp_path / "both.safetensors", lora, "a test")
    people = [
        Person(Identity.from_array(tokens.numpy()), region=region)
        for tokens, region in zip(identity, (LEFT, RIGHT), strict=True)
    ]
    text = np.zeros((T5_TOKENS, TEXT_DIM), np.float32)
    with StableDiffusion(
        diffusion_model_path=files.diffusion_model,
        clip_l_path=files.clip_l,
        taesd_path=files.taesd,
        pulid_weights=files.pulid_weights,
        lora_model_dir=tmp_path,
        backend="cpu",
    ) as engine:
        found = []
        for words in ("a person", "a person <lora:both:1>"):
            # A generation puts the LoRA in; it stays for what is evaluated next.
            engine.generate_image(words, width=64, height=64, sample_steps=1, cfg_scale=1.0)
            found.append(
                engine.evaluate(
                    latents[0].numpy(), 0.6, text, prompt[0].numpy(), pulid_people=people
                )
            )
    rounding = np.abs(found[0] - plain).max()
    difference = np.abs(found[1] - changed).max()
    effect = np.abs(changed - plain).max()
    print(f"rounded by {rounding:.3f}, with the LoRA by {difference:.3f}; it does {effect:.1f}")
    assert effect > 20 * rounding
    assert difference < 2 * rounding
