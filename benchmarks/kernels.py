"""The CPU's kernels for quantized matrices against a loop of the instructions that they use.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --set avx2 --turns 9 --json kernels.json

Compiles native/src/pulid_kernels_*.cpp, for x86, with the C++ compiler that it finds (GCC or Clang;
CXX names another), and measures each instruction set that this processor has, on one core, in
processor time. Kernel and loop take turns, so that a processor that grows slower or faster does so
for both; medians count. The loop multiplies registers and touches no memory: what is missing to it
goes into loading inputs, unpacking codes, and scales.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import load_average
from measured import Comparison, Figure, run_now

__all__ = ["SETS", "InstructionSet", "comparison", "figures", "medians", "sets_of"]

ROOT = Path(__file__).resolve().parents[1]
SHARE = 0.7
"""Of the loop's products a second that a kernel should make."""
_AVX2 = ("-march=x86-64", "-mavx2", "-mfma", "-mf16c", "-ffp-contract=off")
_AVX512 = (*_AVX2, *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni")))
_DOT_256 = ("-DVECTOR=__m256i",)


@dataclass(frozen=True)
class InstructionSet:
    """Kernels of one file, native/src/pulid_kernels_NAME.cpp.

    Attributes:
        needs: Flags of /proc/cpuinfo.
        options: Of the compiler: as in native/kernels.cmake, and what the loop is of.
    """

    needs: frozenset[str]
    options: tuple[str, ...]


_NEEDS_AVX512 = frozenset(("avx512_vnni", "avx512vl", "avx512bw", "avx512dq"))
SETS = {
    "avx512vnni": InstructionSet(
        _NEEDS_AVX512, (*_AVX512, "-DVECTOR=__m512i", "-DDOT_PRODUCT=_mm512_dpbusd_epi32")
    ),
    "avxvnni": InstructionSet(
        frozenset(("avx_vnni",)),
        (*_AVX2, "-mavxvnni", *_DOT_256, "-DDOT_PRODUCT=_mm256_dpbusd_avx_epi32"),
    ),
    "avx512vl": InstructionSet(
        _NEEDS_AVX512, (*_AVX512, *_DOT_256, "-DDOT_PRODUCT=_mm256_dpbusd_epi32")
    ),
    "avx2": InstructionSet(frozenset(("avx2", "fma", "f16c")), _AVX2),
}
Rates = Mapping[str, Sequence[tuple[float, float]]]
"""(kernel's, loop's) 1e9 products a second of each turn, by type."""


def sets_of(flags: frozenset[str]) -> list[str]:
    """Instruction sets that a processor with these flags of /proc/cpuinfo has."""
    return [name for name, one in SETS.items() if one.needs <= flags]


def medians(rates: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """(kernel's rate, loop's rate, kernel's share of the loop's, turn by turn)."""
    shares = [kernel / loop for kernel, loop in rates]
    return (
        statistics.median(kernel for kernel, _ in rates),
        statistics.median(loop for _, loop in rates),
        statistics.median(shares),
    )


def figures(found: Mapping[str, Rates]) -> list[Figure]:
    """How much longer each kernel takes than the loop; `found` is by instruction set."""
    return [
        Figure(
            f"{dtype}, {name}: time against a loop of its instructions",
            round(1 / medians(rates)[2], 3),
            "ratio",
            round(1 / SHARE, 3),
            f"{min(k / n for k, n in rates):.0%} to {max(k / n for k, n in rates):.0%} of it",
        )
        for name, by_type in found.items()
        for dtype, rates in by_type.items()
    ]


def comparison(name: str, by_type: Rates) -> Comparison:
    """Kernels and loops of one instruction set."""
    return Comparison(
        f"Matrix products on one core, {name}",
        "1e9 products a second",
        ("loop of its instructions", "kernel"),
        tuple(
            (dtype, (loop, kernel))
            for dtype, rates in by_type.items()
            for kernel, loop, _ in [medians(rates)]
        ),
    )


def build(name: str, engine: Path, folder: Path) -> Path:
    """The program of an instruction set.

    Raises:
        SystemExit: There is no compiler, or it does not know the instructions.
    """
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    compiler = next((found for one in names if one and (found := shutil.which(one))), None)
    if compiler is None:
        sys.exit("there is no C++ compiler; CXX names one")
    program = folder / name
    command = [compiler, "-std=c++17", "-O3", "-w", *SETS[name].options]
    command += ["-DPULID_COMPILE_KERNELS", f"-DKERNELS=pulid_kernels_{name}"]
    command += [f"-I{ROOT / 'native' / 'src'}", f"-I{engine / 'ggml' / 'include'}"]
    command += [str(ROOT / "native" / "src" / f"pulid_kernels_{name}.cpp")]
    command += [str(Path(__file__).with_suffix(".cpp")), "-o", str(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{compiler} cannot compile the kernels for {name}: {run.stderr[-2000:]}")
    return program


def measure(program: Path, turns: int) -> Rates:
    """Run it."""
    run = subprocess.run([str(program), str(turns)], stdout=subprocess.PIPE, text=True, check=True)
    rates: dict[str, list[tuple[float, float]]] = {}
    for line in run.stdout.splitlines():
        dtype, kernel, loop = line.split()
        rates.setdefault(dtype, []).append((float(kernel), float(loop)))
    return rates


def _processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        sys.exit("this needs Linux: /proc/cpuinfo tells which instructions there are")
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def _engine_source(folder: Path) -> Path:
    """The pinned engine, for one header of ggml: from a build, else unpacked here."""
    built = [*ROOT.glob("build/*/engine"), ROOT / "build" / "engine"]
    found = next((one for one in built if (one / "vendor").is_dir()), None)
    if found is None:
        found = folder / "engine"
        script = ROOT / "native" / "prepare_source.py"
        subprocess.run([sys.executable, str(script), "--output", str(found)], check=True)
    return found / "vendor" / "stable-diffusion.cpp"


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument(
        "--set",
        choices=tuple(SETS),
        action="append",
        help="may be given several times; not given: all that this processor has",
    )
    arguments.add_argument("--turns", type=int, default=5, help="of each (default: 5)")
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    options = arguments.parse_args()
    here = sets_of(_processor_flags())
    lacking = sorted(set(options.set or ()) - set(here))
    if lacking:
        sys.exit(f"this processor has no {', '.join(lacking)}, only {', '.join(here) or 'others'}")
    found = {}
    with tempfile.TemporaryDirectory(prefix="pulid-kernel-benchmark-") as temporary:
        engine = _engine_source(Path(temporary))
        for name in options.set or here:
            found[name] = measure(build(name, engine, Path(temporary)), options.turns)
            print(f"{name}, 1e9 products a second on one core, medians of {options.turns}")
            for dtype, rates in found[name].items():
                kernel, loop, share = medians(rates)
                print(f"  {dtype:8} {kernel:7.1f} of {loop:7.1f}: {share:4.0%}", flush=True)
    if load_average():
        print(f"load average {load_average()}")
    if options.json is not None:
        run_now(
            "kernels",
            "Kernels for quantized matrices",
            figures(found),
            [comparison(name, rates) for name, rates in found.items()],
            turns=str(options.turns),
        ).save(options.json)


if __name__ == "__main__":
    main()
