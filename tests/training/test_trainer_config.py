"""Configurations: every wrong key is one sentence; the committed ones are valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from fgvc_training.trainer.config import ConfigFault, parse_override, read_config
from fgvc_training.trainer.task import UnknownTask

pytestmark = pytest.mark.usefixtures("tiny")
CONFIGS = sorted((Path(__file__).resolve().parents[2] / "training" / "configs").glob("*.toml"))
GOOD = """
task = "tiny"
seed = 3
[training]
steps = 5
[training.optimizer]
learning_rate = 0.1
[tiny]
dropout = 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, GOOD))
    assert (config.seed, config.training.steps, config.training.batch) == (3, 5, 4)
    assert config.training.optimizer.learning_rate == 0.1
    assert config.as_dict()["tiny"]["dropout"] == 0.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = 3", "sed = 3", r"there is no key sed: remove it or correct its spelling"),
        ("steps = 5", "step = 5", r"the key training\.steps is missing: set it; there is no key training\.step"),
        ("learning_rate = 0.1", "lr = 0.1", r"there is no key training\.optimizer\.lr"),
        (
            "learning_rate = 0.1",
            "learning_rate = -1",
            r"optimizer\.learning_rate: .*greater than 0, not -1",
        ),
        ("dropout = 0.5", "drop = 0.5", r"there is no key tiny\.drop"),
        ("dropout = 0.5", "dropout = 'much'", r"tiny\.dropout: .*valid number.*, not 'much'"),
        ("steps = 5", "steps = 5.5", r"training\.steps: .*, not 5\.5"),
        ("[tiny]", "[settings]", r"there is no key settings"),
        ("[tiny]", "[fgvc]", r"there is no key fgvc"),
        ('task = "tiny"', "", r'the key "task" is missing'),
        ("steps = 5", "steps = ", r"is no readable TOML file"),
    ],
)
def test_wrong_keys_and_values(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigFault, match=said):
        read_config(write(tmp_path, GOOD.replace(old, new)))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("steps = 5", "steps = 5\nfoo = 1").replace("dropout = 0.5", "bar = 2")
    with pytest.raises(ConfigFault, match=r"training\.foo.*tiny\.bar"):
        read_config(write(tmp_path, text))


def test_unknown_task_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownTask, match=r"no training task 'tinny': set task to one of fgvc, edge"):
        read_config(write(tmp_path, GOOD.replace('"tiny"', '"tinny"')))
    with pytest.raises(ConfigFault, match="there is no configuration"):
        read_config(tmp_path / "absent.toml")


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    config = read_config(path, ["training.steps=7", "tiny.dropout=0.25", "training.best_metric=score", "seed = 9"])
    assert (config.training.steps, config.seed, config.training.best_metric) == (7, 9, "score")
    assert config.as_dict()["tiny"]["dropout"] == 0.25
    assert parse_override("a.b=[1, 2]").value == [1, 2]
    assert parse_override("a=x/y z").value == "x/y z"
    for text in ("steps", "=3", "a..b=3"):
        with pytest.raises(ConfigFault, match="is no override"):
            read_config(path, [text])
    with pytest.raises(ConfigFault, match=r"seed\.x cannot be set: seed is no table"):
        read_config(path, ["seed.x=1"])


def test_a_table_can_be_replaced_whole() -> None:
    """As docs/training.md and quick.toml tell people with their own videos."""
    quick = next(path for path in CONFIGS if path.stem == "quick")
    own = '{kind="folder", root="DIR"}'
    places = ("video", "pairs.videos", "evaluation.source.videos")
    config = read_config(quick, [f"fgvc.{place}={own}" for place in places]).as_dict()["fgvc"]
    assert config["video"] == config["pairs"]["videos"] == {"kind": "folder", "root": "DIR"}


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_committed_configurations_are_valid(path: Path) -> None:
    assert read_config(path).training.steps > 0
