"""Write the files of the sample anew, from a larger collection of memories and their embeddings.

    python -m snap_cli.sample.make_sample FOLDER

FOLDER holds `memories.jsonl` and `embeddings.npy` (float32, shape (n, 384), normalised, row i for line i). The choice
follows from the ids alone, so the same collection gives the same sample. This script knows nothing of how the sample
is used; `snap_cli.sample` reads what it wrote.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snap_cli.sample import EMBEDDINGS, FOLDER, MEMORIES, RELATIONSHIPS, ROWS

NEIGHBOURS = 3


def choose(ids: list[str], count: int) -> list[int]:
    """The positions of the `count` ids with the smallest SHA-256, in their own order."""
    by_hash = sorted(range(len(ids)), key=lambda at: hashlib.sha256(ids[at].encode()).digest())
    return sorted(by_hash[:count])


def relate(memories: list[dict[str, Any]], embeddings: NDArray[np.float32]) -> list[tuple[int, int, str, float]]:
    """Each memory's nearest by cosine, and the next one of its module; ordered by source."""
    cosines = embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS].tolist()
    related = [
        (source, target, "similar_to", round(float(cosines[source, target]), 4))
        for source, targets in enumerate(nearest)
        for target in targets
    ]
    last: dict[str, int] = {}
    for at, memory in enumerate(memories):
        if memory["module"] in last:
            related.append((last[memory["module"]], at, "same_module", 1.0))
        last[memory["module"]] = at
    return sorted(related)


def main(folder: Path) -> None:
    """Read the collection in `folder`, choose, relate, and write beside this file."""
    lines = (folder / "memories.jsonl").read_text(encoding="utf-8").splitlines()
    everything = [json.loads(line) for line in lines]
    chosen = choose([memory["id"] for memory in everything], ROWS)
    memories = [everything[at] for at in chosen]
    embeddings = np.load(folder / "embeddings.npy")[chosen].astype("<f4")

    (FOLDER / MEMORIES).write_text("".join(lines[at] + "\n" for at in chosen), encoding="utf-8")
    planes = embeddings.view(np.uint8).reshape(-1, 4).T.tobytes()
    (FOLDER / EMBEDDINGS).write_bytes(gzip.compress(planes, 9, mtime=0))
    (FOLDER / RELATIONSHIPS).write_text(
        "source,target,kind,weight\n"
        + "".join(
            f"{source},{target},{kind},{weight}\n" for source, target, kind, weight in relate(memories, embeddings)
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
