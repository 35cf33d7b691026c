"""Runs of the task `edge` with the paper's losses: what they add, what they leave alone, exact resume."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

from fgvc_training.edge.batch import PairTensors, Queries
from fgvc_training.edge.module import EdgeModule
from fgvc_training.edge.settings import EdgeSettings, LossSettings
from fgvc_training.edge.task import EdgeTask
from fgvc_training.encoder.checkpoint import load_encoder
from fgvc_training.errors import TrainingError
from fgvc_training.trainer.folder import RunFolder
from fgvc_training.trainer.loop import train
from fgvc_training.trainer.task import RunContext
from tiny_edge import paper_config, tiny_edge_settings, with_paper_losses
from tiny_task import Silent


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EdgeSettings:
    plain = tiny_edge_settings(tmp_path_factory.mktemp("edge"))
    return plain.model_copy(update={"pairs": plain.pairs.model_copy(update={"synthetic": 0.5})})


def built(settings: EdgeSettings) -> EdgeTask:
    torch.manual_seed(0)
    return EdgeTask(settings, RunContext())


def a_batch(task: EdgeTask) -> PairTensors:
    """Two pairs of each kind."""
    rng = np.random.default_rng(3)
    kinds: dict[bool, list[Any]] = {True: [], False: []}
    while min(map(len, kinds.values())) < 2:
        sample = task.sample(0, rng)
        kinds[bool(sample.synthetic)].append(sample)
    return task.collate([*kinds[True][:2], *kinds[False][:2]])


def test_terms_without_weight_leave_a_run_as_it_was(settings: EdgeSettings) -> None:
    """No parameter, no optimizer group, no draw."""
    task = built(settings)
    module = task.module
    assert isinstance(module, EdgeModule)
    assert list(module.state_dict()) == [f"encoder.{name}" for name in task.encoder.state_dict()]
    assert len(task.parameter_groups(1e-3, 1e-3)) == 2
    rng, untouched = (np.random.default_rng(5) for _ in range(2))
    nothing = Queries(*[torch.empty(0)] * 4)
    assert module.paper(task.encoder, torch.empty(0), a_batch(task), nothing, rng) == {}
    assert rng.bit_generator.state == untouched.bit_generator.state


def test_new_terms_do_not_disturb_the_others(settings: EdgeSettings) -> None:
    """Same initial weights, same queries, same values; running statistics know no frame without its colour."""
    tasks = built(settings), built(with_paper_losses(settings))
    batch = a_batch(tasks[0])
    plain, paper = (task.module.train()(batch, np.random.default_rng(1)) for task in tasks)
    assert list(paper) == [*plain, "reconstruction", "teacher", "adversarial"]
    assert all(torch.equal(plain[name], paper[name]) for name in plain)
    assert all(float(paper[name].detach()) > 0 for name in ("reconstruction", "teacher", "adversarial"))
    buffers = [[value for name, value in task.encoder.named_buffers() if "num_batches" not in name] for task in tasks]
    assert all(torch.equal(*pair) for pair in zip(*buffers, strict=True))


def test_without_a_synthetic_pair_the_teacher_is_silent(settings: EdgeSettings) -> None:
    task = built(with_paper_losses(settings))
    real = PairTensors(*(part[2:] for part in a_batch(task)))
    term = task.module.train()(real, np.random.default_rng(1))["teacher"]
    term.backward()
    assert float(term.detach()) == 0
    assert not any(value.grad.any() for value in task.encoder.parameters() if value.grad is not None)


@pytest.mark.parametrize("term", ["reconstruction", "teacher", "adversarial"])
def test_each_term_reaches_the_head_and_only_it(settings: EdgeSettings, term: str) -> None:
    task = built(with_paper_losses(settings))
    task.module.train()(a_batch(task), np.random.default_rng(1))[term].backward()
    reached = {name for name, value in task.encoder.named_parameters() if value.grad is not None and value.grad.any()}
    assert "head.out.weight" in reached
    assert all(name.startswith("head.") for name in reached)


def test_reversal_scales_what_reaches_the_encoder_alone(settings: EdgeSettings) -> None:
    found = []
    for reversal in (1.0, 10.0):
        paper = with_paper_losses(settings)
        losses = paper.losses.model_copy(update={"adversarial_reversal": reversal})
        task = built(paper.model_copy(update={"losses": losses}))
        task.module.train()(a_batch(task), np.random.default_rng(1))["adversarial"].backward()
        found.append({name: value.grad for name, value in task.module.named_parameters() if value.grad is not None})
    once, ten_fold = found
    head, own = "encoder.head.out.weight", "paper.discriminator.cls_layer.1.weight"
    # float32 sums over thousands of pixels that nearly cancel.
    assert float((ten_fold[head] - 10 * once[head]).norm()) < 1e-3 * float(ten_fold[head].norm())
    assert torch.equal(ten_fold[own], once[own])


def test_pairs_know_their_kind_and_their_colours(settings: EdgeSettings) -> None:
    """Colours are those of the crop before its photometric change."""
    task = built(settings)
    batch = a_batch(task)
    assert batch.synthetic.tolist() == [True, True, False, False]
    assert batch.colours.shape == (4, 2, 2, 16, 16)
    unchanged = settings.pairs.model_copy(update={"photometric": None})
    plain = built(settings.model_copy(update={"pairs": unchanged})).sample(0, np.random.default_rng(9))
    changed = task.sample(0, np.random.default_rng(9))
    assert torch.equal(plain.colours, changed.colours)
    assert not torch.equal(plain.frames, changed.frames)


@pytest.mark.parametrize(
    ("losses", "changes", "match"),
    [
        ({"reconstruction_weight": 1.0}, {"synthetic": 1.0}, "needs real pairs"),
        ({"adversarial_weight": 1.0}, {"synthetic": 0.0}, "needs both kinds"),
        ({"adversarial_weight": 1.0}, {"synthetic": 1.0}, "needs both kinds"),
        ({"teacher_weight": 1.0}, {"synthetic": 0.0}, "needs synthetic pairs"),
        ({"teacher_weight": 1.0}, {"train_trunk_from": 8}, "must then be frozen"),
    ],
)
def test_a_term_that_can_never_work_is_refused(
    settings: EdgeSettings, losses: dict[str, Any], changes: dict[str, Any], match: str
) -> None:
    pairs = settings.pairs.model_copy(update={key: value for key, value in changes.items() if key == "synthetic"})
    rest = {key: value for key, value in changes.items() if key != "synthetic"}
    wrong = settings.model_copy(update={"pairs": pairs, "losses": LossSettings(**losses), **rest})
    with pytest.raises(TrainingError, match=match):
        EdgeTask(wrong, RunContext())


class Stopping(Silent):
    """Asks to stop after the first step; the second is finished."""

    def progress(self, text: str, share: float) -> None:
        super().progress(text, share)
        if self.steps == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_and_resumed_run_equals_a_straight_one(settings: EdgeSettings, tmp_path: Path) -> None:
    """With all terms, in bf16: discriminator, optimizer and logs too; the exported encoder has no discriminator."""
    same = paper_config(settings, precision="bf16")
    straight, halved = tmp_path / "straight", tmp_path / "halved"
    final = train(same, straight, Silent()).final
    assert train(same, halved, Stopping()).step == 2
    torch.manual_seed(99)
    assert train(same, halved, Silent(), resume=True).signal is None
    for name in ("log.csv", "final.safetensors"):
        assert (straight / name).read_bytes() == (halved / name).read_bytes(), name
    states = [RunFolder(path).load_checkpoint() for path in (straight, halved)]
    assert states[0] is not None
    first, second = (pytree.tree_leaves(state) for state in states)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    weights = {name for name in states[0]["module"] if "discriminator" in name}
    assert len(weights) == 6
    assert states[0]["optimizer"]["param_groups"][-2]["weight_decay"] > 0
    assert final is not None
    assert load_encoder(final, "edge")[1].arch == "edge"
    header = (straight / "log.csv").read_text().splitlines()[0]
    assert header.endswith("matching,identity,cycle,reconstruction,teacher,adversarial,gradient_norm")
