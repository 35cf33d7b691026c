"""Mask and joint propagation end to end against Spa-then-Temp and FGVC's HR tracker (goldens g)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.engine import Engine
from fgvc_deploy.labels.masks import harden, mask_labels
from fgvc_deploy.readout.masks import read_masks, resize_mask
from fgvc_deploy.readout.points_dense import read_full_maps
from fgvc_deploy.readout.resample import MapTaps, half_pixel_taps, resize_maps
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.propagator import Propagator
from fgvc_kernels.reference import AttentionOptions, attend_padded, memory_frames
from stepwise import LABEL_BUDGET, stepwise

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
EngineFactory = Callable[..., Engine]
TAGS = ("stt_square24_p20", "stt_circle30_p5", "stt_circle30_p5_hard", "stt_circle30_orig120x150")
# The fourth case has no settings of its own: it is circle 30, 5 preceding frames, read out at another size.
DEFAULT_CFG: dict[str, Any] = {"mode": "circle", "nr": 30, "prec": 5}


def _settings(golden: Mapping[str, NDArray[Any]], tag: str) -> dict[str, object]:
    cfg = json.loads(str(golden[f"{tag}.cfg"])) if f"{tag}.cfg" in golden else DEFAULT_CFG
    return {"window": cfg["mode"], "radius": cfg["nr"] // 2, "memory": cfg["prec"]}


def _carry(
    engine: Engine, labels: NDArray[np.float32], clip: NDArray[np.uint8], hard: bool = False
) -> list[NDArray[np.float32]]:
    """Labels [H*W, K] of frames 1.. as the run time carries them."""
    propagator = Propagator(engine.matcher, engine.propagation, duplicate_first=True, harden=harden if hard else None)
    carried = []
    for frame in clip:
        soft = propagator.advance(engine.features(frame, frame.shape[:2], StageTimer()))
        if not propagator.groups:
            propagator.start_group(labels)
        else:
            carried.append(soft[0].copy())
    return carried


@pytest.mark.parametrize("tag", TAGS)
def test_masks_equal_spa_then_temp(
    tag: str, goldens: Goldens, parity: Parity, reference_engine: EngineFactory
) -> None:
    golden = goldens("g_vos_stt")
    expected = golden[f"{tag}.pred"]
    clip = goldens("clips")["clip96"][: len(expected)]
    first = mask_labels(golden[f"{tag}.ref_seg_map"], (96, 128), 2, "reference")
    carried = _carry(reference_engine(**_settings(golden, tag)), first.labels, clip, hard="hard" in tag)
    if f"{tag}.seg_logits" in golden:
        stored = golden[f"{tag}.seg_logits"].reshape(len(expected) - 1, len(first.ids), -1).transpose(0, 2, 1)
        step = stepwise(reference_engine(**_settings(golden, tag)), first.labels, clip, stored, hard="hard" in tag)
        parity(
            group="g", case=f"{tag} label maps", value=step.error, budget=LABEL_BUDGET, unit="label", note=step.note
        )
    out_hw = expected.shape[1:]
    masks = [resize_mask(golden[f"{tag}.ref_seg_map"], out_hw)]
    masks += [read_masks(m, first.ids, (48, 64), out_hw, 2, (96, 128), "reference") for m in carried]
    wrong = np.count_nonzero(np.stack(masks) != expected)
    parity(group="g", case=f"{tag} masks", value=wrong, budget=0, unit="pixels that differ")


def test_joints_equal_spa_then_temp(goldens: Goldens, parity: Parity, reference_engine: EngineFactory) -> None:
    golden = goldens("g_vos_stt")
    half = MapTaps(half_pixel_taps(96, 48), half_pixel_taps(128, 64))
    labels = resize_maps(golden["jhmdb.ref_seg_map"][0], half).reshape(4, -1).T
    engine, labels = reference_engine(**_settings(golden, "jhmdb")), np.ascontiguousarray(labels)
    clip = goldens("clips")["clip96"]
    stored = golden["jhmdb.seg_logits"].reshape(len(clip) - 1, 4, -1).transpose(0, 2, 1)
    step = stepwise(engine, labels, clip, stored)
    parity(group="g", case="jhmdb label maps", value=step.error, budget=LABEL_BUDGET, unit="label", note=step.note)
    maps = [m.T.reshape(4, 48, 64) for m in _carry(engine, labels, clip)]
    out = MapTaps(half_pixel_taps(48, 120), half_pixel_taps(64, 150))
    first = resize_maps(golden["jhmdb.ref_seg_map"][0], MapTaps(half_pixel_taps(96, 120), half_pixel_taps(128, 150)))
    full = [first, *(resize_maps(m, out) for m in maps)]
    worst = max(np.abs(full[t] - golden["jhmdb.maps_first2"][t]).max() for t in range(2))
    parity(group="g", case="jhmdb maps at output size", value=worst, budget=LABEL_BUDGET, unit="label")
    xy = np.stack([read_full_maps(m, "reference").xy for m in full], axis=-1)
    error = np.abs(xy.transpose(1, 0, 2) - golden["jhmdb.coords"]).max()
    parity(group="g", case="jhmdb joints", value=error, budget=0.01, unit="px")


def test_hr_tracker(goldens: Goldens, parity: Parity, torch_encoder: EncoderBackend) -> None:
    """The HR tracker's zero-padded square window exists as a plain reference only; no run-time mode needs it."""
    golden = goldens("g_vos_hr")
    cfg = json.loads(str(golden["cfg"]))
    features = (
        [torch_encoder.encode(frame[None]) for frame in golden["x"][0].astype(np.float32)]
        if golden["x"].shape[1] == 3
        else []
    )
    options = AttentionOptions(topk=cfg["topk"], temperature=cfg["temperature"])
    first = mask_labels(golden["ref_seg_map"], (32, 48), 2, "reference")
    maps = [first.labels.reshape(16, 24, -1)]
    for t in range(1, len(features)):
        frames = memory_frames(t, cfg["precede_frames"], duplicate_first=True)
        keys, labels = np.stack([features[f] for f in frames]), np.stack([maps[f] for f in frames])
        maps.append(attend_padded(features[t], keys, labels, cfg["neighbor_range"] // 2, options))
    carried = np.stack(maps[1:]).transpose(0, 3, 1, 2)
    worst = np.abs(carried - golden["seg_logits"]).max()
    parity(group="g", case="hr label maps", value=worst, budget=LABEL_BUDGET, unit="label")
    masks = [resize_mask(golden["ref_seg_map"], (32, 48))]
    masks += [
        read_masks(
            m.reshape(-1, m.shape[-1]).astype(np.float32), first.ids, (16, 24), (32, 48), 2, (32, 48), "reference"
        )
        for m in maps[1:]
    ]
    wrong = np.count_nonzero(np.stack(masks) != golden["pred"])
    parity(group="g", case="hr masks", value=wrong, budget=0, unit="pixels that differ")
