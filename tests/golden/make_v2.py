"""Makes the golden encrypted repository, format version 2: `python tests/golden/make_v2.py FOLDER`.

The one that is committed was made once and is never made again, as that of version 1, whose rows it holds. It has two
keys; the first snapshot was changed after the second had seen it, and a third was removed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from snapstore.backends.directory import DirectoryBackend
from snapstore.operations.keys import key_add
from snapstore.repository import Repository
from snapstore.seal import Cost

PASSPHRASES = (b"a golden passphrase", "ein zweites, \N{LATIN SMALL LETTER U WITH DIAERESIS}ber UTF-8".encode())


def rows_module() -> ModuleType:
    """The script that says what is in the golden repository of version 1."""
    spec = importlib.util.spec_from_file_location("make_v1", Path(__file__).with_name("make_v1.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


V1 = rows_module()
states, batch_of = V1.states, V1.batch_of


if __name__ == "__main__":
    cost = Cost(memory_kib=64, passes=2, lanes=2)
    made = Repository.init(DirectoryBackend(Path(sys.argv[1]), create=True), passphrase=PASSPHRASES[0], cost=cost)
    key_add(made, PASSPHRASES[1], label="zwei", cost=cost)
    for tables, moment, tag in zip(V1.states(), V1.MOMENTS, ("one", "two"), strict=True):
        made.snapshots()
        snapshot = V1.take(made, tables, moment, tag)
        print(tag, [table.root.hex() for table in snapshot.sources[0].tables if table.root])
    one, _ = made.snapshots()
    made.change(one.id, lambda own: dataclasses.replace(own, description="golden, changed"))
    made.snapshots()
    made.remove(V1.take(made, V1.states()[0][1:], V1.MOMENTS[1], "three").id)
