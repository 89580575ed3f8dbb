"""Where a Qdrant is, and every call to it: in our own errors, and never with the key in one.

    place = place_of("qdrant://host:6333/memories")
    with open_session(place) as session:
        session.ask("its collections cannot be listed", "get_collections")

A server (REST, or gRPC for points), or a folder of the client library's local mode. It knows nothing of points.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import grpc
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse
from qdrant_client.local.qdrant_local import QdrantLocal
from qdrant_client.qdrant_remote import QdrantRemote

from snapstore.errors import Corrupt, Invalid, NotFound, SnapstoreError, Unavailable, Unsupported
from snapstore.sources.paths import in_url, of_url

__all__ = ["Place", "Session", "in_memory", "open_session", "place_of", "url_of"]

# What stands beneath the library's `QdrantClient`, which adds the making of embeddings: a look into every point.
Client: TypeAlias = QdrantRemote | QdrantLocal

SCHEMES = ("qdrant", "qdrant+https", "qdrant+path")
_PORT = 6333
_SHAPE = (
    "qdrant://host:6333/collection, qdrant+https://host:6333/collection (TLS), or qdrant+path:///folder?collection=name"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A server or a folder, and the one collection that is meant, if one is. The key is not shown."""

    folder: Path | None = None
    host: str = ""
    port: int = _PORT
    grpc_port: int = 0
    is_tls: bool = False
    collection: str = ""
    key: str = field(default="", repr=False)


