from __future__ import annotations

import re
from pathlib import Path

import kernels

ROOT = Path(kernels.__file__).parents[1]


def test_the_share_is_the_median_of_the_turns() -> None:
    rates = [(70.0, 100.0), (10.0, 100.0), (45.0, 50.0)]  # a processor that grows slower
    assert kernels.medians(rates) == (45.0, 100.0, 0.7)
    figure = kernels.figures({"avx2": {"Q4_0": rates}})[0]
    assert (figure.value, figure.met) == (1.429, True)
    assert figure.note == "10% to 90% of it"
    assert kernels.figures({"avx2": {"Q4_0": [(69.0, 100.0)]}})[0].met is False
    assert kernels.comparison("avx2", {"Q4_0": rates}).rows == (("Q4_0", (100.0, 45.0)),)


def test_a_processor_has_the_sets_whose_instructions_it_has() -> None:
    avx2 = {"avx2", "fma", "f16c"}
    avx512 = {"avx512_vnni", "avx512vl", "avx512bw", "avx512dq"}
    assert kernels.sets_of(frozenset({"avx2", "fma"})) == []
    assert kernels.sets_of(frozenset(avx2 | {"avx_vnni"})) == ["avxvnni", "avx2"]
    assert kernels.sets_of(frozenset(avx2 | avx512)) == ["avx512vnni", "avx512vl", "avx2"]


def test_kernels_are_compiled_as_the_engines_are() -> None:
    """Each set's options are those of native/kernels.cmake, but for what names the loop."""
    text = (ROOT / "native" / "kernels.cmake").read_text()
    names = re.search(r"set\(KERNEL_SETS (.*)\)", text)
    assert names is not None
    assert set(names[1].split()) == set(kernels.SETS)
    options: dict[str, list[str]] = {}
    for name, words in re.findall(r"set\(FLAGS_(\w+) ([^/\n]*)\)", text):
        options[name] = []
        for word in words.split():
            before = re.fullmatch(r"\$\{FLAGS_(\w+)\}", word)
            options[name] += options[before[1]] if before else [word]
    for name, one in kernels.SETS.items():
        assert [word for word in one.options if not word.startswith("-D")] == options[name]
