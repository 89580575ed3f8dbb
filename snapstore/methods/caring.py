"""What keeps a repository in order: tags and pins, rules and room, checks, and repairs.

store.tag("latest", "before-migration")
store.gc(snapstore.Policy(keep_daily=7))
if store.verify(read_data=True).damaged:
store.heal(snapstore.open("/mnt/off-site/memory"))
"""

from __future__ import annotations

from collections.abc import Mapping

from snapstore.asked import opened
from snapstore.methods.opened import Opened
from snapstore.operations.capture import Progress, silent
from snapstore.operations.cut import CutPlan, cut, plan_cut
from snapstore.operations.forget import pin, rm, unpin
from snapstore.operations.gc import Collected, GcPlan, gc, plan_gc
from snapstore.operations.heal import Healed, heal
from snapstore.operations.remedies import FromRepository, FromSource, Remedy
from snapstore.operations.repair_index import RepairedIndex, repair_index
from snapstore.operations.retention import Policy
from snapstore.operations.stats import Removal, Stats, removal, stats
from snapstore.operations.tags import tag, untag
from snapstore.operations.verify import Verified, verify
from snapstore.repository import Snapshot
from snapstore.sources import Source

__all__ = ["Caring"]


class Caring(Opened):
    """What keeps a repository in order."""

    def tag(self, name: str, *tags: str) -> Snapshot:
        """Give a snapshot these names as well; gives it as it is now. Raises `Invalid` for what cannot be a tag."""
        return tag(self.repository, self.snapshot(name).id, tags)

    def untag(self, name: str, *tags: str) -> Snapshot:
        """Take these names away, all of them or none. Raises `NotFound` for one it does not have."""
        return untag(self.repository, self.snapshot(name).id, tags)

    def pin(self, *names: str) -> list[Snapshot]:
        """Keep these snapshots: neither `gc` nor `remove` removes one."""
        return [pin(self.repository, one.id) for one in self._named(names)]

    def unpin(self, *names: str) -> list[Snapshot]:
        """Leave these snapshots to the policy again."""
        return [unpin(self.repository, one.id) for one in self._named(names)]

    def remove(self, *names: str) -> list[str]:
        """Remove snapshots, all of them or none; their ids. `gc` gives the space back."""
        return rm(self.repository, [one.id for one in self._named(names)])

    def plan_gc(self, policy: Policy | None = None) -> GcPlan:
        """The dry run of `gc`: which snapshots a policy removes, and how many bytes come back."""
        return plan_gc(self.repository, policy)

    def gc(self, policy: Policy | GcPlan | None = None, *, progress: Progress = silent) -> Collected:
        """Remove the snapshots that no rule keeps (none without a policy), and give back what none needs."""
        return gc(self.repository, policy, progress=progress)

    def stats(self, *, progress: Progress = silent) -> Stats:
        """Where the space goes: by source, table and kind of blob, what each snapshot alone needs, and `growth`."""
        return stats(self.repository, progress=progress)

    def plan_removal(self, *names: str, progress: Progress = silent) -> Removal:
        """What removing these snapshots, all of them together, would give back."""
        return removal(self.repository, self._named(names), progress=progress)

    def verify(self, *names: str, read_data: bool = False, progress: Progress = silent) -> Verified:
        """Check that snapshots (all, if none is named) are whole; with `read_data` every byte of the repository.

        Damage is not raised: it is in `Verified.damaged`.
        """
        chosen = self._named(names) or None
        return verify(self.repository, snapshots=chosen, read_data=read_data, progress=progress)

    def heal(
        self, *copies: Opened, sources: Mapping[str, str | Source] | None = None, progress: Progress = silent
    ) -> Healed:
        """Bring back damaged and lost blobs to the bit: from other packs, these repositories, or live sources by the
        names they have in snapshots. Reads every byte. What could not be is in `Healed.left`.
        """
        remedies: list[Remedy] = [FromRepository(one.repository) for one in copies]
        remedies += [FromSource(name, opened(one)) for name, one in (sources or {}).items()]
        return heal(self.repository, remedies, progress=progress)

    def repair_index(self) -> RepairedIndex:
        """Write the index anew from the packs, where some of it is lost or damaged."""
        return repair_index(self.repository)

    def plan_cut(self, *names: str, progress: Progress = silent) -> list[CutPlan]:
        """The dry run of `cut`: which rows of each damaged snapshot (of all, if none is named) nobody has any more."""
        return plan_cut(self.repository, self._named(names) or None, progress=progress)

    def cut(self, plan: CutPlan, *, progress: Progress = silent) -> Snapshot:
        """Make a snapshot without the rows that are lost, which says which these are; the damaged one stays."""
        return cut(self.repository, plan, progress=progress)
