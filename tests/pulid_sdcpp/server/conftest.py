"""A real server that tests share which leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .running import RunningServer, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Without keys, with the pocket model and the defaults of every setting."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server
