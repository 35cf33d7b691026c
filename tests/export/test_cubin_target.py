"""Targets cubin:sm_XX and plugin:sm_XX: a bundle with kernels for one chip, read back by the GPU run time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from fgvc_deploy.bundle import Bundle, BundleDraft, ParityNotRun, Payload, Provenance, open_bundle, write_bundle
from fgvc_deploy.bundle.card import model_card
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.gpu.cubins.images import cubin_chips, kernel_images, read_image
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_export import cubin_target, plugin_target
from fgvc_export.targets import Choice, Source, build_files, chosen_targets
from fgvc_kernels.triton.offsets import offset_table

pytest.importorskip("triton", reason="compiling kernels needs the extra `export`")

CHIP = "sm_87"
SETTINGS = EncoderSettings(arch="toy", stride=4, channels=32)
SOURCE = Source(nn.Identity(), SETTINGS, PropagationSettings(radius=5.0, topk=4, temperature=0.1), "fp16", {})


def choice_of(name: str) -> Choice:
    return chosen_targets((name,), "fp32")[0]


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> Bundle:
    """A bundle with nothing but the kernels and the plugin, as two targets of one export."""
    folder = tmp_path_factory.mktemp("cubins")
    payloads: list[Payload] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(folder / "triton"))
        for name in (f"cubin:{CHIP}", f"plugin:{CHIP}"):
            payloads += build_files(choice_of(name), SOURCE, lambda message, share: told.append(message))
    draft = BundleDraft(
        SETTINGS, PreprocessSettings(), SOURCE.propagation, "native", Provenance(weights="none"), tuple(payloads)
    )
    return write_bundle(draft, folder / "bundle")


def test_the_run_time_finds_every_kernel_it_launches(bundle: Bundle) -> None:
    assert cubin_chips(bundle) == (CHIP,)
    images = kernel_images(bundle, CHIP)
    by_file = {Path(image.artefact.path).stem: image for image in images}
    match = by_file["local_topk"]
    assert match.metadata.constexprs.items() >= {"C": 32, "K": 4, "TEMPERATURE": 0.1, "SQUARE": False}.items()
    assert match.artefact.path == f"kernels/{CHIP}/local_topk.cubin"
    assert read_image(bundle, match)[:4] == b"\x7fELF"
    for name in ("local_topk_scores", "merge_topk", "propagate", "readout_bounds", "readout", "argmax_masks"):
        assert by_file[name].metadata.kernel == name
    kinds = {image.metadata.params[0].type for image in images if image.metadata.kernel == "normalise"}
    assert kinds == {"*fp32", "*fp16"}


def test_nothing_claims_to_have_run(bundle: Bundle) -> None:
    compiled = [artefact for artefact in bundle.manifest.artefacts if artefact.kind == "kernel"]
    assert len(compiled) >= 8
    for artefact in compiled:
        assert len(artefact.parity) == 1
        assert isinstance(artefact.parity[0], ParityNotRun)
    row = f"| kernels/{CHIP}/local_topk.cubin | match_score_max | not run: no GPU |"
    assert row in model_card(bundle.manifest)


def test_progress_names_kernel_and_chip(bundle: Bundle, told: list[str]) -> None:
    assert f"compiling local_topk for {CHIP}" in told
    assert f"compiling the plugin for {CHIP}" in told


def test_the_plugin_comes_with_its_registration_and_window(bundle: Bundle) -> None:
    folder = bundle.path / "plugins" / CHIP
    assert (folder / "local_topk_plugin.py").read_text(encoding="utf-8").startswith('"""The TensorRT plugin')
    assert ".entry local_topk_kernel(" in (folder / "local_topk.ptx").read_text(encoding="ascii")
    table = np.load(folder / "window_offsets.npy", allow_pickle=False)
    np.testing.assert_array_equal(table, offset_table("circle", 5.0, (100, 100), (8, 8), 32))


def test_the_bundle_opens_as_a_copy(bundle: Bundle) -> None:
    assert open_bundle(Path(bundle.path)).manifest == bundle.manifest


def test_settings_without_kernels_are_refused_in_one_sentence() -> None:
    wide = replace(SOURCE, settings=SETTINGS.model_copy(update={"channels": 24}))
    with pytest.raises(BackendError, match="multiple of 16 channels, at most 512, not 24"):
        cubin_target.payloads(choice_of(f"cubin:{CHIP}"), wide, lambda message, share: None)
    deep = replace(SOURCE, propagation=PropagationSettings(mode="coarse_to_fine"))
    with pytest.raises(InputError, match="no coarse-to-fine mode"):
        plugin_target.payloads(choice_of(f"plugin:{CHIP}"), deep, lambda message, share: None)
