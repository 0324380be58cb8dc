from __future__ import annotations

import pytest

from pulid_sdcpp.system.size_text import described_size


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "size unknown"), (5, "5 bytes"), (999_500, "1 MB"), (12_687_821_728, "12.7 GB"),
     (1_142_099_520, "1.1 GB"), (335_304_388, "335 MB"), (4_000, "4 kB"),
     (999_900_000, "1.0 GB"), (123_456_000_000, "123 GB")],
)  # fmt: skip
def test_sizes_in_words(size: int, words: str) -> None:
    assert described_size(size) == words
