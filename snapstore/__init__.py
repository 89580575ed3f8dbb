"""Snapshots of the memory of AI agents: take, diff, restore, gc."""
