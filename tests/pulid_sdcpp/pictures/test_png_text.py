from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pulid_sdcpp.errors import ImageFileError, OutputFileError
from pulid_sdcpp.pictures.png_text import (
    PICTURE_SUFFIXES,
    PictureText,
    _pairs,
    check_picture_path,
    format_text,
    parse_text,
    read_picture_text,
    save_picture,
)

VALUES = {"Steps": "4", "Seed": "42", "Size": "64x64"}
PICTURE = Image.new("RGBA", (16, 16), (250, 20, 30, 255))

# What a prompt may hold: anything but NUL and lone surrogates (options.py).
prompts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
keys = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 \-/]{1,10}", fullmatch=True)


def test_the_form_is_the_one_of_automatic1111() -> None:
    text = format_text(PictureText("a face\nin oil", "blurry", {**VALUES, "Model": "a, b: c"}))
    assert text == (
        'a face\nin oil\nNegative prompt: blurry\nSteps: 4, Seed: 42, Size: 64x64, Model: "a, b: c"'
    )


@given(
    prompt=prompts,
    negative=prompts,
    values=st.dictionaries(keys, prompts, min_size=1, max_size=6),
)
def test_text_comes_back_exactly(prompt: str, negative: str, values: dict[str, str]) -> None:
    text = PictureText(prompt, negative, values)
    assert parse_text(format_text(text)) == text


@pytest.mark.parametrize(
    "prompt",
    [
        "Negative prompt: in the prompt",
        "a\nNegative prompt: b\nc",
        "Steps: 3, Seed: 1, Size: 2x2",
        "  spaces around  ",
        "line\r\nends",
        "",
        "\n",
        '"quoted"',
    ],
)
@pytest.mark.parametrize("negative", ["", "x", "Steps: 1, A b: 2, C d: 3", " "])
def test_prompts_that_look_like_the_form_survive_it(prompt: str, negative: str) -> None:
    text = PictureText(prompt, negative, VALUES)
    assert parse_text(format_text(text)) == text


@given(st.text(max_size=300))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    parse_text(text)


def quoted_and_plain(line: str) -> list[tuple[str, str]]:
    """The pairs by AUTOMATIC1111's own expression, which takes the square of the time."""
    return re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', line)


LIKELY = st.sampled_from(
    ["a", "ab", "é", "_", "1", " ", "\t", "-", "/", ":", ": ", ",", ", ", '"', '""', '":', '",',
     "\\", '\\"', "(", "\r", "\u2028", "key: ", 'k k: "v, w"', "a: 1, "]
)  # fmt: skip


@given(st.lists(LIKELY, max_size=40).map("".join))
def test_pairs_are_those_of_the_expression(line: str) -> None:
    assert list(_pairs(line)) == quoted_and_plain(line)


@pytest.mark.parametrize(
    "part",
    ["a", " ", ":", ",", '"', "a:", "a: ", "a ", "-", "ab:", 'ab:"', 'ab:"x,', 'ab:"\\', "ab: x,",
     "\\", 'ab:"\\",', "\n", "a\n", "Negative prompt:\n", "é,"],
)  # fmt: skip
def test_long_texts_are_read_in_one_pass(part: str) -> None:
    """The expression above takes a minute for 60,000 of some of these."""
    parse_text("a picture\n" + part * (250_000 // len(part)))


def test_a_text_without_end_is_refused(tmp_path: Path) -> None:
    save_picture(PICTURE, tmp_path / "a.png", "a" * 262_145)
    with pytest.raises(ImageFileError, match=r"a\.png: expected a text of 262144 characters"):
        read_picture_text(tmp_path / "a.png")


def test_another_programs_text_is_read() -> None:
    text = parse_text(
        "portrait <lora:x:1>\nNegative prompt: ugly\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, "
        'Seed: 1, Size: 512x768, Lora hashes: "x: 1a2b, y: 3c4d", Version: v1.9.0'
    )
    assert text.prompt == "portrait <lora:x:1>"
    assert text.values["Lora hashes"] == "x: 1a2b, y: 3c4d"
    assert text.values["Version"] == "v1.9.0"


@pytest.mark.parametrize("key", ["", "a", "a:b", "a,b", "Exact prompt"])
def test_a_key_without_a_place_in_the_form_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        format_text(PictureText("p", "", {key: "1"}))


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
@pytest.mark.parametrize("prompt", ["plain", "naïve", "肖像 🙂", "a\nb"])
def test_every_format_keeps_the_text(tmp_path: Path, suffix: str, prompt: str) -> None:
    text = format_text(PictureText(prompt, "", VALUES))
    path = tmp_path / f"a{suffix}"
    save_picture(PICTURE, path, text)
    assert read_picture_text(path) == text
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (16, 16))
        red, green, blue = image.getpixel((8, 8))
        assert abs(red - 250) + abs(green - 20) + abs(blue - 30) <= 12


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_a_picture_without_text_has_none(tmp_path: Path, suffix: str) -> None:
    save_picture(PICTURE, tmp_path / f"a{suffix}")
    assert read_picture_text(tmp_path / f"a{suffix}") is None


def test_png_keeps_the_pixels_and_the_chunk_has_its_name(tmp_path: Path) -> None:
    image = Image.frombytes("RGB", (16, 16), bytes(range(256)) * 3)
    save_picture(image, tmp_path / "a.png", "hello")
    assert b"tEXtparameters\0hello" in (tmp_path / "a.png").read_bytes()
    with Image.open(tmp_path / "a.png") as read:
        assert read.tobytes() == image.tobytes()


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_picture(PICTURE, tmp_path / name, "text")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("name", ["a.gif", "a.bmp", "a", "a.png.tiff"])
def test_another_format_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"use \.png, \.jpg"):
        save_picture(PICTURE, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_text_too_long_for_exif_is_refused_before_saving(tmp_path: Path) -> None:
    check_picture_path(tmp_path / "a.png", "x" * 100_000)
    with pytest.raises(ValueError, match=r"use \.png or a shorter prompt"):
        check_picture_path(tmp_path / "a.jpg", "x" * 100_000)


def test_a_full_disk_leaves_the_old_picture_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFileError, match="No space left"):
        save_picture(PICTURE, path, "text")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", None])
def test_a_file_that_is_no_picture_is_refused_by_name(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.png"):
        read_picture_text(path)


def test_a_cut_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_picture(Image.effect_noise((64, 64), 90), path, "text")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ImageFileError, match=r"a\.png"):
        read_picture_text(path)
