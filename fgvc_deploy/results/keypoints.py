"""Named points of an animal or a person, from JSON: our own simple format, and BADJA's annotations.

Positions are turned into queries like any other points; how keypoints are read out is the trackers' business.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

_BADJA_WH = (1920, 1080)


class Keypoints(NamedTuple):
    """`names` [N] and `queries_tyx` float32 [N, 3], (frame, y, x) in pixels of the source video."""

    names: list[str]
    queries_tyx: NDArray[np.float32]


def read_keypoints(path: str | Path, hw: tuple[int, int]) -> Keypoints:
    """Read keypoints of a video whose frames are (height, width) `hw`, in the order of the file.

    Our format, pixels of the source video, integer = pixel centre; `frame` is optional (0), a keypoint may have its
    own:

        {"frame": 0, "keypoints": {"left_eye": [210, 96.5], "tail": {"xy": [30, 120], "frame": 4}}}

    BADJA's `joint_annotations`: a list of annotated frames, `joints` as [row, column] at 1920x1080.  The visible
    joints of the first annotated frame are taken, scaled to `hw`, named joint_NN after their slot; the frame number
    comes from `image_path`.

    Raises InputError for anything else, naming the keypoint.  Whether points lie in the frame is checked by
    `fgvc_deploy.queries.check_in_frame`.
    """
    path = Path(path)
    data = _load(path)
    if isinstance(data, list):
        return _from_badja(path, data, hw)
    if not isinstance(data, dict) or not isinstance(data.get("keypoints"), dict):
        raise InputError(f'{path} has no "keypoints"; write {{"frame": 0, "keypoints": {{"name": [x, y]}}}}.')
    if unknown := set(data) - {"frame", "keypoints"}:
        raise InputError(
            f'{path} has an unknown entry {sorted(unknown)[0]!r}; only "frame" and "keypoints" are read.'
        )
    frame = _number(path, "frame", data.get("frame", 0))
    rows = [_one(path, name, value, frame) for name, value in data["keypoints"].items()]
    return _as_keypoints(path, list(data["keypoints"]), rows)


def _load(path: Path) -> Any:
    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{path} names {name!r} twice; give every keypoint its own name.")
        return dict(pairs)

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=without_repeats)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); mend or export the file again.") from error


def _one(path: Path, name: str, value: Any, frame: float) -> tuple[float, float, float]:
    if isinstance(value, dict):
        if "xy" not in value or set(value) - {"xy", "frame"}:
            raise InputError(f'{path}: keypoint {name!r} needs "xy" and may have "frame", nothing else.')
        frame = _number(path, f"frame of {name!r}", value.get("frame", frame))
        value = value["xy"]
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{path}: keypoint {name!r} is {value!r}; give its position as [x, y].")
    x, y = (_number(path, f"{axis} of {name!r}", number) for axis, number in zip("xy", value, strict=True))
    return frame, y, x


def _number(path: Path, what: str, value: Any) -> float:
    # bool is an int in Python; JSON readers accept NaN, Infinity and integers too large for a float.
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        raise InputError(f"{path}: {what} is too large; give a number in pixels or frames.") from None
    raise InputError(f"{path}: {what} is {value!r}; give a number.")


def _from_badja(path: Path, frames: list[Any], hw: tuple[int, int]) -> Keypoints:
    try:
        first = min(frames, key=_badja_frame)
        t = _badja_frame(first)
        joints, visible = np.array(first["joints"], np.float64), np.array(first["visibility"], bool)
        if joints.shape != (len(visible), 2):
            raise ValueError("joints and visibility do not match")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is a list, but not BADJA's joint annotations ({error!r}); check the file."
        ) from error
    slots = np.flatnonzero(visible)
    scale_x, scale_y = hw[1] / _BADJA_WH[0], hw[0] / _BADJA_WH[1]
    rows = [(t, joints[slot, 0] * scale_y, joints[slot, 1] * scale_x) for slot in slots]
    return _as_keypoints(path, [f"joint_{slot:02d}" for slot in slots], rows)


def _badja_frame(annotation: dict[str, Any]) -> float:
    number = re.search(r"(\d+)\.\w+$", annotation["image_path"])
    if number is None:
        raise ValueError(f"no frame number in {annotation['image_path']!r}")
    return float(number.group(1))


def _as_keypoints(path: Path, names: list[str], rows: list[tuple[float, float, float]]) -> Keypoints:
    if not names:
        raise InputError(f"{path} holds no keypoints; name at least one.")
    return Keypoints(names, np.array(rows, np.float32))
