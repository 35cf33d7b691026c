"""What lies beside a cubin is checked before anything is launched with it, and arguments go where it says."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.cubins.metadata import KernelMetadata, parse_metadata
from fgvc_deploy.gpu.cubins.packing import pack, unpack
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import kernel_files
from gpu_kernel_table import kernel_table

TABLE = kernel_table(EncoderSettings(arch="toy", stride=2, channels=80), PropagationSettings())


def metadata(name: str = "propagate", **changes: Any) -> KernelMetadata:
    _, found = kernel_files(name, *TABLE[name], **changes)
    return parse_metadata(json.dumps(found).encode(), "propagate.json")


def test_hidden_pointers_follow_the_visible_ones() -> None:
    """local_topk: four pointers, six integers, two pointers; then two null pointers."""
    assert metadata("local_topk").layout[-4:] == ((56, 8), (64, 8), (72, 8), (80, 8))
    # An odd number of integers leaves a gap before a pointer.
    assert metadata("normalise").layout == ((0, 8), (8, 4), (16, 8), (24, 8), (32, 8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"arch": "sm_87a"}, "not what sm_87 needs"),
        ({"chip": "sm_90", "arch": "sm_90"}, "not what sm_90 needs"),
        ({"num_ctas": 2}, "num_ctas"),
        ({"global_scratch_bytes": 128}, "global_scratch_bytes"),
        ({"hidden_pointers": 1}, "hidden_pointers"),
        ({"symbol": "a b"}, "symbol"),
        ({"sha256": "0"}, "sha256"),
        ({"num_warps": 3}, "num_warps"),
        ({"more": 1}, "more"),
    ],
)
def test_metadata_that_cannot_be_launched_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said) as caught:
        metadata(**change)
    assert "propagate.json" in str(caught.value)


@pytest.mark.parametrize(
    ("index", "field", "value"), [(4, "offset", 36), (1, "size", 4), (0, "type", "*f p"), (5, "offset", 32)]
)
def test_parameters_that_do_not_follow_each_other_are_refused(index: int, field: str, value: object) -> None:
    _, found = kernel_files("propagate", *TABLE["propagate"])
    found["params"][index][field] = value
    with pytest.raises(BundleError, match="export the bundle again"):
        parse_metadata(json.dumps(found).encode(), "x.json")


def test_arguments_lie_where_the_table_says() -> None:
    described = metadata("propagate")
    values = {"positions": 256, "weights": 512, "labels": 1024, "slots": 4, "pixels": 99, "channels": 8, "out": 2048}
    block = pack(described, values)
    assert struct.unpack("<QQQQiiQQQ", block) == (256, 512, 1024, 4, 99, 8, 2048, 0, 0)
    assert unpack(described, block) == values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": 1032}, "multiples of 16"),
        ({"pixels": 1 << 31}, "does not fit i32"),
        ({"pixels": -(1 << 31) - 1}, "does not fit i32"),
        ({"out": -16}, "does not fit"),
        ({"pixels": 1.5}, "not a whole number"),
        ({"pixel": 3}, "other arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_our_mistake(change: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = dict.fromkeys(
        ("positions", "weights", "labels", "slots", "pixels", "channels", "out"), 16
    )
    with pytest.raises(ValueError, match=said):
        pack(metadata("propagate"), values | change)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ValueError, match="out, slots"):
        pack(metadata("propagate"), dict.fromkeys(("positions", "weights", "labels", "pixels", "channels"), 16))
