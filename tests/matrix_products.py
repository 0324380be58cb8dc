"""Matrix products by ggml's CPU backend, without a model: from its plain layout, and from ours.

Kernels are chosen once for a process, so this is also a program: it reads products from a file of
NumPy arrays, writes the results to another, and prints what multiplied and what ggml logged.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from pulid_sdcpp.native.library import binding

__all__ = ["Product", "Products", "kernels_here", "multiply", "products_with"]

VARIABLE = "PULID_SDCPP_CPU_KERNELS"
PREFIX = "CPU_"  # of our buffer type's name, before the instruction set's
SETS = ("avx512vnni", "avxvnni", "avx2")
_BUFFER_NAMES = {"CPU_AVX512VNNI", "CPU_AVXVNNI", "CPU_AVX512VL_VNNI", "CPU_AVX2"}
_F32 = 0
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


@dataclass(frozen=True)
class Product:
    """One product of a quantized matrix.

    Attributes:
        dtype: ggml's name of the type, such as "Q4_0".
        weight: (columns, bytes of a row) uint8.
        x: (rows, k) float32.
        threads: How many compute it.
    """

    dtype: str
    weight: np.ndarray
    x: np.ndarray
    threads: int = 1


@dataclass(frozen=True)
class Products:
    """Results of products, each (rows, columns) float32.

    Attributes:
        kernels: Name of the buffer type that they were computed from; None: ggml's plain one.
        log: ggml's messages.
        taken: Whether the buffer type took the matrix, by product; else it was a plain one.
    """

    kernels: str | None
    log: str
    taken: list[bool]
    results: list[np.ndarray]


class _InitParams(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def _ggml() -> Callable[..., Any]:
    """Calls a C function of ggml by name; pointers are integers."""
    library = binding().stable_diffusion_cpp._lib

    def call(name: str, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
        function = getattr(library, name)
        function.restype = result
        return function(
            *(
                ctypes.c_void_p(one) if isinstance(one, int) and one > 2**31 else one
                for one in arguments
            )
        )

    return call


class _Backend:
    """ggml's CPU backend, and the buffer type of ours if it has one."""

    def __init__(self) -> None:
        self.call = _ggml()
        self.messages: list[str] = []
        self._log = _LOG(lambda _level, text, _data: self.messages.append(text.decode()))
        self.call("ggml_log_set", self._log, None, result=None)
        self.backend = self.call("ggml_backend_cpu_init")
        device = self.call("ggml_backend_get_device", self.backend)
        registry = self.call("ggml_backend_dev_backend_reg", device)
        address = self.call(
            "ggml_backend_reg_get_proc_address", registry, b"ggml_backend_dev_get_extra_bufts"
        )
        bufts = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
        self.device, self.ours, self.name = device, None, None
        for i in range(16):
            if not bufts[i]:
                break
            name = self.call("ggml_backend_buft_name", bufts[i], result=ctypes.c_char_p).decode()
            if name in _BUFFER_NAMES:
                self.ours, self.name = bufts[i], name

    def multiply(self, product: Product, plain: bool) -> tuple[np.ndarray, bool]:
        """(result, whether the matrix was in our layout)."""
        call = self.call
        columns, rows, k = len(product.weight), *product.x.shape
        weights, inputs = (call("ggml_init", _InitParams(1 << 20, None, True)) for _ in range(2))
        dtype = int(gguf.GGMLQuantizationType[product.dtype])
        weight = self._matrix(weights, dtype, k, columns)
        x = self._matrix(inputs, _F32, k, rows)
        result = call("ggml_mul_mat", inputs, weight, x)
        buffers = []
        ours = self.ours
        taken = not plain and ours is not None
        if taken:
            buffers.append(call("ggml_backend_alloc_ctx_tensors_from_buft", weights, ours))
            taken = call("ggml_backend_dev_supports_op", self.device, result, result=ctypes.c_bool)
        if not taken:
            weight = self._matrix(inputs, dtype, k, columns)
            result = call("ggml_mul_mat", inputs, weight, x)
        buffers.append(call("ggml_backend_alloc_ctx_tensors", inputs, self.backend))
        self._set(weight, product.weight)
        self._set(x, product.x)
        graph = call("ggml_new_graph", inputs)
        call("ggml_build_forward_expand", graph, result, result=None)
        call("ggml_backend_cpu_set_n_threads", self.backend, product.threads, result=None)
        status = call("ggml_backend_graph_compute", self.backend, graph, result=ctypes.c_int)
        if status != 0:
            raise RuntimeError(f"ggml: status {status}")
        out = np.full((rows, columns), np.nan, np.float32)
        size = ctypes.c_size_t(out.nbytes)
        call("ggml_backend_tensor_get", result, out.ctypes.data, ctypes.c_size_t(0), size)
        for buffer in buffers:
            call("ggml_backend_buffer_free", buffer, result=None)
        for context in (weights, inputs):
            call("ggml_free", context, result=None)
        return out, taken

    def _matrix(self, context: int, dtype: int, k: int, rows: int) -> int:
        sizes = (ctypes.c_int64(k), ctypes.c_int64(rows))
        made: int = self.call("ggml_new_tensor_2d", context, dtype, *sizes)
        return made

    def _set(self, tensor: int, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        size = ctypes.c_size_t(values.nbytes)
        data = values.ctypes.data
        self.call("ggml_backend_tensor_set", tensor, data, ctypes.c_size_t(0), size, result=None)


def multiply(products: Sequence[Product], plain: bool = False) -> Products:
    """Compute them in this process, with the kernels that it has chosen."""
    backend = _Backend()
    found = [backend.multiply(product, plain) for product in products]
    return Products(
        None if plain else backend.name,
        "".join(backend.messages),
        [taken for _, taken in found],
        [result for result, _ in found],
    )


def products_with(
    kernels: str | None, products: Sequence[Product], folder: Path, plain: bool = False
) -> Products:
    """Compute them in a process of its own.

    Args:
        kernels: Value of PULID_SDCPP_CPU_KERNELS; None: it is not set.
        folder: For files; it must exist.
        plain: From ggml's plain layout.
    """
    given, made = folder / "products.npz", folder / "results.npz"
    arrays: dict[str, np.ndarray] = {}
    for i, product in enumerate(products):
        arrays |= {f"weight{i}": product.weight, f"x{i}": product.x}
    about = [(product.dtype, product.threads) for product in products]
    np.savez(given, about=np.array(json.dumps([about, plain])), **arrays)
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if kernels is not None:
        environment[VARIABLE] = kernels
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, __file__, str(given), str(made)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if run.returncode != 0:
        raise RuntimeError(f"status {run.returncode}: {run.stderr}")
    told = json.loads(run.stdout)
    with np.load(made) as results:
        return Products(
            told["kernels"],
            told["log"],
            told["taken"],
            [results[f"result{i}"] for i in range(len(products))],
        )


def kernels_here(folder: Path) -> dict[str, str]:
    """Sets that this processor has, as PULID_SDCPP_CPU_KERNELS names them: the buffer type."""
    found = {name: products_with(name, [], folder) for name in SETS}
    return {
        name: products.kernels
        for name, products in found.items()
        if products.kernels is not None and VARIABLE not in products.log
    }


def _main(given: str, made: str) -> None:
    with np.load(given) as arrays:
        about, plain = json.loads(str(arrays["about"]))
        products = [
            Product(dtype, arrays[f"weight{i}"], arrays[f"x{i}"], threads)
            for i, (dtype, threads) in enumerate(about)
        ]
    found = multiply(products, plain)
    results: Mapping[str, np.ndarray] = {f"result{i}": one for i, one in enumerate(found.results)}
    np.savez(made, **results)  # type: ignore[arg-type]
    print(json.dumps({"kernels": found.kernels, "log": found.log, "taken": found.taken}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
