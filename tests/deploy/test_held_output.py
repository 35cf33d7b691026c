"""Output held back: whoever prints it, it comes to the caller and not to the terminal, and afterwards it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fgvc_deploy.encoders.held_output import held_output


def test_every_way_to_print_is_held(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with held_output() as lines:
        os.write(1, b"from C\n")
        os.write(2, b"an error\n\n")
        subprocess.run(["echo", "a child"], check=True)
    os.write(1, b"after\n")
    assert lines == ["from C", "an error", "a child"]
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_an_error_inside_restores_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(1, b"the reason\n")
        raise ValueError("it failed")

    held = held_output()
    with pytest.raises(ValueError, match="it failed"), held as lines:
        fail()
    assert lines == ["the reason"]
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def test_text_in_the_c_library_s_buffer_stays_on_its_side() -> None:
    """Piped, C keeps what it prints until its buffer is full: without a flush it would come out on the wrong side."""
    code = (
        "import ctypes\n"
        "from fgvc_deploy.encoders.held_output import held_output\n"
        "c = ctypes.CDLL(None)\n"
        "c.printf(b'before\\n')\n"
        "with held_output() as lines:\n"
        "    c.printf(b'inside\\n')\n"
        "c.printf(b'after %s\\n', repr(lines).encode())\n"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "before\nafter ['inside']\n"


def test_closed_descriptors_are_left_closed() -> None:
    code = (
        "import os\n"
        "from fgvc_deploy.encoders.held_output import held_output\n"
        "os.close(1)\n"
        "with held_output() as lines:\n"
        "    os.write(2, b'held\\n')\n"
        "try:\n"
        "    os.fstat(1)\n"
        "except OSError:\n"
        "    os.write(2, repr(lines).encode())\n"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr.startswith("['held']")
