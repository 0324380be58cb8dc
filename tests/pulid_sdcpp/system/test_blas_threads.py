"""OpenBLAS on one thread, and what was before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pulid_sdcpp.system import blas_threads
from pulid_sdcpp.system.blas_threads import one_blas_thread


@pytest.fixture
def counts(monkeypatch):
    """An OpenBLAS of five threads; what was set, in order."""
    settings = [5]
    controls = (lambda: settings[-1], settings.append)
    monkeypatch.setattr(blas_threads, "_controls", lambda: controls)
    return settings


def test_one_thread_in_the_block_and_as_before_after_it(counts):
    with one_blas_thread() as limited:
        assert limited
        assert counts[-1] == 1
    assert counts == [5, 1, 5]


def test_what_was_before_returns_when_the_block_raises(counts):
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert counts[-1] == 5


def test_what_was_before_returns_after_the_last_of_several_threads(counts):
    barrier = Barrier(3)

    def work(_: int) -> int:
        with one_blas_thread():
            barrier.wait(timeout=60)
            return counts[-1]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(work, range(3))) == [1, 1, 1]
    assert counts == [5, 1, 5]


def test_another_blas_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas_threads, "_controls", lambda: None)
    with one_blas_thread() as limited:
        assert not limited


def test_a_numpy_without_openblas_is_recognised(monkeypatch, tmp_path):
    (tmp_path / "numpy.libs").mkdir()
    (tmp_path / "numpy.libs" / "libopenblas.so").write_bytes(b"not a library")
    monkeypatch.setattr(blas_threads.np, "__file__", str(tmp_path / "numpy" / "__init__.py"))
    assert blas_threads._controls.__wrapped__() is None


def test_numpys_own_openblas_is_set():
    controls = blas_threads._controls()
    if controls is None:
        pytest.skip("this NumPy has no OpenBLAS of its own")
    get_threads, _ = controls
    before = get_threads()
    with one_blas_thread():
        assert get_threads() == 1
    assert get_threads() == before
