"""The cache of engines built on this machine: entries for one key, whole, and nobody else's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.gpu.engines.cache import EngineCache

KEY = EngineKey(
    runtime="tensorrt",
    runtime_version="10.9",
    chip="sm_87",
    precision="fp16",
    model_sha256="0" * 64,
    profile=Profile(smallest=(64, 64), usual=(256, 256), largest=(480, 854)),
    gpu="Orin",
    driver="13020",
    cuda="13.2",
)
OTHER_KEYS = [
    {"driver": "1"},
    {"gpu": "x"},
    {"cuda": "12.6"},
    {"model_sha256": "1" * 64},
    {"precision": "int8"},
    {"runtime_version": "10.8"},
    {"profile": KEY.profile.model_copy(update={"largest": (500, 900)})},
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("FGVC_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.mark.parametrize("change", OTHER_KEYS)
def test_an_entry_is_for_one_key_and_kind(cache: EngineCache, change: dict[str, Any]) -> None:
    assert cache.load("engine", KEY) is None
    assert cache.store("engine", KEY, b"engine\nof two lines")
    assert cache.load("engine", KEY) == b"engine\nof two lines"
    other = KEY.model_copy(update=change)
    assert cache.load("engine", other) is None
    assert cache.load("jit", KEY) is None
    # Under another's name as well: by accident, or because somebody hoped it would do.
    cache.path("engine", other).write_bytes(cache.path("engine", KEY).read_bytes())
    cache.path("jit", KEY).write_bytes(cache.path("engine", KEY).read_bytes())
    assert cache.load("engine", other) is None
    assert cache.load("jit", KEY) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: entry[:-1],
        lambda entry: entry + b"x",
        lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
        lambda entry: entry.replace(b"sm_87", b"sm_89", 1),
        lambda entry: entry.replace(b'"sha256":"', b'"sha256":"0', 1),
        lambda entry: b"engine",
        lambda entry: b"",
        lambda entry: b"{" * (1 << 20),
    ],
)
def test_a_damaged_entry_is_no_entry(cache: EngineCache, damage: Any) -> None:
    cache.store("engine", KEY, b"engine")
    path = cache.path("engine", KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load("engine", KEY) is None
    assert cache.store("engine", KEY, b"anew")
    assert cache.load("engine", KEY) == b"anew"


def test_what_others_may_have_written_is_not_loaded(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store("engine", KEY, b"engine")
    path = cache.path("engine", KEY)
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    assert cache.load("engine", KEY) == b"engine"
    path.chmod(0o664)
    assert cache.load("engine", KEY) is None
    path.chmod(0o600)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert (cache.load("engine", KEY) is None) == (owner != 0), "root's files are trusted"


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = EngineCache(tmp_path / "file")
    assert not cache.store("engine", KEY, b"engine")
    assert cache.load("engine", KEY) is None
    cache.forget("engine", KEY)


def test_nothing_but_entries_is_left(cache: EngineCache) -> None:
    for content in (b"a", b"b"):
        cache.store("engine", KEY, content)
    assert [path.name for path in cache.folder.iterdir()] == [f"{KEY.digest}.engine"]
    cache.forget("engine", KEY)
    assert cache.load("engine", KEY) is None
