"""Keeps the interpreter's tests out of ordinary processes.

Triton decides between compiler and interpreter when it is imported, and one process cannot have both.  The files in
`interpreted/` are collected only with TRITON_INTERPRET=1; `test_triton_interpreter.py` runs each in its own process.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted/*"]
