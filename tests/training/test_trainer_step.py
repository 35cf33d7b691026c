"""One step: what it updates, what it logs, and what happens when figures are not finite."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fgvc_training.errors import DataError, TrainingError
from fgvc_training.trainer.averaging import MovingAverage
from fgvc_training.trainer.config import OptimizerSettings, TrainingConfig
from fgvc_training.trainer.learner import Learner, NotFinite
from fgvc_training.trainer.log import Mean, Table
from fgvc_training.trainer.loop import train
from fgvc_training.trainer.processes import Processes
from fgvc_training.trainer.reproduction import repeat_step
from fgvc_training.trainer.samples import batches
from fgvc_training.trainer.schedule import rate_factor
from fgvc_training.trainer.seeding import seed_torch, stream
from fgvc_training.trainer.task import RunContext
from tiny_task import Silent, TinyTask, tiny_config

pytestmark = pytest.mark.usefixtures("tiny")
ALONE = Processes(0, 1, torch.device("cpu"))


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def make_learner(config: TrainingConfig) -> Learner:
    seed_torch(config.seed, "weights")
    task = TinyTask(config.settings, RunContext())  # type: ignore[arg-type]
    return Learner(task, config.training, config.seed, ALONE)


def make_batch(learner: Learner, step: int = 0) -> Any:
    return next(iter(batches(learner.task, learner.seed, range(4), 4, range(step, step + 1), 0)))


def test_one_step_is_the_textbook_update() -> None:
    """SGD without momentum, nothing clipped: weights move by rate times gradient, the average a little after them."""
    optimizer = {"name": "sgd", "betas": (0, 0), "learning_rate": 0.1, "warmup_steps": 0, "weight_decay": 0}
    learner = make_learner(tiny_config({"optimizer": optimizer | {"clip_norm": 0}}, double=True))
    weight = learner.task.encoder.get_parameter("mix.weight")
    before = weight.detach().clone()
    batch = make_batch(learner)
    (gradient,) = torch.autograd.grad(sum(learner.losses(batch).values()), weight)  # type: ignore[arg-type]
    buffers_again = make_learner(tiny_config({"optimizer": optimizer | {"clip_norm": 0}}, double=True))
    buffers_again.train_step(batch)
    moved = buffers_again.task.encoder.get_parameter("mix.weight").detach()
    torch.testing.assert_close(moved, before - 0.1 * gradient, rtol=1e-12, atol=1e-15)
    averaged = buffers_again.average.encoder.get_parameter("mix.weight")
    # The first update's decay is 2/11.
    torch.testing.assert_close(averaged, before + (9 / 11) * (moved - before), rtol=1e-12, atol=1e-15)


def test_gradient_is_clipped_and_its_norm_logged_unclipped() -> None:
    settings = {"name": "sgd", "betas": (0, 0), "learning_rate": 1.0, "warmup_steps": 0, "weight_decay": 0}
    moves = []
    for limit in (0, 1e-3):
        learner = make_learner(tiny_config({"optimizer": settings | {"clip_norm": limit}}, double=True))
        before = nn.utils.parameters_to_vector(learner.module.parameters()).detach()
        result = learner.train_step(make_batch(learner))
        after = nn.utils.parameters_to_vector(learner.module.parameters()).detach()
        moves.append((float((after - before).norm()), result.values["gradient_norm"]))
    (free, norm), (clipped, same_norm) = moves
    assert norm == same_norm
    assert free == pytest.approx(norm, rel=1e-9)
    # clip_grad_norm_ divides by norm + 1e-6.
    assert clipped == pytest.approx(1e-3, rel=1e-5)


def test_bf16_runs_near_fp32() -> None:
    """bfloat16 has 8 bits of mantissa: features, and losses about quadratic in them, agree to about 1 %.

    Without dropout, which draws other masks in another precision.
    """
    values = []
    for precision in ("fp32", "bf16"):
        learner = make_learner(tiny_config({"precision": precision, "channels_last": precision == "bf16"}, dropout=0))
        values.append(learner.train_step(make_batch(learner)).values)
    exact, rounded = values
    assert exact != rounded
    assert all(value == pytest.approx(exact[name], rel=0.02) for name, value in rounded.items())


def test_schedule_warms_up_then_falls_along_a_cosine() -> None:
    settings = OptimizerSettings(warmup_steps=10, warmup_from=0.1, final=0.01)
    factors = [rate_factor(step, 101, settings) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[50] == pytest.approx((1 + 0.01) / 2)
    assert factors[100] == pytest.approx(0.01)
    assert max(factors) == factors[10]
    assert factors[5] == pytest.approx((0.1 + 0.9 * 0.5) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.05))))
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_average_forgets_its_start_and_copies_counters() -> None:
    source = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = MovingAverage(source, 0.9)
    with torch.no_grad():
        for value in source.state_dict().values():
            value.fill_(5)
    for _ in range(200):
        average.update(source)
    state = average.encoder.state_dict()
    assert int(state["1.num_batches_tracked"]) == 5
    torch.testing.assert_close(state["0.weight"], torch.full((2, 3), 5.0))
    assert not average.encoder.training
    copy = MovingAverage(source, 0.0)
    copy.update(source)
    assert all(torch.equal(copy.encoder.state_dict()[name], value) for name, value in source.state_dict().items())


def test_not_a_number_stops_with_state_and_batch_kept(tmp_path: Path) -> None:
    """Sample 26 of step 7 is infinite; the kept step gives the same infinite loss again, from weights of step 6."""
    with pytest.raises(NotFinite, match=r"at step 7 not finite: .*fit.* kept in .*failure_0000006_0.pt"):
        train(tiny_config(poison=26), tmp_path / "run", Silent())
    (path,) = (tmp_path / "run").glob("failure_*.pt")
    learner = make_learner(tiny_config())
    terms = repeat_step(path, learner, range(4), 4)
    assert learner.step == 6
    assert not bool(torch.isfinite(terms["fit"]))
    state = torch.load(path, weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["state"]["average"]["encoder"].values())
    rows = read_rows(tmp_path / "run" / "log.csv")
    assert [row["step"] for row in rows] == ["2", "4", "6"]


def test_infinite_gradient_of_a_finite_loss_is_caught() -> None:
    learner = make_learner(tiny_config())
    batch = make_batch(learner)
    weight = learner.task.encoder.get_parameter("mix.weight")
    weight.register_hook(lambda gradient: gradient * torch.nan)  # type: ignore[no-untyped-call]
    before = weight.detach().clone()
    with pytest.raises(NotFinite, match="at step 1 not finite: gradient_norm"):
        learner.train_step(batch)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_one_sentence(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"^the file a.png cannot be read: get it again$"):
        train(tiny_config({"workers": workers}, unreadable=14), tmp_path / "run", Silent())


def test_streams_depend_on_everything_they_name() -> None:
    streams = (stream(1, "sample", 0), stream(2, "sample", 0), stream(1, "step", 0), stream(1, "sample", 1))
    draws = [rng.random() for rng in streams]
    assert len(set(draws)) == 4
    assert stream(1, "sample", 0).random() == draws[0]


def test_log_rows_are_means_since_the_last_row(tmp_path: Path) -> None:
    """log_every 2 gives the mean of each two rows of log_every 1."""
    for every in (1, 2):
        train(tiny_config({"log_every": every}), tmp_path / str(every), Silent())
    single, double = (read_rows(tmp_path / str(every) / "log.csv") for every in (1, 2))
    assert [int(row["step"]) for row in double] == [2, 4, 6, 8, 10]
    for index, row in enumerate(double):
        mean = np.mean([float(part["loss"]) for part in single[2 * index : 2 * index + 2]])
        assert float(row["loss"]) == pytest.approx(mean, rel=1e-8)
        assert float(row["loss"]) == pytest.approx(float(row["fit"]) + float(row["size"]), rel=1e-6)


def test_table_refuses_new_columns(tmp_path: Path) -> None:
    table = Table(tmp_path / "a.csv", -1)
    table.add(1, {"a": 1.0})
    with pytest.raises(TrainingError, match="the same figures at every step"):
        table.add(2, {"b": 1.0})
    assert Mean().take() == {}


def test_best_metric_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no figure pck: set training.best_metric to one of score, error"):
        train(tiny_config({"best_metric": "pck"}), tmp_path / "run", Silent())


def test_training_without_evaluation(tmp_path: Path) -> None:
    outcome = train(tiny_config({"evaluate_every": 0}), tmp_path / "run", Silent())
    assert outcome.best is None
    assert outcome.final == tmp_path / "run" / "final.safetensors"
    assert not (tmp_path / "run" / "eval.csv").exists()
