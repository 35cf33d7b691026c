"""A step that went wrong, kept so that it can be repeated: the state before it and the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fgvc_training.trainer.files import write_file_atomically
from fgvc_training.trainer.learner import Learner
from fgvc_training.trainer.samples import batches


def save_step(path: Path, learner: Learner, batch: Any) -> None:
    """Write the learner's state and the batch it is about to train on."""
    content = {"state": learner.state_dict(), "batch": pytree.tree_leaves(batch)}
    write_file_atomically(path, lambda temporary: torch.save(content, temporary))


def repeat_step(path: Path, learner: Learner, share: range, batch: int) -> dict[str, torch.Tensor]:
    """Loss terms of a saved step, computed again; `learner` is that of the same configuration.

    The batch is the saved one; only how its tensors are arranged is taken from the sample made again.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    learner.load_state_dict(content["state"])
    steps = range(learner.step, learner.step + 1)
    made = next(iter(batches(learner.task, learner.seed, share, batch, steps, workers=0)))
    return learner.losses(pytree.tree_unflatten(content["batch"], pytree.tree_structure(made)))
