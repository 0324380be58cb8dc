"""The pocket model's text encoder becomes a whole CLIP-L."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from definition.tensor_files import dequantized, read_gguf, row_major_shape
from file_drafts import draft_safetensors
from pulid_sdcpp.errors import ModelFileError, OutputFileError
from pulid_sdcpp.model_files.description import check_text_encoder
from pulid_sdcpp.pocket.text_encoder import LAYOUT, expand_text_encoder
from standin.clip_l import clip_l_tensors

WIDTH, HEADS, HEAD_DIM, MLP = 40, 2, 8, 24
IDS = (320, 267, 49407, 49406)
TABLE = "text_model.embeddings.token_embedding.weight"
POSITIONS = "text_model.embeddings.position_embedding.weight"
FINAL = "text_model.final_layer_norm.weight"
LAYER = "text_model.encoder.layers.{}"
QUERY, OUT = (f"{LAYER.format(3)}.self_attn.{part}_proj.weight" for part in ("q", "out"))
BIAS = f"{LAYER.format(3)}.self_attn.q_proj.bias"
FC2 = f"{LAYER.format(3)}.mlp.fc2.weight"

Arrays = dict[str, np.ndarray]


def corners() -> Arrays:
    """A small encoder of random numbers, with one layer of some tensors."""
    shapes = {
        "token_embedding": (len(IDS), WIDTH),
        POSITIONS: (77, WIDTH),
        QUERY: (HEADS, HEAD_DIM, WIDTH),
        BIAS: (HEADS, HEAD_DIM),
        OUT: (WIDTH, HEADS, HEAD_DIM),
        FC2: (WIDTH, MLP),
        FINAL: (WIDTH,),
    }
    random = np.random.default_rng(0)
    arrays: Arrays = {"token_ids": np.array(IDS, "<i4")}
    for name, shape in shapes.items():
        exact = len(shape) == 1 or name == FC2
        arrays[name] = random.uniform(-1, 1, shape).astype("<f4" if exact else "<f2")
    return arrays


def write(path: Path, arrays: Arrays, layout: str = LAYOUT) -> Path:
    entries, data = {"__metadata__": {"layout": layout}}, b""
    for name, array in arrays.items():
        start = len(data)
        data += array.tobytes()
        kind = {"i": "I", "f": "F"}[array.dtype.kind] + str(8 * array.itemsize)
        place = [start, len(data)]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": place}
    path.write_bytes(draft_safetensors(entries, data))
    return path


@pytest.fixture(scope="module")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text-encoder")
    output = folder / "clip_l.gguf"
    expand_text_encoder(write(folder / "small.safetensors", corners()), output)
    return output


def test_it_has_the_tensors_of_clip_l(expanded: Path) -> None:
    found = {name: row_major_shape(tensor) for name, tensor in read_gguf(expanded).items()}
    assert found == {spec.name: spec.shape for spec in clip_l_tensors(0)}
    check_text_encoder(expanded, "clip-l")


def test_words_with_a_meaning_keep_it_and_others_have_none(expanded: Path) -> None:
    table = dequantized(read_gguf(expanded)[TABLE])
    words = np.zeros((len(IDS), 768), np.float32)
    words[:, :WIDTH] = corners()["token_embedding"]
    # Q4_0: a block of 32 numbers in 16 steps, of which the outermost is only on one side.
    step = np.abs(words.reshape(-1, 32)).max(1, keepdims=True) / 8
    error = np.abs(table[list(IDS)] - words).reshape(-1, 32)
    assert (error <= 1.01 * step).all()
    assert np.count_nonzero(np.abs(table).sum(1)) == len(IDS)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        (POSITIONS, (77, 768)),
        (QUERY, (12, 64, 768)),
        (BIAS, (12, 64)),
        (OUT, (768, 12, 64)),
        (FC2, (768, 3072)),
        (FINAL, (768,)),
    ],
)
def test_the_rest_of_a_tensor_is_zero(expanded: Path, name: str, grid: tuple[int, ...]) -> None:
    whole = dequantized(read_gguf(expanded)[name]).reshape(grid)
    corner = corners()[name]
    place = tuple(slice(size) for size in corner.shape)
    # In Q8_0 half a step of a block's largest over 127, itself in float16; up to 1 in float16.
    tolerance = 0.5 / 127 + 2**-11 if name in (QUERY, OUT) else 2**-12
    assert np.abs(whole[place] - corner.astype(np.float32)).max() <= tolerance
    whole[place] = 0
    assert not whole.any()


def test_types_follow_the_small_file_s(expanded: Path) -> None:
    types = {name: tensor.tensor_type.name for name, tensor in read_gguf(expanded).items()}
    assert types[TABLE] == "Q4_0"
    assert types[QUERY] == types[OUT] == "Q8_0"
    assert types[FC2] == "F16"
    assert types[POSITIONS] == types[BIAS] == types[FINAL] == "F32"


def test_what_is_absent_is_zero_in_few_bytes(expanded: Path) -> None:
    tensors = read_gguf(expanded)
    absent = set(tensors) - set(corners()) - {TABLE}
    assert len(absent) > 180
    for name in absent:
        assert not tensors[name].data.any()
        if len(tensors[name].shape) == 2:
            assert tensors[name].tensor_type == gguf.GGMLQuantizationType.Q2_K


def reshaped(name: str, *shape: int) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: np.zeros(shape, "<f2")})


def ids(*numbers: int) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update(token_ids=np.array(numbers, "<i4"))


def infinite(arrays: Arrays) -> None:
    arrays[QUERY][0, 0, 0] = np.inf


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (lambda arrays: arrays.pop("token_ids"), "token_ids"),
        (lambda arrays: arrays.pop("token_embedding"), "token_embedding"),
        (lambda arrays: arrays.pop(POSITIONS), POSITIONS),
        (lambda arrays: arrays.pop(FINAL), FINAL),
        (ids(1, 2, 3), "token_embedding"),
        (ids(1, 2, 3, 3), "different"),
        (ids(1, 2, 3, 49408), "49408"),
        (ids(1, 2, 3, -1), "different"),
        (reshaped("token_embedding", 4, 769), "769"),
        (reshaped("token_embedding", 4, 0), "0 wide"),
        (reshaped(QUERY, 13, 8, 40), "(13, 8, 40)"),
        (reshaped(QUERY, 16, 40), "(16, 40)"),
        (reshaped(FINAL, 0), "(0,)"),
        (infinite, QUERY),
        (lambda arrays: arrays.update(more=np.zeros(1, "<f2")), "'more'"),
        (lambda arrays: arrays.update({TABLE: np.zeros((4, 40), "<f2")}), TABLE),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, defect: Callable[[Arrays], object], words: str
) -> None:
    arrays = corners()
    defect(arrays)
    small = write(tmp_path / "small.safetensors", arrays)
    with pytest.raises(ModelFileError) as caught:
        expand_text_encoder(small, tmp_path / "clip_l.gguf")
    assert str(small) in str(caught.value)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == [small]


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    small = write(tmp_path / "small.safetensors", corners())
    small.write_bytes(small.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="truncated"):
        expand_text_encoder(small, tmp_path / "clip_l.gguf")


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other.safetensors", corners(), layout="clip_l-corner-2")
    with pytest.raises(ModelFileError, match="clip_l-corner-2"):
        expand_text_encoder(other, tmp_path / "clip_l.gguf")


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    small = write(tmp_path / "small.safetensors", corners())
    with pytest.raises(OutputFileError, match="does not exist"):
        expand_text_encoder(small, tmp_path / "nowhere" / "clip_l.gguf")
