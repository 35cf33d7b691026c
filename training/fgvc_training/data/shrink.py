"""Any videos and photographs as folders of small frames, the form in which training reads them fastest.

    python -m fgvc_training.data.shrink --out DIR [--height 256] [--every 1] FILE [FILE ..]

Every file becomes a folder OUT/NAME of images 00000.jpg, ..; a photograph becomes a folder of one image, which serves
as material for synthetic scenes.  A name that is there already is left alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

from fgvc_training.data.files import IMAGE_SUFFIXES, read_rgb
from fgvc_training.errors import DataError


def shrink(path: Path, out: Path, height: int, every: int = 1) -> int:
    """Write every `every`-th frame of a video or photograph into `out`, at most `height` high; returns how many.

    `out` appears only when it is complete.  Raises DataError for a file that cannot be read or holds no frame.
    """
    partial = out.with_name(out.name + ".part")
    partial.mkdir(parents=True, exist_ok=True)
    count = 0
    for index, image in enumerate(_images(path)):
        if index % every == 0:
            _smaller(image, height).save(partial / f"{count:05d}.jpg", quality=95)
            count += 1
    if count == 0:
        raise DataError(f"{path} holds no frame: leave it out")
    partial.rename(out)
    return count


def _images(path: Path) -> Iterator[Image.Image]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        yield Image.fromarray(read_rgb(path))
        return
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise DataError(f"{path} cannot be read as a video or image ({error}): leave it out") from error


def _smaller(image: Image.Image, height: int) -> Image.Image:
    if image.height <= height:
        return image
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--height", type=int, default=256, help="largest height in pixels")
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame of a video")
    arguments = parser.parse_args()
    for path in arguments.files:
        target = arguments.out / path.stem
        if not target.exists():
            print(f"{path.stem}: {shrink(path, target, arguments.height, arguments.every)} frames")


if __name__ == "__main__":
    main()
