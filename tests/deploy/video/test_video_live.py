"""Cameras and network streams, against real servers on this machine; a camera itself is not at hand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video import open_source, source

Clip = Callable[..., Path]
# More than libav looks at before it calls a stream open.
COUNT = 200
FrameNumber = Callable[[NDArray[np.uint8]], int]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_http_is_read_once(clip: Clip, frame_number: FrameNumber, web: str) -> None:
    clip("a.mp4", count=12, container_options={"movflags": "faststart"})
    with open_source(f"{web}/a.mp4") as stream:
        assert not stream.reopenable
        assert [frame_number(frame) for frame in stream] == list(range(12))
        with pytest.raises(InputError, match="can be read only once"):
            iter(stream)


def test_http_file_that_ends_early_is_a_fault(clip: Clip, frame_number: FrameNumber, web: str) -> None:
    path = clip("a.mp4", count=40, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-1500])
    got: list[int] = []
    with (
        open_source(f"{web}/a.mp4") as stream,
        pytest.raises(SourceFault, match="of 40 frames could be read") as caught,
    ):
        got.extend(frame_number(frame) for frame in stream)
    assert got == list(range(caught.value.frame_index))
    assert len(got) > 10


def test_http_without_such_a_file(web: str) -> None:
    with pytest.raises(InputError, match=r"cannot be reached .*404"):
        open_source(f"{web}/missing.mp4")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_nobody_listens(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"{scheme}://user:secret@127.0.0.1:{unused.getsockname()[1]}/stream"
        with pytest.raises(InputError, match=r"cannot be reached .*Connection refused") as caught:
            open_source(address)
    assert "secret" not in str(caught.value)


def test_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_OPEN_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match=r"no answer in 0\.3 s"):
        open_source(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/stream")


def nal_units(annex_b: bytes) -> list[bytes]:
    """NAL units of an H.264 byte stream, without start codes."""
    return [unit.rstrip(b"\x00") for unit in annex_b.split(b"\x00\x00\x01")[1:]]


class RtspServer(threading.Thread):
    """Serves one client: answers DESCRIBE, SETUP and PLAY, then sends NAL units on the same connection (RFC 2326)."""

    SDP = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
    )

    def __init__(self, units: list[bytes], *, hang_after: int | None = None) -> None:
        super().__init__()
        self.units, self.hang_after = units, hang_after
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self.socket.getsockname()[1]}/stream"
        self.requests: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        with self.socket, self.socket.accept()[0] as client:
            while not self.answer(client):
                pass
            timestamp = 0
            for number, unit in enumerate(self.units):
                if number == self.hang_after:
                    self.done.wait(10)
                    return
                is_picture = unit[0] & 31 in (1, 5)
                header = (
                    bytes([0x80, 96 | 128 * is_picture]) + number.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
                )
                packet = header + b"\x00\x00\x00\x01" + unit
                client.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                timestamp += 3600 * is_picture

    def answer(self, client: socket.socket) -> bool:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += client.recv(1)
        text = request.decode()
        self.requests.append(text)
        method = text.split()[0]
        number = next(line for line in text.splitlines() if line.startswith("CSeq"))
        body = self.SDP if method == "DESCRIBE" else ""
        extra = {
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
            "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
            "PLAY": "Session: 1\r\n",
        }.get(method, "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        client.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{extra}\r\n{body}".encode())
        return method == "PLAY"


@pytest.fixture
def units(clip: Clip) -> list[bytes]:
    return nal_units(clip("a.h264", count=COUNT, options={"bf": "0", "g": "10", "tune": "zerolatency"}).read_bytes())


def test_rtsp_over_tcp(units: list[bytes], frame_number: FrameNumber) -> None:
    server = RtspServer(units)
    server.start()
    with open_source(server.url) as stream:
        assert (stream.hw, stream.frame_count, stream.frame_estimate) == ((64, 96), None, None)
        got = [frame_number(frame) for frame in stream]
    server.join()
    assert got == list(range(COUNT))
    assert any("RTP/AVP/TCP" in request for request in server.requests if request.startswith("SETUP"))


def test_rtsp_that_stops_sending_is_a_fault(
    units: list[bytes], monkeypatch: pytest.MonkeyPatch, frame_number: FrameNumber
) -> None:
    monkeypatch.setattr(source, "_READ_TIMEOUT", 1.0)
    server = RtspServer(units, hang_after=180)
    server.start()
    got: list[int] = []
    with open_source(server.url) as stream, pytest.raises(SourceFault, match="nothing arrived for 1 s") as caught:
        got.extend(frame_number(frame) for frame in stream)
    server.done.set()
    server.join()
    assert caught.value.frame_index == len(got) > 100
    assert got == list(range(len(got)))


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_rtsp_that_loses_data_goes_on(units: list[bytes], frame_number: FrameNumber, damage: str) -> None:
    pictures = [number for number, unit in enumerate(units) if unit[0] & 31 == 1]
    for number in pictures[144:147]:
        units[number] = units[number][: len(units[number]) // 2 if damage == "cut" else 0]
    server = RtspServer([unit for unit in units if unit])
    server.start()
    with open_source(server.url) as stream:
        got = [frame_number(frame) for frame in stream]
    server.join()
    assert got[-1] == COUNT - 1


def test_camera_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"There is no camera 63; .*'\./63'"):
        open_source("63")


def test_camera_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "_camera_device", lambda number: tmp_path / f"video{number}")
    (tmp_path / "video0").write_bytes(b"")
    with pytest.raises(InputError, match=r"camera 0 cannot be opened .*check that no other program uses it"):
        open_source("0")
