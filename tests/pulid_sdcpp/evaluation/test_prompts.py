from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.evaluation.options import EvaluationPrompt
from pulid_sdcpp.evaluation.pocket_prompts import pocket_prompts
from pulid_sdcpp.evaluation.prompts import read_prompts


def test_plain_text_is_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff# mine\nin the café\n\n  in the snow  \n", encoding="utf-8")
    assert read_prompts(path) == (EvaluationPrompt("in the café"), EvaluationPrompt("in the snow"))


def test_json_lines_say_what_should_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "a red wall", "attributes": {"background": "red"}}\n{"text": "#"}\n')
    red = EvaluationPrompt("a red wall", {"background": "red"})
    assert read_prompts(path) == (red, EvaluationPrompt("#"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "has no prompts"),
        ("a.txt", b"# only this\n", "has no prompts"),
        ("a.txt", b"\xff\xfe", "has no prompts"),
        ("a.txt", b"caf\xe9", "expected UTF-8 text, found something else at byte 3"),
        ("a.txt", b"good\n" + b"x" * 10_001, "line 2: prompt has 10001 characters"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', "line 2: not JSON"),
        ("a.jsonl", b'["a"]', "line 1: expected an object"),
        ("a.jsonl", b'{"attributes": {}}', "line 1: expected an object"),
        ("a.jsonl", b'{"text": "a", "seed": 3}', "line 1: expected an object"),
        ("a.jsonl", b'{"text": 3}', "line 1: prompt is 3"),
        ("a.jsonl", b'{"text": "a", "attributes": {"hat": 1}}', "line 1: attribute hat is 1"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_prompts(tmp_path / name)


def test_the_pocket_models_prompts_name_what_they_ask_for() -> None:
    prompts = pocket_prompts()
    assert len(prompts) >= 4
    for prompt in prompts:
        assert {"background", "expression", "style"} <= prompt.attributes.keys()
        assert prompt.attributes["background"] in prompt.text
    assert {prompt.attributes["expression"] for prompt in prompts} == {
        "neutral", "smiling", "surprised",
    }  # fmt: skip
