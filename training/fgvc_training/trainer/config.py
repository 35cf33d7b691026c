"""Training configurations: TOML files, checked key by key.

Only what the loop itself needs is declared here; the table `[NAME]` of a task is declared by the task.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.task import task_kind

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Model = TypeVar("Model", bound=BaseModel)


class ConfigFault(TrainingError):
    """A configuration cannot be read, or a key or value in it is wrong."""


class OptimizerSettings(BaseModel):
    """Optimizer and learning-rate schedule: linear warm-up from `warmup_from`, then a cosine down to `final`.

    Both are shares of `learning_rate`.  `clip_norm` bounds the norm of the gradient; 0 leaves it alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    weight_decay: NonNegative = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    warmup_from: Annotated[float, Field(ge=0, le=1)] = 0.1
    final: Annotated[float, Field(ge=0, le=1)] = 0.001
    clip_norm: NonNegative = 1.0


class LoopSettings(BaseModel):
    """The table `[training]`.

    `batch` is the global batch, shared equally by all processes.  `ema` is the decay of the moving average of the
    encoder's weights; 0 turns it off.  `precision` "bf16" runs the forward pass under autocast.  `batch_norm`
    "synced" uses the statistics of the global batch, "local" those of each process.  Every `evaluate_every` steps the
    task is evaluated; the checkpoint with the highest `best_metric` is kept as best.  `keep` is how many checkpoints
    besides it.  `workers` are background processes that make samples; 0 makes them in the training process.
    `device` "auto" is CUDA where there is one.  `channels_last` is how convolutions keep their data: faster on most
    machines, with other rounding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Count
    batch: Count = 4
    optimizer: OptimizerSettings = OptimizerSettings()
    ema: Share = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    batch_norm: Literal["synced", "local"] = "synced"
    evaluate_every: Annotated[int, Field(ge=0)] = 500
    best_metric: str | None = None
    checkpoint_every: Count = 500
    keep: Count = 2
    log_every: Count = 10
    tensorboard: bool = False
    workers: Annotated[int, Field(ge=0)] = 1
    threads: Count | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


NOT_PART_OF_RESULT = ("checkpoint_every", "keep", "log_every", "tensorboard", "workers")
"""Keys of `[training]` that may change when a run is resumed: the weights do not depend on them."""


class _Header(BaseModel):
    """Everything in the file but the task's own table."""

    model_config = ConfigDict(extra="forbid")

    task: str
    seed: Annotated[int, Field(ge=0)] = 0
    training: LoopSettings


@dataclass(frozen=True)
class TrainingConfig:
    """A whole configuration; `settings` is the task's own table, checked by the task's kind."""

    task: str
    seed: int
    training: LoopSettings
    settings: BaseModel

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, in the layout of the file."""
        plain = {"task": self.task, "seed": self.seed, "training": self.training.model_dump(mode="json")}
        return plain | {self.task: self.settings.model_dump(mode="json")}


class Override(NamedTuple):
    """One `KEY=VALUE` from the command line; `keys` is the dotted path, as in TOML."""

    keys: tuple[str, ...]
    value: Any


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read and check a configuration; `overrides` like `training.steps=200` replace single values.

    Raises ConfigFault naming every wrong key, and UnknownTask.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigFault(f"there is no configuration {path}: check the path") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigFault(f"{path} is no readable TOML file: {error}") from error
    for text in overrides:
        _apply(data, parse_override(text))
    return check_config(data, str(path))


def check_config(data: Mapping[str, Any], name: str) -> TrainingConfig:
    """A configuration from plain data in the layout of the file; `name` is for messages."""
    task = data.get("task")
    if not isinstance(task, str):
        raise ConfigFault(f'{name}: the key "task" is missing: set it to the name of a training task')
    kind = task_kind(task)
    faults: list[str] = []
    header = _checked(_Header, {key: value for key, value in data.items() if key != task}, (), faults)
    settings = _checked(kind.settings, data.get(task, {}), (task,), faults)
    if header is None or settings is None:
        raise ConfigFault(f"{name}: {'; '.join(faults)}")
    return TrainingConfig(task, header.seed, header.training, settings)


def parse_override(text: str) -> Override:
    """`training.steps=200` -> (("training", "steps"), 200).  The value is TOML; what is none is taken as a string."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not all(key.split(".")):
        raise ConfigFault(f"{text!r} is no override: write KEY=VALUE, for example training.steps=200")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return Override(tuple(key.split(".")), parsed)


def _checked(model: type[Model], table: Any, where: tuple[str, ...], faults: list[str]) -> Model | None:
    """`table` as `model`, or None with what is wrong added to `faults`."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults += [_sentence({**fault, "loc": (*where, *fault["loc"])}) for fault in found]
        return None


def _sentence(fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"there is no key {key}: remove it or correct its spelling"
    if fault["type"] == "missing":
        return f"the key {key} is missing: set it"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"


def _apply(data: dict[str, Any], override: Override) -> None:
    table = data
    for key in override.keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigFault(f"{'.'.join(override.keys)} cannot be set: {key} is no table")
        table = inner
    table[override.keys[-1]] = override.value
