"""The package's list of files, against figures collected from public manifests, written down here.

Each was found in several independent places; where no hash was found, there is none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pulid_sdcpp import GenerationOptions
from pulid_sdcpp.store.model_store import _CONTEXT_FIELDS
from pulid_sdcpp.store.registry import GENERATION_ROLES, ROLES, load_registry
from pulid_sdcpp.system.user_config import UserConfig

AE = "afc8e28272cd15db3919bacdb6918ce9c1ed22e96cb12c4d5ed0fba823529e38"
# repository (or address), path: bytes, SHA-256 ("": not published), license
FOUND = """
city96/FLUX.1-schnell-gguf flux1-schnell-Q4_K_S.gguf 6783943712 4fd16477b3a5296d0cf722c4b92a9fd7f30d09ac7495826e4465d8de9c9fd973 apache
city96/FLUX.1-schnell-gguf flux1-schnell-Q6_K.gguf 9834955808 a42fd143cec4d7194da281dc8d23a8fe54b16875a13423c042cb545d1da6fa50 apache
city96/FLUX.1-schnell-gguf flux1-schnell-Q8_0.gguf 12687821728 f6694941193b10148dbf1f0f498d4ccd3e9875c127fc53946213b68580c66f10 apache
city96/FLUX.1-dev-gguf flux1-dev-Q4_K_S.gguf 6805988640 75bb19459b5240c9f373b5af527584af15b675867fa142efadf7478d6abbf62b flux-dev
city96/FLUX.1-dev-gguf flux1-dev-Q5_K_S.gguf 8285267232 aa76146ca0f1b09c67e0c3fcef18be3a375837ecd5aaa021d3e9ebc558bd68f9 flux-dev
city96/FLUX.1-dev-gguf flux1-dev-Q6_K.gguf 9857000736 9566d56031d7f8de184bb5a0393073956ec4e28b32db3f860bd2b87edca04d13 flux-dev
city96/FLUX.1-dev-gguf flux1-dev-Q8_0.gguf 12708281504 129032f32224bf7138f16e18673d8008ba5f84c1ec74063bf4511a8bb4cf553d flux-dev
QuantStack/FLUX.1-Krea-dev-GGUF flux1-krea-dev-Q4_K_S.gguf 6797337888 - flux-dev
QuantStack/FLUX.1-Krea-dev-GGUF flux1-krea-dev-Q8_0.gguf 12714452256 0d085b1e3ae0b90e5dbf74da049a80a565617de622a147d28ee37a07761fbd90 flux-dev
QuantStack/FLUX.1-Kontext-dev-GGUF flux1-kontext-dev-Q4_K_S.gguf 6797337888 cc22ff7a2debb02e63765fa53af8c5ae0b6883b462d0601b9b55f51a15cdd6da flux-dev
YarvixPA/FLUX.1-Fill-dev-GGUF flux1-fill-dev-Q4_K_S.gguf 6809920800 - flux-dev
alimama-creative/FLUX.1-Turbo-Alpha diffusion_pytorch_model.safetensors 694082424 77f7523a5e9c3da6cfc730c6b07461129fa52997ea06168e9ed5312228aa0bff flux-dev
black-forest-labs/FLUX.1-schnell ae.safetensors 335304388 AE apache
Comfy-Org/Lumina_Image_2.0_Repackaged split_files/vae/ae.safetensors 335304388 AE apache
ffxvs/vae-flux ae.safetensors 335304388 AE apache
madebyollin/taef1 diffusion_pytorch_model.safetensors 9848636 47a6c2bff850da04b267cab70fe3553fef57255eb9a8e76852baa0a87850e54d mit
comfyanonymous/flux_text_encoders clip_l.safetensors 246144152 660c6f5b1abae9dc498ac2d21e1347d2abdb0cf6c0c0c8576cd796491d9a6cdd mit
city96/t5-v1_1-xxl-encoder-gguf t5-v1_1-xxl-encoder-Q4_K_M.gguf 2896123072 6be2b0b7e2de7cf2919340c88cb802a103a997ce46c53131cec91958c1db1af4 apache
city96/t5-v1_1-xxl-encoder-gguf t5-v1_1-xxl-encoder-Q5_K_M.gguf 3386856640 b51cbb10b1a7aac6dd1c3b62f0ed908bfd06e0b42d2f3577d43e061361f51dae apache
city96/t5-v1_1-xxl-encoder-gguf t5-v1_1-xxl-encoder-Q8_0.gguf 5061584064 9ec60f6028534b7fe5af439fcb535d75a68592a9ca3fcdeb175ef89e3ee99825 apache
comfyanonymous/flux_text_encoders t5xxl_fp16.safetensors 9787841024 6e480b09fae049a72d2a8c5fbccb8d3e92febeb233bbe9dfe7256958a9167635 apache
guozinan/PuLID pulid_flux_v0.9.1.safetensors 1142099520 92c41c3af322b02e58e1b32842e4601e08c8f16ec1fe80089dbe957df510f51d apache
QuanSun/EVA-CLIP EVA02_CLIP_L_336_psz14_s6B.pt 856461210 84c3a17a228c567a155259b2245b0b59072bf7da510260a0a02ec54de6d50b05 mit
DIAMONIK7777/antelopev2 scrfd_10g_bnkps.onnx 16923827 5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91 insightface
DIAMONIK7777/antelopev2 glintr100.onnx 260665334 4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf insightface
ByteDance/SDXL-Lightning sdxl_lightning_4step.safetensors 6938040682 e0d996ee0013e79d9d3561f50fcafb9a17e3ff07b780358e3b66d67932c4d490 openrail-pp
mzwing/SDXL-Lightning-GGUF sdxl_lightning_4step.q4_0.gguf 2584858432 33cc25b6f5dd121ecf3ad28e35eb38cb21427b7794c53527ceafe2dc3b109f4f openrail-pp
mzwing/SDXL-Lightning-GGUF sdxl_lightning_4step.q8_0.gguf 4098988672 - openrail-pp
SG161222/RealVisXL_V5.0_Lightning RealVisXL_V5.0_Lightning_fp16.safetensors 6938065512 fabcadd9330dcc4f9702063428d40b9d4d07168d8acefc819b8d1d9db466b3ec openrail-pp
RunDiffusion/Juggernaut-XL-v9 Juggernaut-XL_v9_RunDiffusionPhoto_v2.safetensors 7105348188 c9e3e68f89b8e38689e1097d4be4573cf308de4e3fd044c64ca697bdb4aa8bca openrail-m
stabilityai/stable-diffusion-xl-base-1.0 sd_xl_base_1.0.safetensors 6938078334 31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b openrail-pp
madebyollin/sdxl-vae-fp16-fix sdxl.vae.safetensors 334641162 235745af8d86bf4a4c1b5b4f529868b37019a10f7c0b2e79ad0abca3a22bc6e1 mit
madebyollin/taesdxl diffusion_pytorch_model.safetensors 9793292 ff4824aca94dd6111e0340fa749347fb74101060d9712cb5ef1ca8f1cf17502f mit
huchenlei/ipadapter_pulid ip-adapter_pulid_sdxl_fp16.safetensors 791372856 b258a5cd2c0c7d35f4d3e59909d7648498686afae4d0c74917e9c47d7704fbf5 apache
guozinan/PuLID pulid_v1.1.safetensors 984405232 4cb8ceec1078e0165399b88332ab3c5971619111b8e1730e6bae64144aabae41 apache
https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth - 53289463 468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567 facexlib
"""  # noqa: E501
# Revisions at which these very files were seen.
REVISIONS = {
    "city96/FLUX.1-schnell-gguf": "f495746ed9c5efcf4661f53ef05401dceadc17d2",
    "QuantStack/FLUX.1-Kontext-dev-GGUF": "2d083027732f81e5548620b57ac47da22d30aa5a",
    "QuanSun/EVA-CLIP": "11afd202f2ae80869d6cef18b1ec775e79bd8d12",
    "DIAMONIK7777/antelopev2": "ba0c3e10f4548361eb9a63265d87ce1140ab5a05",
    "madebyollin/taef1": "b1b2d00e9e440cfbf3dedb34266864da86016ceb",
    "ByteDance/SDXL-Lightning": "c9a24f48e1c025556787b0c58dd67a091ece2e44",
    "RunDiffusion/Juggernaut-XL-v9": "cf419233522daa0b9ea36c3aff98fa2cab1fb0fb",
    "stabilityai/stable-diffusion-xl-base-1.0": "462165984030d82259a11f4367a4eed129e94a7b",
    "madebyollin/sdxl-vae-fp16-fix": "207b116dae70ace3637169f1ddd2434b91b3a8cd",
    "madebyollin/taesdxl": "b20258aaef75ef61e659c1e0f14f251cf0ad153e",
    "guozinan/PuLID": "d58b3ba191be1280c37ace0656a2e65cd9b8c8d8",  # of v1.1
}
# Bytes of a whole preset, and of what the presets share beside Flux.
TOTALS = {
    "flux-schnell-q4": 12_590_954_678,
    "flux-dev-q4": 12_612_999_606,
    "flux-krea-dev-q4": 12_604_348_854,
    "flux-schnell-q8": 25_386_550_646,
    "flux-dev-q8": 25_407_010_422,
    "sdxl-lightning-q4": 2_584_858_432 + 334_641_162 + 791_372_856 + 1_187_339_834,
    "sdxl-juggernaut": 7_105_348_188 + 334_641_162 + 984_405_232 + 1_187_339_834,
    "extraction": 1_187_339_834 + 1_142_099_520,
    "extraction-sdxl": 1_187_339_834 + 984_405_232,
    "extraction-sdxl-v1": 1_187_339_834 + 791_372_856,
    "faces": 16_923_827,
}

# A user's list is none: what is compared is the package's.
REGISTRY = load_registry(UserConfig(Path("none")))


def test_every_file_is_as_it_was_found() -> None:
    listed = {
        (file.repository or file.url, file.path or "-"): (
            str(file.shown_bytes), file.sha256 or "-", file.license
        )
        for file in REGISTRY.files.values()
    }  # fmt: skip
    found = {}
    for line in FOUND.strip().splitlines():
        home, path, size, sha256, terms = line.split()
        found[home, path] = (size, AE if sha256 == "AE" else sha256, terms)
    assert listed == found


def test_a_size_that_was_computed_is_not_compared() -> None:
    for file in REGISTRY.files.values():
        assert bool(file.size_bytes) == bool(file.sha256) != bool(file.about_bytes), file.key


def test_revisions_are_those_where_the_file_was_seen() -> None:
    assert {f.repository: f.revision for f in REGISTRY.files.values() if f.revision != "main"} == (
        REVISIONS
    )


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_totals(name: str, total: int) -> None:
    files = REGISTRY.files_of(REGISTRY.preset_or_part(name)).values()
    assert sum(file.shown_bytes for file in files) == total


def test_what_presets_share() -> None:
    files = REGISTRY.files_of(REGISTRY.preset("flux-schnell-q4"))
    assert sum(f.shown_bytes for r, f in files.items() if r != "diffusion_model") == 5_807_010_966


def test_each_says_for_whom_it_is() -> None:
    for one in (*REGISTRY.presets.values(), *REGISTRY.parts.values()):
        assert one.what, one.name
        assert 20 <= len(one.for_whom) <= 100, one.name
    described = [one.for_whom for one in REGISTRY.presets.values()]
    assert len(set(described)) == len(described)


def test_the_presets_for_pictures_from_pictures() -> None:
    kontext, fill = (REGISTRY.preset(f"flux-{name}-dev-q4") for name in ("kontext", "fill"))
    assert kontext.settings["guidance"] == 2.5
    assert fill.settings["guidance"] == 30.0


def test_the_preset_with_a_lora() -> None:
    turbo, dev = (REGISTRY.preset(name) for name in ("flux-dev-turbo-q4", "flux-dev-q4"))
    assert turbo.files == {**dev.files, "lora": "flux-turbo-alpha"}
    assert (turbo.settings["steps"], turbo.settings["guidance"]) == (8, 3.5)
    assert REGISTRY.files["flux-turbo-alpha"].tag_name == "flux-turbo-alpha"


def test_the_presets_of_sdxl_have_the_settings_of_pulids_own_programs() -> None:
    of = {
        one.name: one.settings
        for one in REGISTRY.presets.values()
        if one.family == "sdxl" and not one.packaged
    }
    names = ("steps", "cfg_scale", "sampling_method", "scheduler", "width", "height")
    lightning = (4, 1.2, "dpm++2m", "sgm_uniform", 768, 1024)
    ordinary = (25, 7.0, "dpm++2m", "karras", 896, 1152)
    assert {name: tuple(settings[key] for key in names) for name, settings in of.items()} == {
        "sdxl-lightning-q4": lightning,
        "sdxl-lightning-q8": lightning,
        "sdxl-lightning": lightning,
        "sdxl-realvis-lightning": (5, 2.0, "dpm++sde", "karras", 896, 1152),
        "sdxl-juggernaut": ordinary,
        "sdxl-base": ordinary,
    }
    (negative,) = {settings["negative_prompt"] for settings in of.values()}
    assert hashlib.sha256(negative.encode()).hexdigest().startswith("8639b945286ecbfd")


def test_weights_of_pulid_are_those_of_the_presets_family() -> None:
    for preset in REGISTRY.presets.values():
        if not preset.packaged:
            of_sdxl = preset.files["pulid"].startswith("pulid-sdxl")
            assert of_sdxl == (preset.family == "sdxl") == ("checkpoint" in preset.files)
    v1 = {n for n, one in REGISTRY.presets.items() if one.files.get("pulid") == "pulid-sdxl-v1"}
    assert v1 == {"sdxl-lightning-q4", "sdxl-lightning-q8", "sdxl-lightning"}


def test_a_part_is_no_preset() -> None:
    for name, part in REGISTRY.parts.items():
        assert set(part.files) <= set(ROLES)
        with pytest.raises(ValueError, match=f"{name} is only a part of presets; there are flux-"):
            REGISTRY.preset(name)
    assert REGISTRY.preset_or_part("faces").files == {"detector": "face-detector"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("flux-schnel-q4", "did you mean flux-schnell-q4?"),
        ("Flux_Dev_Q5", "did you mean flux-dev-q5?"),
        ("extractio", "did you mean extraction?"),
        (
            "zzz",
            "there are: flux-schnell-q4, .*, pocket, pocket-sdxl, faces, extraction, "
            "extraction-sdxl, "
            "extraction-sdxl-v1, taef1, taesdxl",
        ),
    ],
)
def test_a_misspelt_name(typed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        REGISTRY.preset_or_part(typed)


def test_every_role_of_a_picture_is_an_option() -> None:
    assert set(GENERATION_ROLES) - {"lora"} <= set(_CONTEXT_FIELDS)
    assert "lora_files" in GenerationOptions.__dataclass_fields__
