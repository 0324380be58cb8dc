"""`generate` in a process of its own, on the real engine and stand-in weights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from command_worker import CommandWorker, Outcome
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.pictures.parameters import generation_options_from, identity_values_from
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text

pytestmark = pytest.mark.engine

Files = dict[str, Path]
PROGRAM = (sys.executable, "-m", "pulid_sdcpp")
LIMIT_S = 300


class Generate:
    """Calls the command with files that fit; a test replaces one of them."""

    def __init__(self, worker: CommandWorker, weights: Files, identity: Path, folder: Path) -> None:
        self.worker = worker
        self.folder = folder
        self.output = folder / "out.png"
        self.files: dict[str, Path] = {
            "--diffusion-model": weights["flux-q8_0"],
            "--clip_l": weights["clip_l"],
            "--tae": weights["taesd"],
            "--pulid-weights": weights["pulid"],
            "--pulid-id-embedding": identity,
        }

    def command(self, *flags: str, **files: Path) -> list[str]:
        """`files` by flag, without the leading hyphens and with _ for -."""
        chosen = {**self.files, **{f"--{k.replace('_', '-')}": v for k, v in files.items()}}
        if "--clip-l" in chosen:
            chosen["--clip_l"] = chosen.pop("--clip-l")
        named = [str(part) for pair in chosen.items() for part in pair]
        size = ("-p", "a face", "-W", "64", "-H", "64", "--steps", "2")
        return ["generate", *named, *size, "-o", str(self.output), "--overwrite", *flags]

    def __call__(self, *flags: str, **files: Path) -> Outcome:
        return self.worker.run(self.command(*flags, **files))

    def refused(self, *flags: str, **files: Path) -> str:
        """The error of a call that must fail as it should; its one line."""
        before = sorted(self.folder.iterdir())
        done = self(*flags, **files)
        assert done.status in (1, 2), f"status {done.status}: {done.stderr}"
        assert "Traceback" not in done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, done.stderr
        assert done.stderr.splitlines()[-1] == errors[0]
        assert done.stdout == ""
        assert sorted(self.folder.iterdir()) == before
        return errors[0]


@pytest.fixture(scope="module")
def worker() -> Iterator[CommandWorker]:
    worker = CommandWorker()
    yield worker
    worker.close()


@pytest.fixture
def generate(
    worker: CommandWorker, standin_weights: Files, identity_file: Path, tmp_path: Path
) -> Generate:
    folder = tmp_path / "out"
    folder.mkdir()
    return Generate(worker, standin_weights, identity_file, folder)


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_a_person_in_a_picture_and_again_from_its_text(generate: Generate) -> None:
    done = generate("-s", "7", "--pulid-id-weight", "1.5")
    assert done.status == 0, done.stderr
    assert done.stdout == f"saved {generate.output} (seed 7)\n"
    first = generate.output.read_bytes()
    text = read_picture_text(generate.output)
    assert text is not None
    read = parse_text(text)
    options = generation_options_from(read)
    identity = IdentityOptions(**identity_values_from(read))
    again = generate("-s", str(options.seed), "--steps", str(options.steps),
                     "--pulid-id-weight", str(identity.weight))  # fmt: skip
    assert again.status == 0, again.stderr
    assert generate.output.read_bytes() == first
    assert generate("-s", "7", "--pulid-id-weight", "0").status == 0
    assert pixels(generate.output) != Image.open(_copy(generate, first)).tobytes()


def _copy(generate: Generate, content: bytes) -> Path:
    path = generate.folder / "copy.png"
    path.write_bytes(content)
    return path


def test_each_picture_of_a_batch_is_that_of_its_seed(generate: Generate) -> None:
    assert generate("-b", "2", "-s", "5").status == 0
    assert generate("-s", "6").status == 0
    second = generate.folder / "out_1.png"
    assert pixels(second) == pixels(generate.output)
    assert pixels(second) != pixels(generate.folder / "out_0.png")


def test_ctrl_c_stops_within_a_step_and_leaves_nothing(generate: Generate) -> None:
    command = [*PROGRAM, *generate.command("--steps", "1000", "--json")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if '"stage": "denoise", "step": 2,' in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
        said = process.stderr.read()
        watchdog.cancel()
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert rest.count('"event": "step"') <= 3  # those under way when the signal came
    assert not list(generate.folder.iterdir())


@pytest.mark.parametrize(
    "flag", ["diffusion-model", "clip-l", "tae", "pulid-weights", "pulid-id-embedding"]
)
def test_a_missing_file_a_folder_and_a_file_that_is_something_else(
    generate: Generate, tmp_path: Path, flag: str
) -> None:
    name = flag.replace("-", "_")
    text = tmp_path / "text.gguf"
    text.write_text("this is no model")
    for path in (tmp_path / "absent.gguf", tmp_path, text):
        assert str(path) in generate.refused(**{name: path})


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        ("pulid-id-embedding", "--pulid-weights"),
        ("pulid-id-embedding", "--diffusion-model"),
        ("pulid-weights", "--pulid-id-embedding"),
        ("pulid-weights", "--diffusion-model"),
        ("diffusion-model", "--pulid-weights"),
        ("diffusion-model", "--clip_l"),
        ("clip-l", "--diffusion-model"),
        ("tae", "--clip_l"),
        ("vae", "--tae"),
    ],
)
def test_a_file_of_the_wrong_kind_is_named(generate: Generate, flag: str, given: str) -> None:
    path = generate.files[given]
    assert str(path) in generate.refused(**{flag.replace("-", "_"): path})


def test_weights_for_sdxl_are_told_from_those_for_flux(generate: Generate, tmp_path: Path) -> None:
    path = tmp_path / "pulid_v1.1.safetensors"
    save_file({"id_adapter_attn_layers.0.id_to_k.weight": np.zeros((4, 4), np.float32)}, path)
    assert "SDXL" in generate.refused(pulid_weights=path)


@pytest.mark.parametrize("flag", ["--diffusion-model", "--clip_l", "--tae", "--pulid-weights",
                                  "--pulid-id-embedding"])  # fmt: skip
@pytest.mark.parametrize("part", [0.0, 0.001, 0.999])
def test_a_truncated_file_is_named(
    generate: Generate, tmp_path: Path, flag: str, part: float
) -> None:
    source = generate.files[flag]
    path = tmp_path / f"cut{source.suffix}"
    shutil.copy(source, path)
    os.truncate(path, int(source.stat().st_size * part))
    name = flag.lstrip("-").replace("-", "_")
    assert str(path) in generate.refused(**{name: path})


@pytest.mark.parametrize("sizes", [{"hidden": 128}, {"depth": 5}, {"depth_single": 9}])
def test_weights_and_model_that_do_not_belong_together(
    generate: Generate, make_weights: Callable[..., Files], sizes: dict[str, int]
) -> None:
    other = make_weights(**sizes)
    assert "pulid" in generate.refused(pulid_weights=other["pulid"]).lower()


def test_an_identity_of_another_width_is_refused(generate: Generate, tmp_path: Path) -> None:
    path = tmp_path / "narrow.pulidembd"
    Identity.from_array(np.ones((32, 64), np.float32)).save(path)
    assert "64" in generate.refused(pulid_id_embedding=path)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-W", "0"), "-W is 0"),
        (("-W", "-512"), "-W is -512"),
        (("-H", "100"), "use 96 or 112"),
        (("-H", "1000000000"), "-H is 1000000000"),
        (("--steps", "0"), "steps is 0"),
        (("--pulid-id-weight", "nan"), "weight is nan"),
        (("--backend", "vulkan77"), "vulkan77"),
        (("--backend", "brain=cpu"), "brain"),
        (("-p", "a <lora:absent:1> face"), "absent"),
        (("--type", "q1_0"), "q1_0"),
        (("--tensor-type-rules", "(=f16"), "regular expression"),
        (("-t", "100000"), "-t is 100000"),
        (("-o", "out.bmp"), ".bmp"),
    ],
)
def test_a_value_that_cannot_work_is_named(
    generate: Generate, flags: tuple[str, ...], words: str
) -> None:
    assert words in generate.refused(*flags)


def test_an_output_that_cannot_be_written_is_found_before_loading(
    generate: Generate, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    for output in (file / "out.png", file / "absent" / "out.png"):
        assert str(file) in generate.refused("-o", str(output))


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as POSIX does")
def test_a_full_disk_is_one_line_and_leaves_no_partial_file(generate: Generate) -> None:
    import resource

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [*PROGRAM, *generate.command()],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        preexec_fn=no_room,
    )
    assert done.returncode == 1, done.stderr
    assert f"error: cannot write {generate.output}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(generate.folder.iterdir())
