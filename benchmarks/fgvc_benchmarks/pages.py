"""The part of a docs page that a measurement writes, between two marks.  Its content: each page's own module."""

from __future__ import annotations

from pathlib import Path

from fgvc_deploy.errors import InputError

START, END = "<!-- measured -->", "<!-- /measured -->"


def check_marks(page: Path) -> str:
    """The text of a page.  Raises InputError when it has no marks to write between."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if START not in text or END not in text:
        raise InputError(f"{page} has no part between {START} and {END} to write into.")
    return text


def write_page(page: Path, measured: str) -> None:
    """Replace what stands between the marks.  Raises InputError when the page has none."""
    before, _, after = check_marks(page).partition(START)
    page.write_text(before + START + "\n" + measured + END + after.partition(END)[2], encoding="utf-8")
