"""A store in a bucket: S3 and what speaks as it does, Google Cloud Storage, Azure.

    backend = CloudBackend("s3://bucket/memory", create=True)
    backend.put("packs/ab/abcdef", [b"..."], unique=True)

Conditions (If-None-Match, If-Match, generations) make one writer of many win; a store that does not keep them is
refused where a repository is made. A reply that was lost is made good: bytes that are there and equal ours are ours, as
no two writers ever write the same (format.md §10, nonces). Credentials come from the options, or from where the library
`obstore` looks for them: its home is here, and it comes with the extra `cloud`. This module does not know what the
objects hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, from_url

from snapstore.backends import Entry, Stored, check_name
from snapstore.digest import Buffer
from snapstore.errors import (
    Conflict,
    Corrupt,
    Denied,
    Exists,
    Invalid,
    NotFound,
    SnapstoreError,
    Unavailable,
    Unsupported,
)

__all__ = ["SCHEMES", "CloudBackend"]

SCHEMES = ("s3", "gs", "az")

_PART_BYTES = 16 << 20
_WHOLE_BYTES = 64 << 20  # more than that goes up in parts, without a condition; packs alone are so large
_RETRIES = {"max_retries": 6, "retry_timeout": timedelta(minutes=2)}
_CLIENT = {"timeout": timedelta(minutes=10), "connect_timeout": timedelta(seconds=10)}
_PAGE = 1000
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")  # codes of S3 and Google, and of Azure


class CloudBackend:
    """Bytes under names in a bucket, below a prefix: `Backend`.

    `options` are those of the library (`access_key_id`, `endpoint`, …); what they do not say is looked up in its usual
    places, the environment among them. Without TLS only if `allow_http`. With `create` it is proven that the store
    keeps conditions. Raises `Invalid` for a URL that names no bucket or holds credentials, `Unsupported` for a store
    that lets two writers win.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = False,
        allow_http: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise Invalid("that is not the URL of a bucket", hint="Write s3://bucket/prefix, gs://… or az://….")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise Invalid("credentials and options do not belong into the URL", hint="Set them in the environment.")
        self._location = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        with self._translated("the bucket"):
            # The library has a type for the options of each store; which they are is known when it runs.
            make: Any = from_url
            client = {**_CLIENT, "allow_http": allow_http}
            # S3 checks what it is sent, and takes nothing without a checksum where objects are locked for a time.
            own = {"checksum_algorithm": "SHA256"} if parts.scheme == "s3" else {}
            store = make(
                self._location, config={**own, **(options or {})}, client_options=client, retry_config=_RETRIES
            )
        self._store = store
        if create:
            self._prove_conditions()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self._location

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        check_name(name)
        with self._translated(name):
            found = obstore.get(self._store, name)
            data = bytes(found.bytes())
        if len(data) != found.meta["size"]:
            raise Unavailable(f"{name} in {self._location} was cut off while it was read", hint="Try again.")
        return Stored(data, self._tag(found.meta))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        check_name(name)
        data = b""
        if length:
            try:
                data = bytes(obstore.get_range(self._store, name, start=offset, length=length))
            except FileNotFoundError as error:
                raise self._missing(name, error) from error
            except BaseError as error:
                if offset + length <= self._size(name):
                    raise self._unavailable(name, error) from error
        if len(data) != length or not length:
            size = self._size(name)
            if offset + length > size:
                raise Corrupt(f"{name} in {self._location} is too short: {size} bytes, {offset + length} wanted")
        if len(data) != length:
            raise Unavailable(f"{name} in {self._location} was cut off while it was read", hint="Try again.")
        return data

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        check_name(name)
        data = b"".join(parts)
        is_large = unique and len(data) > _WHOLE_BYTES
        with self._translated(name, missing="the bucket"):
            try:
                if is_large:
                    return self._tag(obstore.put(self._store, name, data, chunk_size=_PART_BYTES))
                return self._tag(obstore.put(self._store, name, data, mode="create", use_multipart=False))
            except (AlreadyExistsError, PreconditionError) as error:
                try:
                    there = self._ours(name, data)
                except NotFound:  # a first try of ours is not through yet, or somebody else's is gone again
                    raise Unavailable(
                        f"{name} in {self._location} is refused while another write of it is under way",
                        hint="Try again.",
                    ) from error
                if there is None:
                    raise Exists(f"{name} exists in {self._location}") from error
                return there

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        check_name(name)
        plain = bytes(data)
        is_google = isinstance(self._store, GCSStore)
        if is_google and not tag.isdecimal():  # generations are numbers, and others are refused as bad requests
            self._size(name)  # `NotFound` if it is gone
            raise Conflict(f"{name} in {self._location} was never of the version {tag}")
        version: Any = {"version": tag} if is_google else {"e_tag": tag}
        with self._translated(name):
            try:
                return self._tag(obstore.put(self._store, name, plain, mode=version, use_multipart=False))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                there = self._ours(name, plain)  # `NotFound` if it is gone
                if there is None:
                    raise Conflict(f"{name} in {self._location} was changed by somebody else") from error
                return there

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_name(folder)
        entries = []
        with self._translated(prefix or "the bucket"):
            # The store goes by whole folders, and its pages are read while others write: so all at once.
            for page in obstore.list(self._store, folder or None, chunk_size=_PAGE):
                for one in page:
                    if one["path"].startswith(prefix) and _is_name(one["path"]):
                        tag = self._listed_tag(one)
                        entries.append(Entry(one["path"], one["size"], one["last_modified"].timestamp(), tag))
        return iter(sorted(entries, key=lambda entry: entry.name))

    def delete(self, name: str) -> None:
        """See `Backend.delete`. Of two that delete at the same moment both may be told that it was there."""
        check_name(name)
        missing: NotFound | None = None
        try:
            self._size(name)  # the stores say nothing of what is not there
        except NotFound as error:
            missing = error
        with self._translated(name):  # asked all the same: who may not delete is told so
            obstore.delete(self._store, name)
        if missing is not None:
            raise missing

    def _size(self, name: str) -> int:
        with self._translated(name):
            return int(obstore.head(self._store, name)["size"])

    def _ours(self, name: str, data: bytes) -> str | None:
        """The tag of what is there if it is what we wrote: the reply to our first try was lost."""
        there = self.get(name)  # `NotFound` if nothing is
        return there.tag if there.data == data else None

    def _tag(self, meta: Mapping[str, Any]) -> str:
        tag = meta["version"] if isinstance(self._store, GCSStore) else meta["e_tag"]
        if not tag:
            raise Unsupported(f"{self._location} gives its objects no versions: nothing can be replaced safely there")
        return str(tag)

    def _listed_tag(self, meta: Mapping[str, Any]) -> str:
        """The tag of what was listed, as `_tag` gives it; Azure leaves its quotes out there. Empty if there is none."""
        tag = str((meta["version"] if isinstance(self._store, GCSStore) else meta["e_tag"]) or "")
        return f'"{tag}"' if isinstance(self._store, AzureStore) and tag and not tag.startswith('"') else tag

    def _prove_conditions(self) -> None:
        """Write a name twice and replace a version twice: the second must fail, or two takes could both win."""
        name = f"probe/{os.urandom(16).hex()}"
        first = self.put(name, [b"first"])
        try:
            is_kept = self._refuses(lambda: self.put(name, [b"second"]), Exists)
            self.replace(name, b"third", tag=first)
            is_kept &= self._refuses(lambda: self.replace(name, b"fourth", tag=first), Conflict)
        finally:
            with suppress(SnapstoreError):
                self.delete(name)
        if not is_kept:
            raise Unsupported(
                f"{self._location} does not keep conditions: two who write the same name both succeed",
                hint="Snapshots could be lost there. Use a store with conditional writes (S3, MinIO, GCS, Azure, …).",
            )

    def _refuses(self, call: Any, error: type[SnapstoreError]) -> bool:
        try:
            call()
        except error:
            return True
        return False

    def _missing(self, name: str, error: FileNotFoundError) -> NotFound | Unavailable:
        """As is said of the object; of a bucket that is gone no object may be taken for collected."""
        if any(code in str(error) for code in _NO_BUCKET):
            return Unavailable(f"the bucket of {self._location} is not there", hint="Check the URL.")
        return NotFound(f"{name} is not in {self._location}")

    def _unavailable(self, name: str, error: BaseException) -> Unavailable:
        told = f"{name} in {self._location}: {_words(error)}"
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return Denied(told, hint="Check the credentials, and what they may do there.")
        return Unavailable(told, hint="Check the URL, the network and the credentials, and try again.")

    @contextmanager
    def _translated(self, name: str, *, missing: str = "") -> Iterator[None]:
        """The store's errors as ours; `missing` is what is not there if the store says that something is not."""
        try:
            yield
        except FileNotFoundError as error:
            if missing:
                raise Unavailable(f"{missing} of {self._location} is not there", hint="Make it first.") from error
            raise self._missing(name, error) from error
        except (BaseError, ValueError, OSError) as error:
            raise self._unavailable(name, error) from error


def _is_name(path: str) -> bool:
    try:
        check_name(path)
    except Invalid:
        return False
    return True


def _words(error: BaseException) -> str:
    """The first line of what the library says, without what may be signed."""
    line = str(error).partition("\n")[0].partition("<?xml")[0]
    return re.sub(r"\?\S+", "", line).strip(" :-")[:300]
