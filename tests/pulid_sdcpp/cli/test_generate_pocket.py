"""`generate` for real: the pocket model, its portraits, and a process that is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from command_worker import CommandWorker
from pulid_sdcpp.pictures.png_text import read_picture_text, save_picture
from pulid_sdcpp.pocket.pack import pocket_files
from standin.esrgan import esrgan_weights, write_esrgan

pytestmark = [pytest.mark.engine, pytest.mark.extract]

PROGRAM = (sys.executable, "-m", "pulid_sdcpp")
LIMIT_S = 240


@pytest.fixture(scope="module")
def worker() -> Iterator[CommandWorker]:
    worker = CommandWorker()
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def portraits() -> list[str]:
    return [str(path) for path in pocket_files().portraits]


def made(worker: CommandWorker, *arguments: str) -> str:
    """What the command says on stderr."""
    done = worker.run(["generate", *arguments])
    assert done.status == 0, done.stderr
    return done.stderr


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_a_portrait_becomes_a_picture_and_the_picture_itself_again(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    first, again, other = (str(tmp_path / f"{name}.png") for name in ("first", "again", "other"))
    asked = ("--preset", "pocket", "--portrait", portraits[0], "-p", 'a portrait, "red"\nhat')
    said = made(worker, *asked, "-s", "-1", "--id-start-step", "25%", "--id-weight", "0.8",
                "--cfg-scale", "1.5", "-n", "blue", "-o", first)  # fmt: skip
    assert said.startswith("pocket: 128x128, 4 steps\n")  # what the preset chose
    assert "not as in" not in made(worker, "--from", first, "-o", again)
    assert Path(again).read_bytes() == Path(first).read_bytes()
    # What is given goes before what the picture says, and the person was not extracted again.
    told = made(worker, "--from", first, "-o", other, "--id-weight", "0")
    assert "extract" not in told.splitlines()
    assert pixels(Path(other)) != pixels(Path(first))


def test_a_presets_lora_is_that_lora_in_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = pocket_files().loras / "two-people.safetensors"
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.toml").write_text(
        f"[presets.pair]\nbase = 'pocket'\nfiles.lora = '{lora}'\nsettings = {{ steps = 1 }}\n"
    )
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(config))
    preset, prompt, without, again = (
        tmp_path / f"{name}.png" for name in ("preset", "prompt", "without", "again")
    )
    asked = ("-W", "64", "-H", "64", "--steps", "1")
    worker = CommandWorker()  # with this environment
    made(worker, "--preset", "pair", *asked, "-p", "a face", "-o", str(preset))
    made(worker, "--preset", "pocket", *asked, "-p", "a face<lora:two-people>", "-o", str(prompt))
    made(worker, "--preset", "pair", *asked, "-p", "a face<lora:two-people:0>", "-o", str(without))
    made(worker, "--from", str(preset), "-o", str(again))
    worker.close()
    assert pixels(preset) == pixels(prompt) == pixels(again)
    assert pixels(without) != pixels(preset)
    with Image.open(preset) as image:
        assert image.info["parameters"].startswith("a face<lora:two-people:1>\n")


def test_who_is_kept_by_name_is_in_the_picture_as_from_the_photo(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    """One photo is small, one of somebody else: both are said, and the name works anyway."""
    photo, other = portraits[:2]
    small = str(tmp_path / "small.png")
    with Image.open(photo) as image:
        image.resize((96, 96)).save(small)
    added = worker.run(["people", "add", "Pocket Person", photo, small, other, "--preset=pocket"])
    assert added.status == 0, added.stderr
    warnings = [line for line in added.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.split(": ")[1] for line in warnings] == [
        f"photo 2 ({small})",
        f"photo 3 ({other})",
    ]
    assert "looks like somebody else" in warnings[1]
    asked = ("--preset", "pocket", "-p", "a face", "-o")
    by_name, by_photo = tmp_path / "name.png", tmp_path / "photo.png"
    made(worker, *asked, str(by_name), "--portrait", "pocket person")
    photos = [part for each in (photo, small, other) for part in ("--portrait", each)]
    made(worker, *asked, str(by_photo), *photos)
    assert pixels(by_name) == pixels(by_photo)
    assert worker.run(["people", "rm", "Pocket Person", "--yes"]).status == 0
    assert worker.run(["generate", "--from", str(by_name), "-o", str(by_photo)]).status == 1


def test_a_picture_from_before_flux_was_the_default_schedule(
    worker: CommandWorker, tmp_path: Path
) -> None:
    """Made again as it was, with the schedule of its time, unless another is asked for."""
    first, again, anew = (str(tmp_path / f"{name}.png") for name in ("first", "again", "anew"))
    made(worker, "--preset", "pocket", "-p", "a face", "--scheduler", "discrete", "-o", first)
    text = str(read_picture_text(first))
    assert ", Schedule type: discrete" in text
    with Image.open(first) as image:
        old = text.replace(", Schedule type: discrete", "")
        save_picture(image.convert("RGB"), first, old, overwrite=True)
    told = made(worker, "--from", first, "-o", again)
    assert f"note: {first}: made with the noise schedule discrete, which was the default" in told
    assert pixels(Path(again)) == pixels(Path(first))
    assert read_picture_text(again) == text
    told = made(worker, "--from", first, "-o", anew, "--scheduler", "flux")
    assert "note" not in told
    assert pixels(Path(anew)) != pixels(Path(first))


def test_two_people_and_a_picture_to_start_from_are_made_again(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    mask = tmp_path / "left.png"
    Image.new("L", (64, 64), "white").save(mask)
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    made(worker, "--preset", "pocket", "-p", "two people", "-o", str(first),
         "--person", f"{portraits[0]}:mask={mask}:weight=0.9",
         "--person", f"{portraits[1]}:box=0.5,0,0.5,1:end=75%")  # fmt: skip
    made(worker, "--from", str(first), "-o", str(again))
    assert again.read_bytes() == first.read_bytes()
    nobody = tmp_path / "nobody.png"
    made(worker, "--from", str(first), "-o", str(nobody), "--id-weight", "0")
    assert pixels(nobody) != pixels(first)


def test_two_passes_and_an_enlarged_picture_are_made_again(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    model = write_esrgan(tmp_path / "fine.safetensors", esrgan_weights(2))
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    larger = ("--hires-upscalers-dir", str(tmp_path), "--upscale-model", str(model))
    told = made(worker, "--preset", "pocket", "-p", "a face", "-W", "32", "-H", "32", "--hires",
                "--hires-upscaler", "fine", "--hires-steps", "2", *larger, "-o", str(first),
                "--person", f"{portraits[0]}:box=0,0,0.5,1")  # fmt: skip
    assert "32x32 and then 64x64, 4 and 2 steps" in told
    assert told.index("\nhires\n") < told.index("\ndecode\n") < told.index("\nupscale\n")
    with Image.open(first) as image:
        assert image.size == (128, 128)
    assert "not as in" not in made(worker, "--from", str(first), *larger, "-o", str(again))
    assert again.read_bytes() == first.read_bytes()
    write_esrgan(model, esrgan_weights(2, seed=1))
    told = made(worker, "--from", str(first), *larger, "-o", str(other))
    assert "the upscaling model fine was" in told
    assert pixels(other) != pixels(first)


def test_a_batch_is_its_pictures_one_by_one(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    common = ("--preset", "pocket", "--portrait", portraits[0], "-p", "a face")
    made(worker, *common, "-s", "5", "-b", "2", "-o", str(tmp_path / "{seed}.png"))
    made(worker, *common, "-s", "6", "-o", str(tmp_path / "alone.png"))
    assert (tmp_path / "6.png").read_bytes() == (tmp_path / "alone.png").read_bytes()
    assert pixels(tmp_path / "5.png") != pixels(tmp_path / "6.png")


def test_previews_change_no_picture(
    worker: CommandWorker, portraits: list[str], tmp_path: Path
) -> None:
    common = ("--preset", "pocket", "-p", "a face", "-o")
    made(worker, *common, str(tmp_path / "without.png"))
    for method, interval, expected in (("proj", "1", [1, 2, 3, 4]), ("tae", "2", [2, 4])):
        preview, picture = tmp_path / f"{method}-preview.png", tmp_path / f"{method}.png"
        done = worker.run(["generate", *common, str(picture), "--preview", str(preview),
                           "--preview-method", method, "--preview-interval", interval,
                           "--json"])  # fmt: skip
        events = [json.loads(line) for line in done.stdout.splitlines()]
        previews = [event["step"] for event in events if event["event"] == "preview"]
        assert previews == expected
        assert pixels(picture) == pixels(tmp_path / "without.png")
        assert pixels(preview) == pixels(picture)


def test_a_bad_photo_is_found_before_the_model_is_loaded(
    worker: CommandWorker, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    Image.new("RGB", (192, 192), "white").save(wall)
    for photo, words in ((wall, "no face found"), (tmp_path / "absent.png", "absent.png")):
        done = worker.run(["generate", "--preset", "pocket", "--portrait", str(photo), "-p", "x",
                           "-o", str(tmp_path / "out.png")])  # fmt: skip
        assert done.status == 1
        assert words in done.stderr.splitlines()[-1]
        assert "load" not in done.stderr.splitlines()
    assert os.listdir(tmp_path) == ["wall.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal that POSIX has")
def test_ctrl_c_keeps_what_is_finished(portraits: list[str], tmp_path: Path) -> None:
    command = [*PROGRAM, "generate", "--preset", "pocket", "-p", "a face", "-b", "100", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        saved = []
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "saved":
                saved.append(event["path"])
            if event["event"] == "step" and event["stage"] == "denoise" and len(saved) == 2:
                process.send_signal(signal.SIGINT)
                break
        rest = [json.loads(line) for line in process.stdout]
        said = process.stderr.read()
        watchdog.cancel()
    assert process.returncode == 130, said
    steps = [event for event in rest if event["event"] == "step"]
    saved += [event["path"] for event in rest if event["event"] == "saved"]
    assert len(steps) <= 4  # those under way when the signal came
    assert f"{len(saved)} of 100 pictures are finished and saved" in said
    assert rest[-1]["event"] == "error"
    assert rest[-1]["status"] == 130
    assert sorted(os.listdir(tmp_path)) == sorted(saved)
    for name in saved:
        pixels(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal as POSIX has it")
def test_a_bar_on_a_real_terminal(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [*PROGRAM, "generate", "--preset", "pocket", "-p", "a face", "-b", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL):
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not block:
                break
            shown += block
    os.close(ours)
    text = shown.decode()
    assert "1/2 denoise" in text
    assert "2/2 decode" in text
    assert "4/4" in text
    assert text.rstrip(" ").endswith("\r")  # nothing of it stays
