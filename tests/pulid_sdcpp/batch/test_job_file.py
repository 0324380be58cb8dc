"""Files of jobs: what they say, and that whatever is wrong in one is named."""

from __future__ import annotations

import codecs
import json
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pulid_sdcpp import BatchFileError, Identity
from pulid_sdcpp.batch.fields import GENERATION_FIELDS, SHARED_FIELDS
from pulid_sdcpp.batch.job import Batch, BatchJob
from pulid_sdcpp.batch.job_file import FORMATS, read_batch
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.person_spec import PersonSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("alice.jpg", "alice2.jpg", "bob.png", "left.png", "room.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    Identity.from_array([[0.0, 1.0]]).save(tmp_path / "carol.pulidembd")
    return tmp_path


def read(folder: Path, text: str, suffix: str = ".toml", **arguments: object) -> Batch:
    path = folder / f"jobs{suffix}"
    path.write_text(text, encoding="utf-8")
    return read_batch(path, **arguments)  # type: ignore[arg-type]


def only(batch: Batch) -> BatchJob:
    (job,) = batch.jobs
    return job


PRODUCT = """
preset = "pocket"
output_dir = "pictures"
steps = 4
seeds = { first = 7, count = 2 }
weights = [0.5, 1]
prompts = ["on a beach", { name = "snow", prompt = "in the snow", steps = 8 }]

[people.alice]
portraits = ["alice.jpg", "alice2.jpg"]
fusion = "mean"

[people.carol]
identity = "carol.pulidembd"
"""


def test_a_product_is_everybody_with_everything(folder: Path) -> None:
    batch = read(folder, PRODUCT)
    assert (batch.preset, batch.output_dir) == ("pocket", folder / "pictures")
    assert len(batch.jobs) == 2 * 2 * 2 * 2
    assert {
        (job.person_name, job.prompt_name, job.seed, job.weight_name) for job in batch.jobs
    } == {
        (person, prompt, seed, weight)
        for person in ("alice", "carol")
        for prompt in ("on a beach", "snow")
        for seed in (7, 8)
        for weight in ("0.5", "1")
    }
    first, last = batch.jobs[0], batch.jobs[-1]
    assert first.file_name == "alice-on-a-beach-s7-w0.5.png"
    assert first.people[0] == PersonSpec(
        "alice", (folder / "alice.jpg", folder / "alice2.jpg"), fusion="mean", weight=0.5
    )
    assert last.file_name == "carol-snow-s8-w1.png"
    assert (first.settings, last.settings) == ({"steps": 4}, {"steps": 8})
    assert read(folder, PRODUCT) == batch


def test_pictures_of_nobody_are_possible(folder: Path) -> None:
    job = only(read(folder, 'prompts = "a house"'))
    assert (job.people, job.seed, job.person_name) == ((), 42, "nobody")
    assert job.generation({"width": 64}) == GenerationOptions("a house", width=64)


def test_explicit_jobs_put_several_people_in_one_picture(folder: Path) -> None:
    batch = read(
        folder,
        """
        [people.alice]
        portraits = "alice.jpg"
        weight = 0.7
        [people.bob]
        portraits = "bob.png"

        [[jobs]]
        prompt = "two people"
        people = ["alice:mask=left.png", "bob:box=0.5,0,0.5,1:weight=0.9:start=25%"]
        seed = 3
        [[jobs]]
        prompt = "three people"
        name = "three"
        weight = 0.6
        people = ["alice", "carol.pulidembd",
                  { portraits = "bob.png", name = "Robert", box = [0.0, 0.0, 1.0, 1.0] }]
        """,
    )
    two, three = batch.jobs
    alice, bob = two.people
    assert (alice.name, alice.weight, alice.region.mask) == ("alice", 0.7, folder / "left.png")
    assert (bob.weight, bob.start_step, bob.region.box) == (0.9, 0.25, (0.5, 0.0, 0.5, 1.0))
    assert two.file_name == "alice-bob-two-people-s3-w0.7-0.9.png"
    assert three.file_name == "three.png"
    # The job's own word goes over that of the table of the person.
    assert [(person.name, person.weight) for person in three.people] == [
        ("alice", 0.6), ("carol", 0.6), ("Robert", 0.6),
    ]  # fmt: skip
    assert three.people[0].source == alice.source


def test_the_three_formats_say_the_same(folder: Path) -> None:
    toml = """
    [[jobs]]
    person = "alice.jpg"
    prompt = 'a "b", c'
    seed = 5
    weight = 1
    steps = 3
    vae_tiling = true
    vae_tile_size = [32, 48]
    sigmas = [1.0, 0.5, 0.2, 0.0]
    init_image = "room.png"
    ref_images = ["room.png", "left.png"]
    face = [1, 2, 3, 4]
    end_step = 0.5
    """
    lines = json.dumps(
        {
            "person": "alice.jpg", "prompt": 'a "b", c', "seed": 5, "weight": 1, "steps": 3,
            "vae_tiling": True, "vae_tile_size": [32, 48], "sigmas": [1.0, 0.5, 0.2, 0.0],
            "init_image": "room.png", "ref_images": ["room.png", "left.png"],
            "face": [1, 2, 3, 4], "end_step": 0.5,
        }
    )  # fmt: skip
    table = (
        "\ufeffperson,prompt,seed,weight,steps,vae_tiling,vae_tile_size,sigmas,init_image,"
        "ref_images,face,end_step,eta\r\n"
        'alice.jpg,"a ""b"", c",5,1,3,true,32x48,1.0 0.5 0.2 0.0,room.png,room.png;left.png,'
        '"1,2,3,4",50%,\r\n'
        ",,,,,,,,,,,,\r\n"
    )
    expected = only(read(folder, toml))
    for text, suffix in ((lines, ".jsonl"), (table, ".csv")):
        job = only(read(folder, text, suffix))
        assert (job.file_name, job.settings) == (expected.file_name, expected.settings)
        assert (job.people, job.seed, job.prompt) == (expected.people, 5, 'a "b", c')


def test_every_option_of_a_picture_is_a_field() -> None:
    """A new option has to have a kind that is read from text, too."""
    assert set(GENERATION_FIELDS) == set(GenerationOptions.__dataclass_fields__) - {
        "prompt", "seed", "batch_count", "lora_files",
    }  # fmt: skip


def test_the_callers_settings_go_over_the_shared_ones_only(folder: Path) -> None:
    batch = read(folder, PRODUCT, settings={"steps": 6, "width": 64}, preset="flux-schnell-q4",
                 output_dir=Path("elsewhere"))  # fmt: skip
    assert (batch.preset, batch.output_dir) == ("flux-schnell-q4", Path("elsewhere"))
    assert [job.settings["steps"] for job in (batch.jobs[0], batch.jobs[-1])] == [6, 8]
    assert {job.settings["width"] for job in batch.jobs} == {64}


def test_the_folder_is_named_as_the_file(folder: Path) -> None:
    assert read(folder, 'prompts = "a"').output_dir == folder / "jobs"


SOMEBODY = '[people.alice]\nportraits = "alice.jpg"\n'


@pytest.mark.parametrize(
    ("suffix", "text", "words"),
    [
        (".toml", "a = 1\nprompts = 1 2", "jobs.toml: not TOML: .*line 2"),
        (".toml", "", "jobs.toml: there is no job in it"),
        (".toml", SOMEBODY, "there is no job in it"),
        (".toml", 'stepz = 3\nprompts = "a"', "jobs.toml: .*'stepz'; did you mean steps?"),
        (".toml", 'steps = 0\nprompts = "a"', "prompt 1: steps is 0, but must be from 1"),
        (".toml", 'steps = "many"\nprompts = "a"', "steps: 'many' is not a whole number"),
        (".toml", 'vae_tiling = 1\nprompts = "a"', "vae_tiling: 1 is neither true nor false"),
        (".toml", 'vae_tile_size = 3\nprompts = "a"', "vae_tile_size: 3 are not two numbers"),
        (".toml", "prompts = 3", "prompts: 3 is not a list of prompts"),
        (".toml", 'prompts = ["a", ""]', "prompt 2: prompt is empty"),
        (".toml", 'prompts = ["a", 3]', "prompt 2: prompt: the text is 3"),
        (".toml", 'prompts = [{name = "a"}]', "prompt 1: prompt is empty"),
        (".toml", 'prompts = [{prompt = "a", seed = 3}]', "prompt 1: .*no field 'seed'"),
        (".toml", 'seeds = [-1]\nprompts = "a"', "seeds: seed is -1, but must be 0 or more"),
        (".toml", 'seeds = {count = 0}\nprompts = "a"', "seeds: count is 0"),
        (".toml", 'seeds = {last = 3}\nprompts = "a"', "seeds: there is no field 'last'"),
        (".toml", 'seed = 1\nseeds = [2]\nprompts = "a"', "seed and seeds are both given"),
        (".toml", 'seeds = {count = 100000}\nprompts = ["a", "b"]', "prompts: 200000 pictures"),
        (".toml", 'seeds = [1, 1]\nprompts = ["a"]', "prompt 1: its picture would be .*as that of"),
        (".toml", 'weight = 1\nweights = [1]\nprompts = "a"', "weights: a weight is given, too"),
        (".toml", 'weights = [9]\nprompts = "a"', "weights: weight is 9, but must be from 0 to 5"),
        (".toml", 'prompts = ["a"]\n[people]\nalice = 3', "jobs.toml: people is .*must be"),
        (".toml", 'prompts = ["a"]\n[people.alice]', r"\[people.alice\]: give either portraits or"),
        (".toml", '[people.a]\nportraits = "none.jpg"', r"people.a\]: there is no file .*none.jpg"),
        (".toml", '[people.a]\nportraits = []', r"\[people.a\]: expected 1 to"),
        (".toml", '[people.a]\nidentity = "alice.jpg"', "expected an identity file, found"),
        (".toml", '[people.a]\nportraits = ["bob.png", "carol.pulidembd"]', "expected a photo"),
        (".toml", '[people.a]\nportraits = "bob.png"\nface = "up"', r"\[people.a\]: face 'up'"),
        (".toml", '[people.a]\nportraits = "bob.png"\nbox = [2]', r"\[people.a\]: box is"),
        (".toml", '[[jobs]]\nprompt = "a"\nperson = "dave"', r"\[\[jobs\]\] 1: person is 'dave'"),
        (".toml", '[[jobs]]\nprompt = "a"\nperson = 3', r"\[\[jobs\]\] 1: person is 3"),
        (".toml", '[[jobs]]\nperson = "alice.jpg"', r"\[\[jobs\]\] 1: prompt is missing"),
        (".toml", '[[jobs]]\nprompt = "a"\nperson = "alice.jpg:weight=9"', "weight is 9"),
        (".toml", '[[jobs]]\nprompt = "a"\nperson = "alice.jpg:mask=no.png"', "no file .*no.png"),
        (".toml", 'name = "{sead}"\nprompts = "a"', "prompt 1: name is .*no field {sead}"),
        (".toml", 'name = "a/../b"\nprompts = "a"', "prompt 1: name is .*begins with a dot"),
        (".toml", 'name = "summary.json"\nprompts = "a"', "which the batch itself writes"),
        (".toml", 'output_dir = 3\nprompts = "a"', "jobs.toml: output_dir is 3"),
        (".jsonl", '{"prompt": "a"}\n\n{"prompt": ', "jobs.jsonl, line 3: not JSON"),
        (".jsonl", '["a"]', "line 1: expected an object"),
        (".jsonl", '{"prompt": "a", "prompt": "b"}', "line 1: not JSON: a field is given twice"),
        (".jsonl", '{"prompt": "a", "cfg_scale": NaN}', "line 1: not JSON: NaN"),
        (".jsonl", '{"prompt": "a", "seeds": [1]}', "line 1: .*'seeds'; did you mean seed?"),
        (".jsonl", "[" * 100_000, "line 1: not JSON: too deeply nested"),
        (".jsonl", '{"prompt": "a", "person": "a.jpg", "people": []}', "line 1: person and people"),
        (".jsonl", '{"prompt": "a", "person": {"portraits": "a.jpg", "end_step": null}}',
         "line 1: .*end_step has no value; leave it out"),
        (".csv", "prompt,seed\na,1\nb,two\n", "line 3: seed: 'two' is not a whole number"),
        (".csv", "prompt,sead\na,1\n", "line 2: there is no field 'sead'"),
        (".csv", "prompt\na,1\n", "line 2: 2 cells in 1 column;"),
        (".csv", "prompt,prompt\na,1\n", "line 1: a column name occurs twice"),
        (".csv", 'prompt\n"a\n', "not CSV"),
        (".csv", "prompt,seed\na,1\nb,\na,1\n", "line 4: its picture .* as that of line 2"),
        # One name for a file and a folder, in either order, also where case does not count.
        (".csv", "prompt,name\na,x\nb,x.png/y\n", "line 3: .*file and a folder.* of line 2"),
        (".csv", "prompt,name\nb,x.png/y\na,x\n", "line 3: .*file and a folder.* of line 2"),
        (".csv", "prompt,name\na,X\nb,x.PNG/y/z\n", "line 3: .*file and a folder.* of line 2"),
        (".csv", "prompt,name\na,X\nb,x\n", "line 3: its picture .*x.png, as that of line 2"),
        (".csv", "prompt,name\na,a\x9bb\n", "line 2: .*control character U\\+009B"),
        (".csv", "prompt,name\na,a\u202eb\n", "line 2: .*control character U\\+202E"),
        (".csv", "prompt,name\na,COM\u00b9\n", "line 2: .*Windows has no such names"),
        (".toml", '[people.a]\nportraits = "C:\\Users\\me.png"', "line 2.*in single quotes"),
        (".toml", '[people.a]\nportraits = "D:\\test.png"', r"no file .*in single quotes"),
        (".toml", 'output_dir = "D:\\new"\nprompts = "a"', r"output_dir is .*in single quotes"),
        (".toml", 'output_dir = "~nosuchuser/x"\nprompts = "a"', "no home folder for ~nosuchuser"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(
    folder: Path, suffix: str, text: str, words: str
) -> None:
    with pytest.raises(BatchFileError, match=words):
        read(folder, text, suffix)


def test_a_file_that_cannot_be_read_is_an_error_too(folder: Path) -> None:
    with pytest.raises(BatchFileError, match=r"cannot read .*none\.csv"):
        read_batch(folder / "none.csv")
    with pytest.raises(BatchFileError, match=r"jobs\.txt: expected a job file"):
        read_batch(folder / "jobs.txt")
    (folder / "latin.csv").write_bytes(b"prompt\ncaf\xe9\n")
    with pytest.raises(
        BatchFileError, match="expected UTF-8 text, found something else at byte 10"
    ):
        read_batch(folder / "latin.csv")


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8])
@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", 'prompts = ["Zo\u00eb"]\n'),
        (".jsonl", '{"prompt": "Zo\u00eb"}\n'),
        (".csv", "prompt\r\nZo\u00eb\r\n"),
    ],
)
def test_what_shells_and_editors_of_windows_write_is_read(
    folder: Path, suffix: str, text: str, mark: bytes
) -> None:
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(
        mark, "utf-8"
    )
    path = folder / f"jobs{suffix}"
    path.write_bytes(mark + text.encode(encoding))
    assert [job.prompt for job in read_batch(path).jobs] == ["Zo\u00eb"]


