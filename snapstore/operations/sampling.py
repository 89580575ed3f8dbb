"""Which share of a repository's bytes a verification reads today, so that all are read in time.

    sample = Sample(percent=10.0, round=20_413)
    sample.shares                 # 10
    sample.frames(name, 64)       # which of its 64 frames are in this round's share

Nothing is remembered between rounds, on any machine. The rule: at p percent there are n = ⌊100 / p⌋ shares, and round
r reads share r modulo n. Frame i of the f frames of a pack is in share (⌊i · n / f⌋ + the pack's name as a number)
modulo n. So n rounds with consecutive numbers read every frame of every pack that is there all the while, each once.
Whoever calls numbers the rounds: by the day if they come daily.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid

__all__ = ["Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A share in percent (over 0, to 100) and the number of a round, 0 or more. Raises `Invalid` for others."""

    percent: float
    round: int

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise Invalid(f"a sample of {self.percent} percent", hint="Give a share over 0 and up to 100 percent.")
        if self.round < 0:
            raise Invalid(f"the round {self.round}", hint="Number rounds from 0.")

    @property
    def shares(self) -> int:
        """How many rounds read everything; each reads that many percent, or more where they do not divide 100."""
        return math.floor(100 / self.percent + 1e-9)

    @property
    def share(self) -> int:
        """Which of them this round reads, from 0."""
        return self.round % self.shares

    def frames(self, pack: str, count: int) -> NDArray[np.bool_]:
        """Which of the `count` frames of a pack (32 hex digits) are in this round's share, shape (count,).

        They stand side by side, so that they are read in one request.
        """
        slots = np.arange(count, dtype=np.int64) * self.shares // max(count, 1)
        found: NDArray[np.bool_] = (slots + int(pack, 16) % self.shares) % self.shares == self.share
        return found
