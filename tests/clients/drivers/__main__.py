"""Runs one function of a driver in a process of its own, as an application would: `python -m tests.clients.drivers
chroma ask PLACE` prints what it answers as the last line, in JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

driver, deed, *places = sys.argv[1:]
answer = getattr(importlib.import_module(f"tests.clients.drivers.{driver}"), deed)(*places)
print("\n" + json.dumps(answer, sort_keys=True, default=str, ensure_ascii=True), flush=True)
