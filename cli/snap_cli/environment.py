"""What only the environment of a run says: variables without an option, folders of this user, machine, terminal.

    Environment().cache_folder          # SNAP_CACHE, else ~/.cache/snapstore

It knows no options and no snap.toml; `snap_cli.context` puts them together.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from snap_cli.hooks import HOOK_VARIABLE
from snap_cli.sizes import size_of
from snapstore.backends.cachefolder import CacheFolder

__all__ = ["Environment"]

_CACHE_BYTES = 1_000_000_000


class Environment:
    """The environment this process runs in; each variable is read when it is asked for."""

    @property
    def allows_http(self) -> bool:
        """AWS_ALLOW_HTTP: whether a bucket may be spoken to without TLS."""
        return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")

    @property
    def cache_folder(self) -> CacheFolder:
        """SNAP_CACHE, else the user's folder for caches; bounded by SNAP_CACHE_SIZE."""
        given, home = os.environ.get("SNAP_CACHE"), os.environ.get("XDG_CACHE_HOME")
        folder = Path(given).expanduser() if given else Path(home or Path.home() / ".cache") / "snapstore"
        size = os.environ.get("SNAP_CACHE_SIZE")
        return CacheFolder(folder.absolute(), limit_bytes=size_of(size, "SNAP_CACHE_SIZE") if size else _CACHE_BYTES)

    @property
    def default_source(self) -> str | None:
        """SNAP_SOURCE: the URL or name of the live source, if it is set."""
        return os.environ.get("SNAP_SOURCE") or None

    @property
    def qdrant_key(self) -> str:
        """QDRANT_API_KEY: for servers whose URL has no key."""
        return os.environ.get("QDRANT_API_KEY", "")

    @property
    def database_url(self) -> str | None:
        """DATABASE_URL, by which many applications are told where their memory is."""
        return os.environ.get("DATABASE_URL") or None

    @property
    def host(self) -> str:
        """The name of this machine, for the manifest."""
        return socket.gethostname()

    @property
    def home(self) -> Path:
        """The user's own folder."""
        return Path.home()

    @property
    def states(self) -> Path:
        """Where programs of this user keep what they did (XDG_STATE_HOME)."""
        given = os.environ.get("XDG_STATE_HOME", "")
        return (Path(given) if given.startswith("/") else self.home / ".local/state") / "snapstore"

    @property
    def units(self) -> Path:
        """Where this user's units of systemd are (XDG_CONFIG_HOME)."""
        given = os.environ.get("XDG_CONFIG_HOME", "")
        return (Path(given) if given.startswith("/") else self.home / ".config") / "systemd/user"

    @property
    def given_in_environment(self) -> list[str]:
        """Variables that a program started by somebody else would not have."""
        names = ("SNAP_REPO", "SNAP_SOURCE", "SNAP_PASSPHRASE", "SNAP_PASSPHRASE_FILE", "SNAP_PASSPHRASE_COMMAND")
        return [name for name in names if os.environ.get(name)]

    @property
    def is_in_hook(self) -> bool:
        """Whether a hook of another run started this one."""
        return bool(os.environ.get(HOOK_VARIABLE))

    def environment_of_hook(self, name: str) -> dict[str, str]:
        """What the hook of this name finds in its environment: ours, and its name."""
        return {**os.environ, HOOK_VARIABLE: name}

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()
