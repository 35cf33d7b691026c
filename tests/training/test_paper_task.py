"""The task `fgvc`: data sources, teachers, evaluation, and a whole run from configuration to importable encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fgvc_training.encoder.checkpoint import load_encoder
from fgvc_training.errors import DataError, TrainingError
from fgvc_training.paper.task import PaperSettings, PaperTask
from fgvc_training.paper.teacher import TeacherSettings, make_teacher
from fgvc_training.quirks import Quirks
from fgvc_training.trainer.config import check_config
from fgvc_training.trainer.loop import train
from fgvc_training.trainer.seeding import stream
from fgvc_training.trainer.task import RunContext
from flow_files import save_pfm, write_flyingthings
from tiny_task import Silent


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sequences of three frames, noise with a marked rectangle."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        for index in range(3):
            frame = rng.integers(0, 255, (10, 14, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            mask = np.zeros((40, 56), np.uint8)
            mask[10:30, 20:40] = 255
            for kind, pixels in (("JPEGImages", frame), ("Annotations", mask)):
                path = root / kind / name / f"{index:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


def tables(davis: Path, **changes: Any) -> dict[str, Any]:
    """The table `[fgvc]` at 16 x 16 pixels."""
    source = {"kind": "davis", "root": str(davis), "resolution": ""}
    scene = {"size": [24, 24], "layers": [1, 2]}
    return {
        "objective": {"radius": 2, "adversarial_weight": 0.1},
        "teacher": {"kind": "position"},
        "video": source | {"without": ["c"]},
        "pairs": {"kind": "synthetic", "videos": source | {"without": ["c"]}, "scene": scene, "length": 7},
        "prepare_video": {"size": [16, 16]},
        "prepare_pairs": {"size": [16, 16]},
        "evaluation": {
            "count": 2,
            "size": [24, 24],
            "source": {"kind": "synthetic", "videos": source | {"names": ["c"]}, "scene": scene},
        },
    } | changes


def make_task(davis: Path, **changes: Any) -> PaperTask:
    return PaperTask(PaperSettings.model_validate(tables(davis, **changes)), RunContext(seed=1))


def test_a_run_ends_with_an_encoder_that_can_be_imported(davis: Path, tmp_path: Path) -> None:
    """Two steps of everything: data, all three losses, discriminator, evaluation, export."""
    training = {"steps": 2, "batch": 1, "workers": 0, "threads": 1, "evaluate_every": 1}
    config = check_config({"task": "fgvc", "training": training, "fgvc": tables(davis)}, "test")
    outcome = train(config, tmp_path / "run", Silent())
    assert outcome.final is not None
    encoder, report = load_encoder(outcome.final)
    assert report.arch == "resnet18_d1"
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 256, 16, 16)
    header, *rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert header == "step,learning_rate,loss,reconstruction,soft_label,adversarial,gradient_norm"
    assert len(rows) == 1
    assert all(float(value) != 0 for value in rows[0].split(","))
    assert set(outcome.metrics) == {"delta_avg", "end_point_error"}


def test_every_pass_takes_each_pair_once_in_a_new_order(davis: Path) -> None:
    task = make_task(davis)
    passes = [[int(task._order(epoch)[place]) for place in range(7)] for epoch in range(3)]
    assert all(sorted(order) == list(range(7)) for order in passes)
    assert passes[0] != passes[1] != passes[2]
    assert [int(make_task(davis)._order(1)[place]) for place in range(7)] == passes[1]


def test_a_sample_is_a_function_of_its_number(davis: Path) -> None:
    task = make_task(davis)
    samples = [task.sample(index, stream(1, "sample", index)) for index in (3, 12, 3)]
    assert torch.equal(samples[0][0], samples[2][0])
    assert torch.equal(samples[0][1].images, samples[2][1].images)
    assert not torch.equal(samples[0][1].images, samples[1][1].images)
    batch = task.collate(samples)
    assert batch.video.shape == batch.synthetic.shape == (3, 2, 3, 16, 16)


def test_evaluation_is_repeatable_and_has_its_own_pairs(davis: Path) -> None:
    torch.manual_seed(0)
    encoder = nn.Conv2d(3, 4, 3, 2, 1)
    task = make_task(davis)
    first, other = (task.evaluate(encoder, seed=seed) for seed in (5, 6))
    assert make_task(davis).evaluate(encoder, seed=5) == first != other
    assert make_task(davis, evaluation=None).evaluate(encoder, seed=5) == {}


def test_teachers_and_students_must_fit(davis: Path) -> None:
    with pytest.raises(TrainingError, match="no multiple of the student's 4"):
        make_teacher(TeacherSettings(arch="resnet18_d1"), stride=4)
    with pytest.raises(TrainingError, match=r"edge_lite0 takes rgb frames and has stride 4"):
        make_task(davis, arch="edge_lite0")
    with pytest.raises(DataError, match="no sequence nobody under"):
        make_task(davis, video={"kind": "davis", "root": str(davis), "resolution": "", "names": ["nobody"]})
    with pytest.raises(DataError, match="has 5 frames"):
        make_task(davis, frames=5)


def test_quirks_by_name(davis: Path) -> None:
    for name, quirks in (("reference", Quirks.reference()), ("corrected", Quirks())):
        settings = PaperSettings.model_validate(tables(davis, objective={"quirks": name}))
        assert settings.objective.quirks == quirks
    mixed = PaperSettings.model_validate(tables(davis, objective={"quirks": {"padding_competes": True}}))
    assert mixed.objective.quirks == Quirks(padding_competes=True)


@pytest.mark.parametrize("quirks", ["reference", "corrected"])
def test_official_layouts_train(davis: Path, tmp_path: Path, quirks: str) -> None:
    """FlyingThings3D and YouTube-VOS through the whole recipe, published and corrected."""
    write_flyingthings(tmp_path, "A/0000", [1, 2, 3], (24, 32))
    # Flows that cancel, or every pixel counts as hidden and the published loss is 0/0.
    for path in tmp_path.rglob("*.pfm"):
        step = 1 if "Future" in path.name else -1
        save_pfm(path, np.broadcast_to(np.array((step, 0, 0), np.float32), (24, 32, 3)))
    frames = tmp_path / "ytv" / "train" / "JPEGImages" / "0a49f5265b"
    frames.mkdir(parents=True)
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(frames / f"{5 * index:05d}.jpg")
    listed = tmp_path / "ytv" / "list.json"
    listed.write_text(json.dumps({"0a49f5265b": ["00000", "00005", "00010"]}))
    task = make_task(
        davis,
        objective={"radius": 2, "quirks": quirks},
        video={"kind": "youtube_vos", "root": str(tmp_path / "ytv"), "list": str(listed)},
        pairs={"kind": "flyingthings", "root": str(tmp_path)},
        prepare_pairs={"size": [16, 16], "visible_from_crop": quirks == "reference"},
    )
    batch = task.collate([task.sample(index, stream(1, "sample", index)) for index in range(2)])
    assert (batch.visible is None) == (quirks == "reference")
    terms = task.module(batch, np.random.default_rng(0))
    assert all(bool(torch.isfinite(term)) for term in terms.values())


def test_any_folder_trains(davis: Path) -> None:
    """Without masks, blobs of the frames are the objects."""
    folder = {"kind": "folder", "root": str(davis / "JPEGImages")}
    pairs = {"kind": "synthetic", "videos": folder, "scene": {"size": [24, 24]}, "length": 3}
    task = make_task(davis, video=folder, pairs=pairs)
    clip, pair = task.sample(0, stream(1, "sample", 0))
    assert clip.shape == pair.images.shape == (2, 3, 16, 16)
