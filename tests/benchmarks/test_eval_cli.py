"""`fgvc-deploy eval`: one JSON object, records that are used again only when nothing changed, errors for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
from typer.testing import CliRunner

import tiny_data
from fgvc_benchmarks.accuracy import evaluation
from fgvc_benchmarks.accuracy.records import read
from fgvc_benchmarks.accuracy.running import Runner
from fgvc_deploy.cli.app import app
from fgvc_deploy.errors import InputError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tiny_data.write_badja(folder, "camel", 4)
    tiny_data.write_badja(folder, "dog", 5)
    tiny_data.write_planar(folder / "planar", "poster", 4)
    return folder


def invoke(*arguments: Any) -> Any:
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def answer(*arguments: Any) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(invoke(*arguments, "--json").stdout, parse_constant=refuse)
    return found


def test_json_is_one_object_with_everything_to_reproduce_it(root: Path, toy_bundle: Path, tmp_path: Path) -> None:
    found = answer(
        "badja", "--root", root, "--model", toy_bundle, "--threads", 1, "--out", tmp_path, "--set", "memory=3"
    )
    assert (found["dataset"], found["metric"], found["unit"]) == ("badja", "pck_0.2", "percent")
    assert list(found["sequences"]) == ["camel", "dog"]
    assert found["average"] == pytest.approx(sum(found["sequences"].values()) / 2)
    assert found["average"] > 80  # the toy encoder follows a textured square
    assert found["metrics"]["pck_0.1"]["average"] <= found["average"]
    assert found["frames"] == 3 + 5
    assert 0 < found["cpu_seconds_per_frame"] < 1
    assert len(found["model_sha256"]) == 64
    assert (found["settings"]["memory"], found["settings"]["radius"]) == (3, 4.0)
    assert found["size"] == "native"


def test_records_are_used_again_only_for_the_same_evaluation(
    root: Path, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody may be editing the code while the tests run.
    monkeypatch.setattr(evaluation, "sources_sha256", lambda *_: "this code")
    common = ("badja", "--root", root, "--model", toy_bundle, "--threads", 1, "--out", tmp_path)
    first = answer(*common, "--sequence", "camel")
    assert list(first["sequences"]) == ["camel"]
    tracked: list[int] = []
    points = Runner.points

    def counted(self: Runner, *args: Any, **kwargs: Any) -> Any:
        tracked.append(len(args[0]))
        return points(self, *args, **kwargs)

    monkeypatch.setattr(Runner, "points", counted)
    both = answer(*common)
    assert tracked == [5]  # the dog; the camel was recorded
    assert both["sequences"]["camel"] == first["sequences"]["camel"]
    assert "recorded before" in invoke(*common).stderr
    answer(*common, "--set", "topk=4")
    assert tracked == [5, 3, 5]
    answer(*common, "--fresh", "--sequence", "dog")
    assert tracked == [5, 3, 5, 5]
    lines = (tmp_path / "badja.jsonl").read_text()
    (tmp_path / "badja.jsonl").write_text(lines + lines[:40])  # cut off by a crash
    answer(*common)
    assert tracked == [5, 3, 5, 5]
    assert len(read(tmp_path / "badja.jsonl")) == 5
    monkeypatch.setattr(evaluation, "sources_sha256", lambda *_: "other code")
    answer(*common, "--sequence", "dog")
    assert tracked == [5, 3, 5, 5, 5]


def test_overlays_show_every_frame(root: Path, toy_bundle: Path, tmp_path: Path) -> None:
    common = ("--model", toy_bundle, "--threads", 1, "--out", tmp_path, "--overlays", tmp_path / "seen", "-q")
    invoke("planar", "--root", root / "planar", *common)
    invoke("davis", "--root", root / "davis16", "--sequence", "dog", *common)
    for name, count in (("poster", 4), ("dog", 5)):
        with av.open(str(tmp_path / "seen" / f"{name}.mp4")) as video:
            shapes = [frame.to_ndarray(format="rgb24").shape for frame in video.decode(video=0)]
        assert shapes == [(*tiny_data.HW, 3)] * count


def test_lines_for_people(root: Path, toy_bundle: Path, tmp_path: Path) -> None:
    result = invoke("davis", "--root", root / "davis16", "--model", toy_bundle, "--out", tmp_path)
    assert result.stdout == ""
    assert "camel: J-Mean" in result.stderr
    assert "davis: J-Mean" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("badja", "--root", "{root}/nothing"), "joint annotations"),
        (("badja", "--root", "{root}", "--sequence", "cow"), "no sequence cow"),
        (("badja", "--root", "{root}", "--set", "memory"), "name=value"),
        (("badja", "--root", "{root}", "--set", "memori=3"), "settings are window, radius"),
        (("badja", "--root", "{root}", "--set", "topk=0"), "'topk' cannot be used"),
    ],
)
def test_errors_for_people(
    arguments: tuple[str, ...], said: str, root: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    filled = [text.format(root=root) for text in arguments]
    with pytest.raises(InputError, match=said):
        invoke(*filled, "--model", toy_bundle, "--out", tmp_path)


@pytest.mark.slow
def test_planar_with_the_shipped_bundle_on_real_frames(data_dir: Path, tmp_path: Path) -> None:
    """Far from Lucas-Kanade's .703 an encoder or its tracker would be broken."""
    found = answer("planar", "--root", data_dir / "planar_video", "--out", tmp_path)
    assert found["average"] > 0.6
