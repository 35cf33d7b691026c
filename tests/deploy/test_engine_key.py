"""The key of an engine: any part that differs shows, in the name of the cached file and in words."""

from __future__ import annotations

import pytest

from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.errors import BundleError

KEY = EngineKey(
    runtime="tensorrt",
    runtime_version="10.9.0.34",
    chip="sm_87",
    precision="fp16",
    model_sha256="a" * 64,
    profile=Profile(smallest=(32, 32), usual=(256, 456), largest=(1080, 1920)),
    gpu="Orin",
    driver="540.4",
    cuda="12.6",
)
OTHER = {
    "runtime": "rtx",
    "runtime_version": "11.4",
    "chip": "sm_110",
    "precision": "int8",
    "model_sha256": "b" * 64,
    "profile": Profile(smallest=(64, 64), usual=(256, 456), largest=(1080, 1920)),
    "gpu": "Thor",
    "driver": "580.1",
    "cuda": "13.0",
}


@pytest.mark.parametrize("part", list(OTHER))
def test_every_part_names_another_file_and_all_but_the_profile_mismatch(part: str) -> None:
    here = KEY.model_copy(update={part: OTHER[part]})
    assert here.digest != KEY.digest
    told = KEY.mismatches(here)
    assert len(told) == (0 if part == "profile" else 1)
    if told:
        assert told[0] == f"{part.replace('_', ' ')} is {OTHER[part]}, the engine was built for {getattr(KEY, part)}"


def test_every_field_is_part_of_the_test_above() -> None:
    assert set(EngineKey.model_fields) - {"schema_version"} == set(OTHER)


def test_an_engine_for_any_driver_fits_every_driver() -> None:
    portable = KEY.model_copy(update={"gpu": None, "driver": None, "cuda": None})
    assert portable.mismatches(KEY) == []
    assert KEY.mismatches(portable) != []


def test_it_survives_its_file_and_damage_is_told() -> None:
    assert EngineKey.parse(KEY.to_json(), "here") == KEY
    assert EngineKey.parse(KEY.to_json(), "here").digest == KEY.digest
    assert KEY.stem == "sm_87-tensorrt10.9.0.34-fp16"
    with pytest.raises(BundleError, match=r"^engine.json: does not describe an engine \(chip: "):
        EngineKey.parse(KEY.to_json().replace(b"sm_87", b"../.."), "engine.json")
    with pytest.raises(BundleError, match="does not describe an engine"):
        EngineKey.parse(b"{", "engine.json")


def test_a_profile_takes_what_lies_between_its_ends() -> None:
    profile = KEY.profile
    assert [profile.takes(hw) for hw in ((32, 32), (1080, 1920), (31, 64), (64, 1921), (1920, 1080))] == [
        True,
        True,
        False,
        False,
        False,
    ]
