"""The UNet that is trained is the one that the engine runs, people and all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pocket.sdxl_decoder import FirstLayers, flux_layers  # noqa: E402
from pocket.sdxl_export import FILE, write_sdxl  # noqa: E402
from pocket.sdxl_identity import Mode  # noqa: E402
from pocket.sdxl_identity import Person as Trained  # noqa: E402
from pocket.sdxl_unet import Unet, _Norm  # noqa: E402
from pulid_sdcpp import Identity, Person, StableDiffusion  # noqa: E402
from pulid_sdcpp.pocket.pack import PACK_FOLDER, pocket_files  # noqa: E402
from pulid_sdcpp.pocket.sdxl_expansion import CODE_LOUDNESS, NAMES, expand_sdxl  # noqa: E402
from pulid_sdcpp.tensors.tensor_file import TensorFile  # noqa: E402

MAX_DIFFERENCE, MAX_DIFFERENCE_OF_EFFECT = 0.015, 0.1
"""Of one evaluation, and of what a person changes in it, a tenth of it: what is multiplied with
weights in Q8_0 is rounded likewise. `tests/definition` compares the formulas more closely."""
TOKENS, ID_DIM, CODES = 8, 256, 24


@pytest.fixture(scope="module")
def unet() -> Unet:
    """The shipped one, with its weights as the file holds them."""
    unet, state = Unet(), {}
    with TensorFile(PACK_FOLDER / FILE) as file:
        for name, value in unet.state_dict().items():
            part, _, number = name.partition(".")
            stored = f"unet.{'label_emb.0.2.bias' if name == 'label' else name}"
            if part in ("id_to_k", "id_to_v"):
                stored = f"adapter.{2 * int(number) + 1}.{part}.weight"
            state[name] = torch.from_numpy(file.read(stored)).view(value.shape)
    unet.load_state_dict(state)
    return unet.eval().requires_grad_(False)


@pytest.mark.engine
@pytest.mark.parametrize("mode", [Mode("ortho_v2", 20), Mode("none", 0)])
def test_the_engine_computes_what_was_trained(unet: Unet, mode: Mode, tmp_path: Path) -> None:
    files = pocket_files()
    write_sdxl(tmp_path / FILE, unet, FirstLayers())
    expand_sdxl(tmp_path / FILE, files.pulid_weights, files.taesd, tmp_path)
    random = np.random.default_rng(1)
    latent = random.normal(size=(4, 16, 16)).astype(np.float32)
    codes = random.random((77, CODES)).round().astype(np.float32)
    tokens = random.normal(size=(TOKENS, ID_DIM)).astype(np.float32)
    context = np.zeros((77, 2048), np.float32)
    context[:, :CODES] = codes * CODE_LOUDNESS
    roles = {role: tmp_path / name for role, name in NAMES.items()}
    with StableDiffusion(
        diffusion_model_path=roles["diffusion_model"],
        clip_l_path=files.clip_l,
        clip_g_path=roles["clip_g"],
        taesd_path=roles["taesd"],
        pulid_weights=roles["pulid_weights"],
        backend="cpu",
    ) as engine:
        identity = Identity.from_array(tokens, encoder="sdxl-v1.1")
        seen = [
            engine.evaluate(
                latent,
                500.0,
                context,
                np.zeros(2816, np.float32),
                pulid_people=people,
                id_projection=mode.projection,
                id_zeros=mode.zeros,
            )
            for people in ([], [Person(identity, weight=0.8)])
        ]
    person = Trained(torch.from_numpy(tokens)[None], torch.tensor([0.8]))
    text, time = torch.from_numpy(codes)[None], torch.tensor([500])
    trained = [
        unet(torch.from_numpy(latent)[None], time, text, people, mode)[0].numpy()
        for people in ((), (person,))
    ]
    whole = np.linalg.norm(seen[1] - trained[1]) / np.linalg.norm(trained[1])
    effects = [both[1] - both[0] for both in (seen, trained)]
    effect = np.linalg.norm(effects[0] - effects[1]) / np.linalg.norm(effects[1])
    print(f"{mode.projection}: differs by {whole:.1e}, what the person changes by {effect:.1e}")
    assert whole <= MAX_DIFFERENCE
    assert effect <= MAX_DIFFERENCE_OF_EFFECT


def test_a_group_norm_and_its_gradients_are_torch_s() -> None:
    torch.manual_seed(0)
    norm, x, upper = _Norm(64), torch.randn(3, 64, 4, 5), torch.randn(3, 64, 4, 5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x.requires_grad_()
    inputs = (x, norm.weight, norm.bias)
    mine, theirs = norm(x), torch.nn.functional.group_norm(x, 32, *inputs[1:], 1e-6)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(mine, inputs, upper),
        torch.autograd.grad(theirs, inputs, upper),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_first_layers_of_the_decoder_are_flux_s_at_first() -> None:
    layers = flux_layers(pocket_files().taesd)
    names = layers.named_as_in_the_file()
    assert {"decoder.layers.0.weight", "decoder.layers.4.conv.4.bias"} <= set(names)
    assert layers(torch.randn(1, 16, 2, 2)).shape == (1, 48, 2, 2)