def place_of(url: str, *, key: str = "") -> Place:
    """The place under a URL; a key in the URL goes before the one given. Raises `Invalid` without repeating the URL,
    which may hold a key.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise Invalid("this is not a URL of a Qdrant", hint=_SHAPE) from error
    known = {"collection"} if parts.scheme == "qdrant+path" else {"grpc"}
    if parts.scheme not in SCHEMES or parts.fragment or not asked.keys() <= known:
        raise Invalid("this is not a URL of a Qdrant", hint=f"{_SHAPE}; of a server also ?grpc=6334.")
    if parts.scheme == "qdrant+path":
        if parts.netloc not in ("", ".") or not parts.path.strip("/"):
            raise Invalid("a folder of Qdrant's local mode is named by its path", hint=_SHAPE)
        path = parts.path if not parts.netloc else parts.netloc + parts.path
        return Place(folder=Path(of_url(path)).absolute(), collection=asked.get("collection", ""))
    if not parts.hostname or "/" in parts.path.strip("/"):
        raise Invalid("a Qdrant server is named by its host, and at most one collection", hint=_SHAPE)
    grpc_port = asked.get("grpc", "0")
    if not grpc_port.isdecimal() or int(grpc_port) > 65535:
        raise Invalid("?grpc= takes the port of the server's gRPC, which is 6334 where nobody changed it")
    return Place(
        host=parts.hostname,
        port=_PORT if port is None else port,
        grpc_port=int(grpc_port),
        is_tls=parts.scheme == "qdrant+https",
        collection=unquote(parts.path.strip("/")),
        key=unquote(parts.password or "") or key,
    )


def url_of(place: Place) -> str:
    """Without the key."""
    if place.folder is not None:
        asked = f"?{urlencode({'collection': place.collection})}" if place.collection else ""
        return f"qdrant+path://{in_url(place.folder)}{asked}"
    host = f"[{place.host}]" if ":" in place.host else place.host
    path = f"/{quote(place.collection, safe='')}" if place.collection else ""
    asked = f"?grpc={place.grpc_port}" if place.grpc_port else ""
    return f"qdrant{'+https' if place.is_tls else ''}://{host}:{place.port}{path}{asked}"


class Session:
    """A client that answers in values or in our errors."""

    def __init__(self, place: Place, client: Client, *, timeout_seconds: float) -> None:
        self.place = place
        self._client = client
        self._timeout_seconds = timeout_seconds

    @property
    def is_local(self) -> bool:
        """Whether it is the client's own imitation of a server."""
        return not self.place.host

    @property
    def shown(self) -> str:
        """What people call it."""
        return url_of(replace(self.place, collection="")) if self.place.host or self.place.folder else "memory"

    def ask(self, failing: str, method: str, /, **arguments: Any) -> Any:
        """Call a method of the client. Raises `Unavailable`, `NotFound`, `Invalid` or `Unsupported`, saying that."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what local mode does not do: ours to say, where it matters
                return getattr(self._client, method)(**arguments)
        except (ApiException, QdrantException, grpc.RpcError, ValueError, RuntimeError, OSError) as error:
            raise self._translated(error, failing) from error

    def request(self, failing: str, method: str, path: str, body: Mapping[str, Any] | None = None, **names: str) -> Any:
        """The `result` of a REST request to a server, in plain JSON: what the client's models do not know is in it too.

        `path` has `{places}` for the `names`. Raises as `ask`.
        """
        try:
            assert isinstance(self._client, QdrantRemote)
            found = self._client.http.client.request(
                type_=dict[str, Any],
                method=method,
                url=path,
                path_params=names,
                headers={"Content-Type": "application/json"},
                content=None if body is None else json.dumps(body),
            )
        except (ApiException, QdrantException, ValueError, RuntimeError, OSError) as error:
            raise self._translated(error, failing) from error
        return found.get("result", found)

    def reopen(self) -> None:
        """Read a folder anew, as its next user will; nothing for a server."""
        if self.place.folder is None:
            return
        self.close()
        self._client = _client(self.place, self._timeout_seconds)

    def close(self) -> None:
        """Close the client."""
        with suppress(Exception):  # whatever fails here, everything that matters was answered before
            self._client.close()

    def _translated(self, error: Exception, failing: str) -> SnapstoreError:
        kind, said, hint = _reason(error)
        message = f"{self.shown}: {failing}: {said}"
        if self.place.key:
            message = message.replace(self.place.key, "…")
        return kind(message, hint=hint)


_BY_STATUS: dict[int, tuple[type[SnapstoreError], str]] = {
    400: (Invalid, ""),
    401: (Unavailable, "Give the key in QDRANT_API_KEY."),
    403: (Unavailable, "The key in QDRANT_API_KEY does not allow that."),
    404: (NotFound, ""),
    413: (Unsupported, "A point is larger than the server takes at once (max_request_size_mb)."),
    422: (Invalid, ""),
    501: (Unsupported, ""),
}
_BY_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
_DOWN = "Is it running, and is this its host and port?"


def _reason(error: Exception) -> tuple[type[SnapstoreError], str, str]:
    """What kind of error it is, what was said, and what to do."""
    if isinstance(error, UnexpectedResponse):
        kind, hint = _BY_STATUS.get(error.status_code or 0, (Unavailable, ""))
        return kind, f"it answered {error.status_code}{_said(error.content)}", hint
    if isinstance(error, ResponseHandlingException):
        if isinstance(error.source, ValueError) and not isinstance(error.source, OSError):
            return (
                Unsupported,
                f"its answer is not one that this version understands ({_line(error.source)})",
                "A newer qdrant-client may: pip install -U qdrant-client",
            )
        return Unavailable, f"it does not answer ({_line(error.source)})", _DOWN
    if isinstance(error, grpc.RpcError):
        code = getattr(error, "code", lambda: None)()
        details = getattr(error, "details", lambda: "")() or ""
        kind, hint = _BY_STATUS.get(_BY_CODE.get(code, 0), (Unavailable, _DOWN))
        return kind, f"it answered {getattr(code, 'name', 'nothing')} ({_line(details)})", hint
    if isinstance(error, ValueError) and "not found" in str(error):
        return NotFound, _line(error), ""
    if isinstance(error, ValueError):
        return Invalid, _line(error), ""
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return (
            Unavailable,
            "another program has it open",
            "Local mode is for one program at a time: close the other, or run a Qdrant server.",
        )
    return Unavailable, _line(error), ""


def _said(content: bytes) -> str:
    try:
        found = json.loads(content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({_line(found)})"


def _line(words: object) -> str:
    return " ".join(str(words).split())[:300]


@contextmanager
def open_session(place: Place, *, timeout_seconds: float, create: bool = False) -> Iterator[Session]:
    """A session on a place. Raises `Unavailable`; a folder that is not there is made only with `create`."""
    if place.folder is not None and not create and not (place.folder / "meta.json").is_file():
        raise Unavailable(f"there is no Qdrant in the folder {place.folder}", hint="Its meta.json is missing.")
    session = Session(place, _client(place, timeout_seconds), timeout_seconds=timeout_seconds)
    try:
        yield session
    finally:
        session.close()


def in_memory() -> Session:
    """An empty Qdrant of our own, for questions about points that need not be live."""
    return Session(Place(), QdrantLocal(":memory:"), timeout_seconds=1)


def _let_go(error: BaseException | None) -> None:
    """Close the lock file that a client which could not be made leaves open: the lock's own error has it."""
    while error is not None:
        with suppress(AttributeError, OSError):
            error.fh.close()  # type: ignore[attr-defined]  # portalocker's
        error = error.__context__


def _client(place: Place, timeout_seconds: float) -> Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key without TLS: docs/qdrant.md says it
        if place.folder is None:
            # No certificates to load where none is looked at.
            options: dict[str, Any] = {} if place.is_tls else {"verify": False}
            return QdrantRemote(
                host=place.host,
                port=place.port,
                grpc_port=place.grpc_port or 6334,
                prefer_grpc=bool(place.grpc_port),
                https=place.is_tls,
                api_key=place.key or None,
                timeout=max(1, round(timeout_seconds)),
                check_compatibility=False,  # it would warn where nobody listens
                **options,
            )
        try:
            return QdrantLocal(str(place.folder))
        except RuntimeError as error:
            _let_go(error)
            kind, said, hint = _reason(error)
            raise kind(f"{place.folder}: {said}", hint=hint) from error
        except OSError as error:
            raise Unavailable(f"{place.folder} cannot be opened: {error.strerror or _line(error)}") from error
        except Exception as error:  # the library reads JSON, SQLite and pickles here, and lets their errors through
            raise Corrupt(
                f"{place.folder} is not a folder of Qdrant's local mode, or damaged: {_line(error)}"
            ) from error
