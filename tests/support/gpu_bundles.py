"""Bundles with cubins that only the emulated driver can load: real metadata, real names, parameters and constants.

What the kernels take is in gpu_kernel_table.py.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fgvc_deploy.bundle import BundleDraft, Payload, Provenance
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from gpu_handles import fake_cubin
from gpu_kernel_table import Parameters, kernel_table

_SIZES = {"i32": 4, "fp32": 4}


def placed(parameters: Parameters) -> list[dict[str, Any]]:
    """Parameters with the offsets a compiler gives them."""
    rows, end = [], 0
    for name, kind, divisor in parameters:
        size = 8 if kind.startswith("*") else _SIZES[kind]
        offset = -(-end // size) * size
        rows.append({"name": name, "type": kind, "divisible_by": divisor, "offset": offset, "size": size})
        end = offset + size
    return rows


def kernel_files(
    name: str, parameters: Parameters, constants: dict[str, Any], chip: str = "sm_87", **changes: Any
) -> tuple[bytes, dict[str, Any]]:
    """A cubin for the emulated driver and the metadata beside it, with `changes` to the latter."""
    rows = placed(parameters)
    symbol = f"{name}_kernel"
    table = [(row["name"], row["type"], row["offset"], row["size"]) for row in rows]
    cubin = fake_cubin(name, symbol, constants, table)
    metadata = {
        "schema_version": 1,
        "kernel": name,
        "symbol": symbol,
        "chip": chip,
        "arch": chip + ("a" if int(chip.removeprefix("sm_")) >= 90 else ""),
        "num_warps": 4,
        "num_ctas": 1,
        "num_stages": 2,
        "shared_bytes": 66 << 10 if name.startswith("local_topk") else 2048,
        "global_scratch_bytes": 0,
        "profile_scratch_bytes": 0,
        "constexprs": constants,
        "params": rows,
        "hidden_pointers": 2,
        "bytes": len(cubin),
        "sha256": hashlib.sha256(cubin).hexdigest(),
        "versions": {"triton": "emulated"},
    }
    return cubin, metadata | changes


def kernel_payloads(
    encoder: EncoderSettings, settings: PropagationSettings, feature: str = "fp16", chip: str = "sm_87"
) -> list[Payload]:
    """Every kernel for one chip, as the exporter lays them out."""
    payloads = []
    for name, (parameters, constants) in kernel_table(encoder, settings, feature).items():
        cubin, metadata = kernel_files(name, parameters, constants, chip)
        path = f"kernels/{chip}/{name}"
        payloads.append(Payload("kernel", f"cubin:{chip}", f"{path}.cubin", cubin, feature))
        payloads.append(Payload("document", f"cubin:{chip}", f"{path}.json", json.dumps(metadata).encode()))
    return payloads


def gpu_draft(
    encoder: EncoderSettings, settings: PropagationSettings, *extra: Payload, feature: str = "fp16"
) -> BundleDraft:
    """A bundle with these kernels and whatever else is given."""
    return BundleDraft(
        encoder=encoder,
        preprocess=PreprocessSettings(),
        propagation=settings,
        default_size="native",
        provenance=Provenance(weights="random numbers"),
        payloads=(*kernel_payloads(encoder, settings, feature), *extra),
    )
