"""Takes and collects in a folder until it is killed: `python -m tests.operations.killed FOLDER SEED`.

Says a line on stdout before its first operation, and one for each that has ended: whatever was said to be committed
must be there when it is dead.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from random import Random

from snapstore.backends.directory import DirectoryBackend
from snapstore.repository import Repository
from tests.operations.crowd import by_parent, collecting, taking

__all__ = ["main"]


def main(folder: str, seed: int) -> None:
    """Never returns."""
    random = Random(seed)
    print("ready", flush=True)
    for number in count():
        repository = Repository.open(DirectoryBackend(Path(folder)))
        operation = random.choice([taking("new", number), by_parent("again", number), collecting])
        print("done", getattr(operation(repository), "id", ""), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
