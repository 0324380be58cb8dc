"""Folded identities on the disk: found again, never wrong, never in the way."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from file_drafts import write_pulid_weights
from pulid_sdcpp import StableDiffusion
from pulid_sdcpp.errors import ModelFileError, ModelMismatchError
from pulid_sdcpp.families.flux.folding import PackedLayer, fold
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.families.sdxl.folding import UnetLayerKV, fold_for_unet
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.folding import cache as folding_cache
from pulid_sdcpp.folding.cache import FoldingCache, find_folded, limit_from_environment
from pulid_sdcpp.folding.folded_file import FoldedFileWriter
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.tensors.tensor_file import TensorFile
from standin.unet_pulid_file import write_few_unet_layers

LIMIT = 1 << 30
FILE_BYTES = 4096 + 2 * 36864
"""Two layers of 64 rows and 128 columns in F16, each up to whole pages."""


def person(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((32, 64)).astype(np.float32)


def contents(layers: Iterator[PackedLayer]) -> list[tuple[bytes, bytes, bytes, str]]:
    return [
        (layer.a.tobytes(), layer.bias.tobytes(), layer.b.tobytes(), layer.dtype)
        for layer in layers
    ]


def kept(folder: Path) -> list[Path]:
    """Folded identities in a folder, in the order of their last use."""
    return sorted(folder.glob("*.folded"), key=lambda path: path.stat().st_mtime_ns)


def strays(folder: Path) -> list[Path]:
    """What is neither a folded identity nor the record of a hash."""
    return [path for path in folder.iterdir() if path.suffix not in (".folded", ".json")]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path):
    path = write_pulid_weights(tmp_path / "pulid.safetensors")
    os.utime(path, ns=(10**18, 10**18))
    with PulidWeights(path) as opened:
        yield opened


@pytest.fixture
def cache(weights, folder):
    return FoldingCache(weights, LIMIT, folder)


@pytest.fixture
def folds(monkeypatch):
    """How many layers were folded."""
    layers = [0]

    def counted(*arguments):
        folded = fold(*arguments)

        def each():
            for layer in folded:
                layers[0] += 1
                yield layer

        return each()

    monkeypatch.setattr(folding_cache, "fold", counted)
    return layers


@pytest.mark.parametrize("dtype", ["f16", "f32", "q8_0"])
def test_a_hit_has_the_bytes_of_folding(weights, folder, folds, dtype):
    expected = contents(fold(weights, person(1), dtype))
    assert contents(FoldingCache(weights, LIMIT, folder).fold(person(1), dtype)) == expected
    assert folds == [2]
    assert contents(FoldingCache(weights, LIMIT, folder).fold(person(1), dtype)) == expected
    assert folds == [2]
    assert len(kept(folder)) == 1
    assert strays(folder) == []


def test_what_makes_a_difference_has_a_file_of_its_own(cache, folder, tmp_path):
    for tokens, dtype in [
        (person(1), "f16"),
        (person(1), "f32"),
        (person(2), "f16"),
        (np.concatenate([person(1), person(2)]), "f16"),
    ]:
        contents(cache.fold(tokens, dtype))
    with PulidWeights(write_pulid_weights(tmp_path / "other", seed=1)) as others:
        contents(FoldingCache(others, LIMIT, folder).fold(person(1)))
    assert len(kept(folder)) == 5


def test_a_copy_of_the_weights_finds_what_the_original_folded(cache, folder, folds, tmp_path):
    expected = contents(cache.fold(person(1)))
    copy = shutil.copy(tmp_path / "pulid.safetensors", tmp_path / "copy")
    with PulidWeights(copy) as weights:
        assert contents(FoldingCache(weights, LIMIT, folder).fold(person(1))) == expected
    assert folds == [2]


def test_weights_are_hashed_once_and_not_at_every_start(weights, folder, monkeypatch):
    hashed: list[str] = []
    original = TensorFile.content_sha256

    def remember(self, names):
        hashed.append(self.path)
        return original(self, names)

    monkeypatch.setattr(TensorFile, "content_sha256", remember)
    for number in (1, 2):
        contents(FoldingCache(weights, LIMIT, folder).fold(person(number)))
    assert hashed == [weights.path]


def test_a_new_version_of_folding_takes_no_old_file(cache, folds, monkeypatch):
    contents(cache.fold(person(1)))
    monkeypatch.setattr(folding_cache, "FOLDING_VERSION", 10**6)
    contents(cache.fold(person(1)))
    assert folds == [4]


def test_mistakes_are_those_of_folding(cache, folder):
    with pytest.raises(ModelMismatchError, match="width 63"):
        cache.fold(person(1)[:, :63])
    with pytest.raises(ValueError, match="q4_0"):
        cache.fold(person(1), "q4_0")
    assert not folder.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\0",
        lambda content: bytes(len(content)),
        lambda content: content[:-36864] + bytes(36864),  # the last layer
        lambda content: content[:4100] + bytes([content[4100] ^ 1]) + content[4101:],
    ],
    ids=["empty", "half", "longer", "zeros", "zeros at the end", "one bit"],
)
def test_a_damaged_file_is_folded_again_and_replaced(cache, folder, damage, caplog):
    expected = contents(cache.fold(person(1)))
    (path,) = kept(folder)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with caplog.at_level(logging.DEBUG, "pulid_sdcpp.folding_cache"):
        assert contents(cache.fold(person(1))) == expected
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert str(path) in caplog.text
    assert path.read_bytes() == good
    assert strays(folder) == []


def test_another_persons_file_under_this_name_is_not_taken(cache, folder):
    expected = contents(cache.fold(person(1)))
    (first,) = kept(folder)
    contents(cache.fold(person(2)))
    (second,) = set(kept(folder)) - {first}
    os.replace(second, first)
    assert contents(cache.fold(person(1))) == expected


def test_a_folder_under_this_name_is_no_error(cache, folder):
    expected = contents(cache.fold(person(1)))
    (path,) = kept(folder)
    path.unlink()
    path.mkdir()
    assert contents(cache.fold(person(1))) == expected


# Keys and values for a UNet


@pytest.fixture
def unet_weights(tmp_path):
    path = write_few_unet_layers(tmp_path / "pulid_sdxl.safetensors")
    os.utime(path, ns=(10**18, 10**18))
    with SdxlPulidWeights(path) as opened:
        yield opened


def unet_contents(layers: Iterator[UnetLayerKV]) -> list[tuple[bytes, bytes, str]]:
    return [(layer.k.tobytes(), layer.v.tobytes(), layer.dtype) for layer in layers]


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_keys_and_values_from_the_disk_have_the_bytes_of_folding(
    unet_weights, folder, monkeypatch, dtype
):
    expected = unet_contents(fold_for_unet(unet_weights, person(1), dtype))
    folded = []

    def counted(*arguments):
        for layer in fold_for_unet(*arguments):
            folded.append(layer)
            yield layer

    monkeypatch.setattr(folding_cache, "fold_for_unet", counted)
    for _ in range(2):
        cache = FoldingCache(unet_weights, LIMIT, folder)
        assert unet_contents(cache.fold(person(1), dtype)) == expected
        assert len(folded) == len(expected) == 3
    assert len(kept(folder)) == 1
    assert strays(folder) == []


def test_each_number_of_tokens_and_each_family_has_a_file_of_its_own(weights, unet_weights, folder):
    for one in (weights, unet_weights):
        for tokens in (person(1), person(1)[:10], person(1)[:11]):
            assert list(FoldingCache(one, LIMIT, folder).fold(tokens))
    assert len(kept(folder)) == 6
    for tokens in (person(1), person(1)[:10]):
        assert len(find_folded(tokens, folder)) == 2
    assert find_folded(person(2), folder) == []


def test_damaged_keys_and_values_are_folded_again(unet_weights, folder, caplog):
    cache = FoldingCache(unet_weights, LIMIT, folder)
    expected = unet_contents(cache.fold(person(1)))
    (path,) = kept(folder)
    good = path.read_bytes()
    for position in (40, 4100, len(good) - 1):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        caplog.clear()
        assert unet_contents(cache.fold(person(1))) == expected
        assert "is made again" in caplog.text
        assert path.read_bytes() == good


def test_mistakes_are_those_of_folding_for_a_unet(unet_weights, folder):
    cache = FoldingCache(unet_weights, LIMIT, folder)
    with pytest.raises(ModelMismatchError, match="width 63"):
        cache.fold(person(1)[:, :63])
    with pytest.raises(ValueError, match="q8_0"):
        cache.fold(person(1), "q8_0")
    assert not folder.exists()


# Several at once


def test_two_that_write_the_same_file_leave_one_good_one(weights, folder, folds):
    expected = contents(fold(weights, person(1)))
    both = [FoldingCache(weights, LIMIT, folder).fold(person(1)) for _ in range(2)]
    in_turn = list(zip(*both, strict=True))
    assert folds == [4]
    for index in range(2):
        assert contents(iter(layers[index] for layers in in_turn)) == expected
    assert len(kept(folder)) == 1
    assert strays(folder) == []
    assert contents(FoldingCache(weights, LIMIT, folder).fold(person(1))) == expected
    assert folds == [4]


def test_processes_at_once_leave_one_good_file(weights, folder, tmp_path, folds):
    program = (
        "import contextlib, pathlib, sys, time\n"
        "import numpy as np\n"
        "from pulid_sdcpp.folding.cache import FoldingCache\n"
        "from pulid_sdcpp.families.flux.pulid_weights import PulidWeights\n"
        "weights, folder, go = sys.argv[1:]\n"
        "tokens = np.random.default_rng(1).standard_normal((32, 64)).astype(np.float32)\n"
        "cache = FoldingCache(PulidWeights(weights), 1 << 30, pathlib.Path(folder))\n"
        "print('ready', flush=True)\n"
        "while not pathlib.Path(go).exists(): time.sleep(0.001)\n"
        "for _ in range(20):\n"
        "    assert len(list(cache.fold(tokens))) == 2\n"
        "    for path in pathlib.Path(folder).glob('*.folded'):\n"
        "        with contextlib.suppress(OSError): path.unlink()\n"
        "assert len(list(cache.fold(tokens))) == 2\n"
    )
    go = tmp_path / "go"
    command = [sys.executable, "-W", "error", "-c", program, weights.path, str(folder), str(go)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert strays(folder) == []
    expected = contents(fold(weights, person(1)))
    assert contents(FoldingCache(weights, LIMIT, folder).fold(person(1))) == expected
    assert len(kept(folder)) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove a file that is read")
def test_a_file_removed_while_it_is_read_is_read_to_the_end(cache, folder, folds):
    expected = contents(cache.fold(person(1)))
    layers = cache.fold(person(1))
    first = next(layers)
    kept(folder)[0].unlink()
    assert contents(iter([first, *layers])) == expected
    assert folds == [2]


def test_what_is_left_of_a_killed_process_is_removed_after_an_hour(cache, folder):
    folder.mkdir()
    old, young = folder / ".a.folded.x1.part", folder / ".b.folded.x2.part"
    for path, age_s in ((old, 3700), (young, 3500)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    contents(cache.fold(person(1)))
    assert strays(folder) == [young]


# Size


def test_the_least_recently_used_goes_first(weights, folder, folds):
    cache = FoldingCache(weights, 3 * FILE_BYTES - 1, folder)
    files = {}
    for number in (1, 2):
        contents(cache.fold(person(number)))
        (files[number],) = set(kept(folder)) - set(files.values())
        assert files[number].stat().st_size == FILE_BYTES
        os.utime(files[number], (number, number))
    contents(cache.fold(person(1)))  # a hit: 2 is now the one not used for longest
    assert folds == [4]
    contents(cache.fold(person(3)))
    assert files[1] in kept(folder)
    assert files[2] not in kept(folder)
    assert len(kept(folder)) == 2


def test_other_files_are_neither_counted_nor_removed(weights, folder):
    folder.mkdir()
    other = folder / "notes.txt"
    other.write_bytes(bytes(10 * FILE_BYTES))
    cache = FoldingCache(weights, 2 * FILE_BYTES, folder)
    for number in (1, 2, 3):
        contents(cache.fold(person(number)))
    assert other.exists()
    assert len(kept(folder)) == 2


@pytest.mark.parametrize("limit_bytes", [0, 1, FILE_BYTES - 1])
def test_what_is_larger_than_the_limit_is_only_folded(weights, folder, limit_bytes):
    expected = contents(fold(weights, person(1)))
    assert contents(FoldingCache(weights, limit_bytes, folder).fold(person(1))) == expected
    assert not folder.exists()


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 2 << 30), ("", 2 << 30), ("0", 0), ("100", 100 << 20)]
)
def test_the_limit_is_in_the_environment(monkeypatch, value, expected):
    if value is not None:
        monkeypatch.setenv("PULID_SDCPP_FOLD_CACHE_MB", value)
    assert limit_from_environment() == expected


@pytest.mark.parametrize("value", ["-1", "1.5", "2G", "off", "²"])
def test_a_limit_that_is_no_number_is_an_error(monkeypatch, value):
    monkeypatch.setenv("PULID_SDCPP_FOLD_CACHE_MB", value)
    with pytest.raises(ValueError, match=r"PULID_SDCPP_FOLD_CACHE_MB .*0 switches"):
        limit_from_environment()


# What goes wrong


def test_an_iteration_that_ends_early_leaves_nothing(cache, folder):
    layers = cache.fold(person(1))
    next(layers)
    assert len(strays(folder)) == 1
    layers.close()
    assert kept(folder) == strays(folder) == []


def test_weights_that_cannot_be_folded_leave_nothing(cache, folder):
    with pytest.raises(ModelFileError, match="NaN"):
        contents(cache.fold(np.full((32, 64), np.nan, np.float32)))
    assert kept(folder) == strays(folder) == []


def assert_folds_with_one_warning(
    cache: FoldingCache, weights: PulidWeights, caplog: pytest.LogCaptureFixture, words: str
) -> None:
    with caplog.at_level(logging.INFO, "pulid_sdcpp.folding_cache"):
        for number in (1, 2):
            expected = contents(fold(weights, person(number)))
            assert contents(cache.fold(person(number))) == expected
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert words in caplog.text


def test_a_read_only_folder_is_no_error(cache, weights, folder, monkeypatch, caplog):
    # Root may write anywhere, so the answer of the system is put in its mouth.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert_folds_with_one_warning(cache, weights, caplog, "is read-only")
    assert list(folder.iterdir()) == []


def test_a_read_only_folder_is_still_read(cache, folds, monkeypatch):
    expected = contents(cache.fold(person(1)))

    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "utime", refuse)
    assert contents(cache.fold(person(1))) == expected
    assert folds == [2]


def test_a_folder_that_cannot_be_made_is_no_error(cache, weights, folder, caplog):
    folder.write_bytes(b"a file in its place")
    assert_folds_with_one_warning(cache, weights, caplog, f"cannot create {folder}")


def test_a_user_without_a_home_is_no_error(weights, tmp_path, monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(folding_cache, "cache_folder", homeless)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    expected = contents(fold(weights, person(1)))
    assert contents(FoldingCache(weights, LIMIT).fold(person(1))) == expected
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_is_no_error(cache, weights, folder, monkeypatch, caplog):
    added: list[int] = []
    original = FoldedFileWriter.add

    def fail_at_the_second(self: FoldedFileWriter, layer: PackedLayer) -> None:
        added.append(1)
        if len(added) % 2 == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, layer)

    monkeypatch.setattr(FoldedFileWriter, "add", fail_at_the_second)
    assert_folds_with_one_warning(cache, weights, caplog, "No space left on device")
    assert len(added) == 4
    assert kept(folder) == strays(folder) == []


def test_weights_that_change_while_they_are_folded_are_not_kept(cache, folder, weights):
    layers = cache.fold(person(1))
    next(layers)
    os.utime(weights.path)
    with pytest.raises(ModelFileError, match="changed while it was open"):
        list(layers)
    assert kept(folder) == strays(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_the_folder_is_the_users_own(cache, folder):
    contents(cache.fold(person(1)))
    assert folder.stat().st_mode & 0o077 == 0
    (file,) = kept(folder)
    assert file.stat().st_mode & 0o777 == 0o600
    # As an earlier version may have left it.
    folder.chmod(0o777)
    file.chmod(0o644)
    contents(cache.fold(person(1)))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


# With the engine


@pytest.mark.engine
@pytest.mark.parametrize("dtype", ["f16", "q8_0"])
def test_a_picture_from_the_cache_is_the_picture_without(
    make_weights: Callable[..., dict[str, Path]],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    folds: list[int],
    dtype: str,
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(folder))

    few = make_weights(depth=2, depth_single=2, hidden=128)

    def picture(**options: object) -> bytes:
        with load_engine(few, pulid_dtype=dtype, **options) as engine:
            (image,) = engine.generate_image(
                "a portrait", width=32, height=32, sample_steps=2, cfg_scale=2.0, seed=7,
                pulid_id_embedding=make_identity(1),
            )  # fmt: skip
        return bytes(image.tobytes())

    without = picture(pulid_fold_cache=False)
    assert not folder.exists()
    folded = folds[0]
    assert folded > 0
    assert picture() == without
    assert folds == [2 * folded]
    assert len(kept(folder / "folded")) == 2  # the person and nobody
    assert picture() == without
    assert folds == [2 * folded]


@pytest.mark.engine
@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_a_picture_of_a_unet_from_the_cache_is_the_picture_without(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Callable[..., StableDiffusion],
    make_sdxl_identity: Callable[..., Identity],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    dtype: str,
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(folder))
    folded = []

    def counted(*arguments):
        for layer in fold_for_unet(*arguments):
            folded.append(layer)
            yield layer

    monkeypatch.setattr(folding_cache, "fold_for_unet", counted)
    alice = make_sdxl_identity(1)

    def picture(**options: object) -> bytes:
        with load_sdxl(small_sdxl_weights, pulid_dtype=dtype, backend="cpu", **options) as engine:
            (image,) = engine.generate_image(
                "a portrait", width=64, height=64, sample_steps=1, cfg_scale=2.0, seed=7,
                pulid_id_embedding=alice,
            )  # fmt: skip
        return bytes(image.tobytes())

    without = picture(pulid_fold_cache=False)
    assert not folder.exists()
    layers = len(folded)
    for made in (layers, 0):
        folded.clear()
        assert picture() == without
        assert len(folded) == made
        assert len(kept(folder / "folded")) == 2  # the person and nobody
    assert layers > 0


@pytest.mark.engine
def test_a_wrong_limit_is_refused_before_the_model_is_loaded(
    standin_weights: dict[str, Path],
    load_engine: Callable[..., StableDiffusion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULID_SDCPP_FOLD_CACHE_MB", "much")
    with pytest.raises(ValueError, match="'much', but must be a whole number"):
        load_engine(standin_weights)
