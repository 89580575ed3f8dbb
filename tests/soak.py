"""Whether there is time: `make soak` runs with the Hypothesis profile of that name, `make test` with the bounded one.

ROUNDS = 500 if IS_SOAK else 4
"""

from __future__ import annotations

from hypothesis import settings

__all__ = ["IS_SOAK"]

IS_SOAK = settings().max_examples > 1000