def test_the_users_home_is_meant_by_its_sign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    (home / "photos").mkdir(parents=True)
    for name in ("me.png", "mask.png", "start.png"):
        shutil.copy(folder / "bob.png", home / "photos" / name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    batch = read(
        folder,
        """
output_dir = "~/pictures"
[people.me]
portraits = "~/photos/me.png"
mask = "~/photos/mask.png"
[[jobs]]
prompt = "a"
people = ["me", "~/photos/me.png:mask=~/photos/mask.png"]
init_image = "~/photos/start.png"
ref_images = ["~/photos/start.png"]
""",
    )
    (job,) = batch.jobs
    photos = home / "photos"
    assert batch.output_dir == home / "pictures"
    assert [person.files for person in job.people] == [(photos / "me.png",)] * 2
    assert [person.region and person.region.mask for person in job.people] == [
        photos / "mask.png"
    ] * 2
    assert job.settings["init_image"] == photos / "start.png"
    assert job.settings["ref_images"] == (photos / "start.png",)
    assert not (folder / "~").exists()


WORDS = st.sampled_from(
    [*SHARED_FIELDS, "prompt", "person", "people", "seed", "seeds", "weights", "prompts", "jobs",
     "name", "first", "count", "portraits", "identity", "mask", "box", "preset", "output_dir"]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["alice.jpg", "carol.pulidembd", "alice.jpg:weight=2:end=1",
                       "{seed}/{person}", "{seed:>99999999}", "a", "euler", "1,2,3,4",
                       "0" * 5000, "\0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
TABLES = st.dictionaries(WORDS | st.text(max_size=8), VALUES, max_size=8)


@settings(deadline=None, max_examples=300,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(TABLES, st.booleans())
def test_no_table_raises_anything_else(
    folder: Path, table: dict[str, object], has_prompt: bool
) -> None:
    if has_prompt:
        table = {"prompt": "a", **table}
    text = json.dumps(table)
    for suffix in (".jsonl", ".toml"):
        # What tomllib would have made of it: every table of JSON is one of TOML, and more.
        with patch("pulid_sdcpp.batch.job_file.read_toml", lambda text, path: table):
            check_read(folder / f"jobs{suffix}", text.encode())


@settings(deadline=None, max_examples=300,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    st.binary(max_size=200)
    | st.text(alphabet='"{}[],=\n\r;: promt1sed', max_size=200).map(str.encode)
    | st.lists(st.lists(st.sampled_from(["prompt", "seed", "a", '"', "1", "people", ""]),
                        max_size=4).map(",".join), max_size=5).map("\n".join).map(str.encode),
    st.sampled_from(FORMATS),
)  # fmt: skip
def test_no_bytes_raise_anything_else(folder: Path, content: bytes, suffix: str) -> None:
    check_read(folder / f"jobs{suffix}", content)


def check_read(path: Path, content: bytes) -> None:
    """Either jobs with names of their own, or the one kind of error."""
    path.write_bytes(content)
    said, jobs = "", ()
    try:
        jobs = read_batch(path).jobs
    except BatchFileError as error:
        said = str(error)
    assert bool(said) != bool(jobs)
    assert len({job.file_name for job in jobs}) == len(jobs)
    assert not said or (path.name in said and len(said) < 1000)


def test_a_weight_that_is_not_said_is_the_models_own(folder: Path) -> None:
    text = """
output_dir = "pictures"
name = "{person}-w{weight}.png"
prompts = ["a"]
seeds = [1]
[people.alice]
portraits = ["alice.jpg"]
[people.bob]
portraits = ["bob.png"]
weight = 0.5
"""
    batch = read(folder, text)
    assert [job.file_name for job in batch.jobs] == ["alice-w1.png", "bob-w0.5.png"]
    for encoders, weight in ((("flux",), 1.0), (("sdxl-v1",), 0.8)):
        settled = batch.with_own_weights(encoders)
        assert [job.people[0].weight for job in settled.jobs] == [weight, 0.5]
        names = [f"alice-w{weight:g}.png", "bob-w0.5.png"]
        assert [job.file_name for job in settled.jobs] == names
