"""Make the encoder that ships of the one that was trained: half the channels, measured on the training videos.

    python -m fgvc_training.edge.reduce final.safetensors --videos DAVIS --without NAME ... --out edge.safetensors

`--videos` is a folder of the DAVIS layout as `edge.videos` of a configuration, or with `--unmasked` any folder of
videos and folders of images.  Two frames of each are looked at; the same input gives the same directions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fgvc_training.data.sources import Video
from fgvc_training.data.videos import read_davis, read_folder
from fgvc_training.edge.prepare import normalise
from fgvc_training.encoder.checkpoint import load_encoder, save_encoder
from fgvc_training.encoder.edge import EdgeEncoder
from fgvc_training.encoder.edge_reduced import reduce_encoder
from fgvc_training.errors import DataError

QUARTERS = (1, 3)


def frames_of(videos: Sequence[Video]) -> Iterator[Tensor]:
    """Frames [1, 3, H, W] at a quarter and three quarters of each video, as the encoder sees them."""
    for video in videos:
        for quarter in QUARTERS:
            frame = torch.from_numpy(video.read([len(video) * quarter // 4])[0])
            yield normalise(frame.permute(2, 0, 1)[None].float() / 255)


def chosen_videos(folder: Path, without: Sequence[str], *, unmasked: bool) -> list[Video]:
    """The videos of a folder but for some.  Raises DataError for a name that is not there, or when none is left."""
    videos: Sequence[Video] = read_folder(folder) if unmasked else read_davis(folder, resolution=None)
    unknown = set(without) - {video.name for video in videos}
    if unknown:
        raise DataError(f"--without names {sorted(unknown)}, not under {folder}: correct it")
    chosen = [video for video in videos if video.name not in without]
    if not chosen:
        raise DataError(f"{folder}: no video is left to measure on: leave fewer out")
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, reduce, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--videos", type=Path, required=True, help="what the encoder was trained on")
    parser.add_argument("--without", nargs="*", default=(), metavar="NAME", help="sequences to leave out")
    parser.add_argument("--unmasked", action="store_true", help="--videos is a folder of videos without masks")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        encoder, _ = load_encoder(options.checkpoint, "edge")
        videos = chosen_videos(options.videos, options.without, unmasked=options.unmasked)
    except DataError as error:
        parser.error(str(error))
    assert isinstance(encoder, EdgeEncoder)
    save_encoder(reduce_encoder(encoder, frames_of(videos)), options.out, "edge_reduced")
    print(f"{options.out}: 128 channels of {options.checkpoint}, measured on {len(videos)} videos")


if __name__ == "__main__":
    main()
