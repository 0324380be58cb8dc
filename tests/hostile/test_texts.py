"""500 pictures with a damaged text and 500 damaged job files: refused by one line, or right."""

from __future__ import annotations

import json
from random import Random

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from command_worker import CommandWorker

from . import SEED, count
from .findings import limit_s, wrong_end, wrong_picture
from .mutations import mutated_text
from .roles import Roles

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.slow]


def test_texts_of_pictures(worker: CommandWorker, roles: Roles) -> None:
    source = roles.folder / "text.png"
    made = worker.run(
        roles.command(
            source, "-p", 'a (smiling:1.2) [person], "red" shirt', "-n", "blurry, dark",
            "--cfg-scale", 2, "--tensor-type-rules", ".*fc1.*=f16",
        )
    )  # fmt: skip
    assert made.status == 0, made.stderr
    with Image.open(source) as image:
        text, picture = image.info["parameters"], image.convert("RGB")

    file, out = roles.folder / "strange.png", roles.folder / "again.png"
    small = ["--steps", "1", "-W", "64", "-H", "64", "-b", "1", "--overwrite", "--quiet"]
    again = ["generate", "--from", str(file), "-o", str(out), *small]
    findings, refused = [], 0
    for number in range(count(500)):
        random = Random(f"{SEED} text {number}")
        info = PngInfo()
        strange = mutated_text(text, random)
        (info.add_itxt if random.random() < 0.5 else info.add_text)(
            "parameters", strange, zip=random.random() < 0.3
        )
        picture.save(file, pnginfo=info)
        whose = ["--pulid-id-embedding", str(roles.identity)] if random.random() < 0.7 else []
        for command in (["inspect", str(file)], [*again, *whose]):
            out.unlink(missing_ok=True)
            outcome = worker.run(command, limit_s())
            wrong = wrong_end(outcome)
            if not wrong and command[0] == "generate" and outcome.status == 0:
                wrong = wrong_picture(out, None)
            refused += outcome.status != 0
            if wrong:
                findings.append((number, command[0], wrong, strange[:2000]))
    assert findings == []
    assert refused, "no text was refused: they are hardly mutated"


_TOML = """preset = "pocket"
steps = 1
width = 64
height = 64
seeds = [1, 2]
prompts = [
    "photo of a smiling person, blue background",
    { name = "comic", prompt = "comic book drawing of a person", steps = 1, weight = 0.7 },
]

[people.rose]
portraits = "PORTRAITS/rose.png"
start_step = 0

[people.omar]
identity = "IDENTITY"
weight = 0.8
"""
_JSON_LINES = "\n".join(
    json.dumps(
        {"prompt": f"a person, number {i}", "seed": i, "steps": 1, "width": 64,
         "height": 64, "person": "IDENTITY", "name": f"p{i}", "weight": 0.5 + i / 10}
    )
    for i in range(4)
)  # fmt: skip
_CSV = """name,prompt,seed,steps,width,height,person,weight
one,"a person, smiling",1,1,64,64,IDENTITY,1.0
two,a person in a red shirt,2,1,64,64,IDENTITY,0.5
"""
_JOBS = {"jobs.toml": _TOML, "jobs.jsonl": _JSON_LINES, "jobs.csv": _CSV}


def test_job_files(worker: CommandWorker, roles: Roles) -> None:
    portraits = roles.pocket.portraits[0].parent.as_posix()
    jobs = {
        name: text.replace("PORTRAITS", portraits).replace("IDENTITY", roles.identity.as_posix())
        for name, text in _JOBS.items()
    }
    findings = []
    for number in range(-len(jobs), count(500, least=9)):
        random = Random(f"{SEED} jobs {number}")
        name = list(jobs)[number % len(jobs)]
        strange = jobs[name] if number < 0 else mutated_text(jobs[name], random)
        folder = roles.folder / f"jobs{number}"
        folder.mkdir()
        (folder / name).write_text(strange, encoding="utf-8", newline="")
        command = ["batch", str(folder / name), "--quiet", "-o", str(folder / "out")]
        if "preset" not in jobs[name]:
            command += ["--preset", "pocket"]
        outcome = worker.run([*command, "--dry-run"], limit_s())
        wrong = wrong_end(outcome)
        if number < 0:
            wrong = wrong or (outcome.stderr if outcome.status else "")
        if not wrong and outcome.status == 0 and number % 5 == 0:
            # Some are many or large pictures now: those may take their time.
            outcome = worker.run(command, limit_s())
            wrong = "" if outcome.too_long else wrong_end(outcome)
            for picture in (folder / "out").glob("*-*.png"):
                wrong = wrong or wrong_picture(picture, None)
        if wrong:
            findings.append((number, name, wrong, strange[:2000]))
    assert findings == []
