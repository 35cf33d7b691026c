"""Checking words that a caller chooses from a fixed few; the few are `Literal` types, defined where they are used."""

from __future__ import annotations

from typing import Any, get_args

from fgvc_deploy.errors import InputError


def check_choice(name: str, value: Any, known: Any) -> None:
    """Raise InputError unless `value` is one of the words of the Literal `known`; `name` is the argument's."""
    if value not in get_args(known):
        raise InputError(f"there is no {name} {value!r}; choose from {', '.join(map(str, get_args(known)))}.")
