"""Labels in device memory: a group's label maps on its first frame and on the frames that are matched to.

The counterpart of `trackers/label_group.py`.  Which launch reads and writes them is `propagator.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.cubins.metadata import aligned
from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.labels.appearance import DevicePoints
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array
from fgvc_deploy.trackers.label_group import LabelGroup

FIRST = 0
"""Place of the first frame's labels; later frames take turns on the others."""
# Kernels write label maps in vectors of 16 bytes, so every map must start on one: zero channels fill up.
CHANNEL_STEP = 4


class DeviceLabelGroup(LabelGroup):
    """Label maps float32 [places, H*W, P] on the device, P filled up to a multiple of 4 with zeros.

    A frame's labels take the place that belongs to the place of its features, so that both come round together and
    steps repeat.  `memory` frames are kept beside the first; one place more is being written, and one may be ahead.
    """

    def __init__(
        self, session: GpuSession, frame_index: int, features: FeatureMap, labels: Float32Array, memory: int
    ) -> None:
        self.first_frame = self._newest = frame_index
        self.first_features = features
        self._session = session
        self._memory = memory
        self.points: DevicePoints | None = None
        """What is remembered of the points whose labels these are, where visibility is judged."""
        self.started_mass: Float32Array = labels.sum(axis=0)
        """Sums [P] of the labels on the first frame."""
        self._place_of_frame = {frame_index: FIRST}
        self._place_of_slot: dict[int, int] = {}
        self._allocate(labels.shape)
        self._write(FIRST, labels)

    @property
    def channels(self) -> int:
        """Labels of a pixel as they lie in memory, a multiple of 4."""
        return self._shape[1]

    @property
    def pixels(self) -> int:
        """H*W."""
        return self._shape[0]

    @property
    def count(self) -> int:
        """Labels of a pixel that mean something, the first ones."""
        return self._count

    @property
    def base(self) -> int:
        """Address of place 0."""
        return self._buffer.address

    def address(self, place: int) -> int:
        """Address of a place."""
        return self._buffer.address + place * self._bytes

    def place_of(self, frame_index: int) -> int:
        """Where the labels of one of `frames` lie."""
        return self._place_of_frame[frame_index]

    @property
    def newest_address(self) -> int:
        """Address of the labels on the newest frame."""
        return self.address(self._place_of_frame[self._newest])

    @property
    def labels(self) -> Float32Array:
        """Labels on the newest frame, fetched: float32 [H*W, P].  For reports and tests; tracking never calls it."""
        return self.labels_of(self._newest)

    def labels_of(self, frame_index: int) -> Float32Array:
        """Labels on one of `frames`, fetched: float32 [H*W, P]."""
        return np.ascontiguousarray(
            self._fetch([self._place_of_frame[frame_index]]).reshape(self._shape)[:, : self._count]
        )

    def claim(self, slot: int, live: Sequence[int]) -> int:
        """Address for the labels of the coming frame, whose features are in place `slot`.

        `live`: frames whose labels the same step reads.  Call `advance` when the step has been enqueued.
        """
        kept = {self._place_of_frame[frame] for frame in live}
        place = self._place_of_slot.get(slot)
        if place is None or place in kept:
            # One that belongs to no other slot if possible: pairs that stay together make steps repeat.
            taken = set(self._place_of_slot.values())
            place = min((p for p in range(1, self._places) if p not in kept), key=lambda p: (p in taken, p))
            self._place_of_slot = {s: p for s, p in self._place_of_slot.items() if p != place} | {slot: place}
        self._place_of_frame[self._newest + 1] = place
        return self.address(place)

    def advance(self) -> None:
        """The labels of the coming frame have been enqueued: it joins the memory, the oldest leaves."""
        self._newest += 1
        frames = set(self.frames)
        self._place_of_frame = {frame: place for frame, place in self._place_of_frame.items() if frame in frames}

    @property
    def frames(self) -> list[int]:
        """Numbers of the first frame and of those in the memory, oldest first."""
        oldest = max(self.first_frame + 1, self._newest - self._memory + 1)
        return [self.first_frame, *range(oldest, self._newest + 1)]

    def next_labels(self) -> Float32Array:
        """Not on the device: labels are written by a kernel, into what `claim` names."""
        raise NotImplementedError("labels on the device are written by a kernel")

    def mass(self) -> BoolArray | None:
        """None: where labels have mass is not looked at."""
        return None

    def keep(self, channels: BoolArray) -> None:
        """Drop the channels whose entry is False.  Rare, so the maps make a round trip through the host."""
        places = sorted(set(self._place_of_frame.values()))
        kept = self._fetch(places)[:, :, : self._count][:, :, channels]
        with self._session.working():
            self._buffer.release()
            self._allocate((self._shape[0], kept.shape[2]))
        for place, labels in zip(places, kept, strict=True):
            self._write(place, labels)
        self.started_mass = self.started_mass[channels]
        if self.points is not None:
            self.points.keep(channels)

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._count = shape[1]
        self._shape = (shape[0], aligned(shape[1], CHANNEL_STEP))
        self._bytes = 4 * self._shape[0] * self._shape[1]
        self._places = self._memory + 3
        with self._session.working():
            self._buffer: DeviceBuffer = self._session.pool.take(
                self._places * self._bytes, f"label maps of {shape[1]} channels"
            )

    def _write(self, place: int, labels: Float32Array) -> None:
        with self._session.working() as driver:
            pinned = self._session.pinned(self._shape, np.float32, "label maps")
            pinned.array[:, : self._count] = labels
            pinned.array[:, self._count :] = 0
            driver.upload(self.address(place), pinned.address, self._bytes, self._session.stream)
            driver.synchronise(self._session.stream, "wait for label maps to reach the GPU")
            self._session.unpin(pinned)

    def _fetch(self, places: Sequence[int]) -> Float32Array:
        with self._session.working() as driver:
            pinned = self._session.pinned((len(places), *self._shape), np.float32, "label maps")
            for index, place in enumerate(places):
                driver.download(
                    pinned.address + index * self._bytes, self.address(place), self._bytes, self._session.stream
                )
            driver.synchronise(self._session.stream, "fetch label maps")
            fetched: Float32Array = pinned.array.copy()
            self._session.unpin(pinned)
        return fetched
