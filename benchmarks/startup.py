"""How long it takes until something can be done: importing, and asking the command for help.

    python benchmarks/startup.py --json benchmarks/results/startup.json

Fresh processes in turn, after one of each that is not counted (it writes .pyc files and brings
files into the page cache); the median of wall and CPU time. `python -c pass` is what no program can
be faster than: what counts is the CPU time above it. The stock binding, stable-diffusion-cpp-python
0.4.7, is compiled in a venv of its own as for generation.py; --no-stock leaves it out. Also says
which modules our processes import.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from measured import Comparison, Figure, run_now
from report import as_text
from stock_venv import DEFAULT_FOLDER, REQUIREMENT, stock_python

BARE = "python -c pass"
ABOVE_BARE_AT_MOST_S = {"import pulid_sdcpp": 0.05, "pulid-sdcpp --help": 0.10}
HEAVY = ("torch", "scipy", "onnx", "onnxruntime", "insightface", "cv2")
"""What must not be imported before it is needed."""
LIST_MODULES = "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def commands(stock: Path | None) -> dict[str, list[str]]:
    """What is started, by its label."""
    python = sys.executable
    program = our_program()
    started = {
        BARE: [python, "-c", "pass"],
        "import pulid_sdcpp": [python, "-c", "import pulid_sdcpp"],
        "pulid-sdcpp --help": [*program, "--help"],
        "pulid-sdcpp generate --help": [*program, "generate", "--help"],
        "from pulid_sdcpp import StableDiffusion": [
            python,
            "-c",
            "from pulid_sdcpp import StableDiffusion",
        ],
    }
    if stock is not None:
        started["python -c pass (stock's venv)"] = [str(stock), "-c", "pass"]
        started["import stable_diffusion_cpp (stock)"] = [
            str(stock),
            "-c",
            "import stable_diffusion_cpp",
        ]
    return started


def our_program() -> list[str]:
    """The installed command; the module where its script is not on this interpreter's path."""
    name = "pulid-sdcpp.exe" if sys.platform == "win32" else "pulid-sdcpp"
    script = Path(sysconfig.get_path("scripts"), name)
    return [str(script)] if script.is_file() else [sys.executable, "-m", "pulid_sdcpp"]


def measure(started: dict[str, list[str]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall and CPU seconds of each command, in turn.

    Raises:
        RuntimeError: A command failed.
    """
    found: dict[str, list[tuple[float, float]]] = {label: [] for label in started}
    for turn in range(repeats + 1):
        for label, command in started.items():
            seconds = run_once(command)
            if turn:
                found[label].append(seconds)
    medians = {}
    for label, times in found.items():
        wall, cpu = ([one[clock] for one in times] for clock in (0, 1))
        medians[label] = (statistics.median(wall), statistics.median(cpu))
    return medians


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    wall, cpu = time.perf_counter(), children_cpu_s()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall, cpu = time.perf_counter() - wall, children_cpu_s() - cpu
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return wall, cpu


def children_cpu_s() -> float:
    """CPU seconds of all processes that have ended; 0 on Windows, which does not count them."""
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported_modules(statement: str) -> list[str]:
    """The modules outside the standard library that a statement imports, top names."""
    code = statement + LIST_MODULES
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    bare = subprocess.run(
        [sys.executable, "-c", LIST_MODULES], capture_output=True, text=True, check=True
    )
    others = set(done.stdout.split()) - set(bare.stdout.split())
    return sorted(others - set(sys.stdlib_module_names))


def time_figures(times: dict[str, tuple[float, float]], repeats: int) -> list[Figure]:
    """What our entrances cost above the interpreter itself: CPU time, or wall time on Windows."""
    clock = 0 if sys.platform == "win32" else 1
    how = f"{('wall', 'CPU')[clock]} time above a bare interpreter's, medians of {repeats}"
    bare = times[BARE][clock]
    return [
        Figure(what, max(0.0, times[what][clock] - bare), "s", at_most, how)
        for what, at_most in ABOVE_BARE_AT_MOST_S.items()
    ]


def module_figures() -> list[Figure]:
    """How many heavy modules come with each of our entrances; the rest by name."""
    figures = []
    for what, statement in (
        ("import pulid_sdcpp", "import pulid_sdcpp"),
        ("the command", "import pulid_sdcpp.cli"),
        ("from pulid_sdcpp import StableDiffusion", "from pulid_sdcpp import StableDiffusion"),
    ):
        modules = imported_modules(statement)
        heavy = [name for name in HEAVY if name in modules]
        note = "of " + ", ".join(HEAVY) + "; imports " + (", ".join(modules) or "nothing")
        figures.append(Figure(f"heavy modules with {what}", len(heavy), "modules", 0, note))
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument("--repeats", type=int, default=15, help="turns (default: 15)")
    arguments.add_argument("--stock-venv", type=Path, default=DEFAULT_FOLDER)
    arguments.add_argument("--no-stock", action="store_true", help="measure ours alone")
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    options = arguments.parse_args()
    stock = None if options.no_stock else stock_python(options.stock_venv)
    times = measure(commands(stock), options.repeats)
    figures = [*time_figures(times, options.repeats), *module_figures()]
    rows = tuple(times.items())
    comparison = Comparison("From nothing to ready", "s", ("wall", "CPU"), rows, ratio=False)
    machine = {} if stock is None else {"stock": REQUIREMENT}
    found = run_now("startup", "Starting", figures, [comparison], **machine)
    if options.json is not None:
        found.save(options.json)
    print(as_text(found))


if __name__ == "__main__":
    main()
