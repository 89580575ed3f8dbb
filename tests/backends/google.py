"""A small, strict stand-in for the XML API of Google Cloud Storage, by its published reference.

    application = Google("bucket")          # a WSGI application; `application.requests` are what was asked

Objects with generations, their conditions, ranges, listings in pages of `page`, uploads in parts. Whatever it does not
know it refuses, so that a test does not pass by chance. https://cloud.google.com/storage/docs/xml-api/reference-methods
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from werkzeug.http import http_date, parse_range_header
from werkzeug.wrappers import Request, Response

_CONDITION = "X-Goog-If-Generation-Match"


@dataclass(frozen=True)
class Held:
    """An object as it is held."""

    data: bytes
    generation: int
    time: float

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of it."""
        return {
            "ETag": f'"{hashlib.md5(self.data).hexdigest()}"',
            "Last-Modified": http_date(self.time),
            "x-goog-generation": str(self.generation),
        }


@dataclass
class Google:
    """One bucket."""

    bucket: str
    page: int = 1000
    held: dict[str, Held] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses: bool = False
    _lock: Any = field(default_factory=threading.Lock)
    _last: int = 1_700_000_000_000_000

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI application."""
        request = Request(environ)
        with self._lock:
            response = self._answered(request)
        return response(environ, start)

    def _answered(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}")
        bucket, _, name = request.path.lstrip("/").partition("/")
        if self.refuses:
            return _error(403, "AccessDenied")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket")
        asked = sorted(request.args)
        match request.method, bool(name), asked:
            case "GET", False, _:
                return self._list(request)
            case (("GET" | "HEAD"), True, []):
                return self._get(request, name)
            case "PUT", True, []:
                return self._put(request, name)
            case "DELETE", True, []:
                return Response(status=204) if self.held.pop(name, None) else _error(404, "NoSuchKey")
            case "POST", True, ["uploads"]:
                upload = f"upload-{len(self.parts)}"
                self.parts[upload] = {}
                return _xml(
                    f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                )
            case "PUT", True, ["partNumber", "uploadId"]:
                part = request.get_data()
                self.parts[request.args["uploadId"]][int(request.args["partNumber"])] = part
                return Response(headers={"ETag": f'"{hashlib.md5(part).hexdigest()}"'})
            case "POST", True, ["uploadId"]:
                return self._complete(request, name)
            case "DELETE", True, ["uploadId"]:
                del self.parts[request.args["uploadId"]]
                return Response(status=204)
        return _error(400, f"InvalidArgument: {request.method} {name} {asked}")

    def _get(self, request: Request, name: str) -> Response:
        held = self.held.get(name)
        if held is None:
            return _error(404, "NoSuchKey")
        asked = parse_range_header(request.headers.get("Range"))
        if asked is None:
            return Response(held.data, headers=held.headers)
        span = asked.range_for_length(len(held.data))
        if span is None:
            return _error(416, "InvalidRange")
        headers = {**held.headers, "Content-Range": f"bytes {span[0]}-{span[1] - 1}/{len(held.data)}"}
        return Response(held.data[slice(*span)], status=206, headers=headers)

    def _put(self, request: Request, name: str) -> Response:
        wanted, held = request.headers.get(_CONDITION), self.held.get(name)
        if wanted is not None and not wanted.isdecimal():
            return _error(400, "InvalidArgument")
        if wanted is not None and int(wanted) != (held.generation if held else 0):
            return _error(412, "PreconditionFailed")
        return Response(headers=self._hold(name, request.get_data()).headers)

    def _complete(self, request: Request, name: str) -> Response:
        parts = self.parts.pop(request.args["uploadId"])
        named = [int(one.text or "") for one in ElementTree.fromstring(request.get_data()).iter("PartNumber")]
        if named != sorted(parts):
            return _error(400, "InvalidPart")
        held = self._hold(name, b"".join(parts[number] for number in named))
        tag = escape(held.headers["ETag"])
        body = f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        return _xml(body, {"x-goog-generation": str(held.generation)})

    def _hold(self, name: str, data: bytes) -> Held:
        self._last += 1
        self.held[name] = Held(data, self._last, time.time())
        return self.held[name]

    def _list(self, request: Request) -> Response:
        unknown = set(request.args) - {"list-type", "prefix", "continuation-token", "start-after", "max-keys"}
        if unknown or request.args.get("list-type") != "2":
            return _error(400, f"InvalidArgument: {sorted(request.args)}")
        after = request.args.get("continuation-token") or request.args.get("start-after", "")
        names = sorted(n for n in self.held if n.startswith(request.args.get("prefix", "")) and n > after)
        shown = names[: self.page]
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><Generation>{held.generation}</Generation>"
            f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(held.time))}.000Z</LastModified>"
            f"<ETag>{escape(held.headers['ETag'])}</ETag><Size>{len(held.data)}</Size></Contents>"
            for name, held in ((name, self.held[name]) for name in shown)
        )
        more = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if len(names) > len(shown) else ""
        return _xml(f"<ListBucketResult><Name>{self.bucket}</Name>{more}{entries}</ListBucketResult>")


def _xml(body: str, headers: dict[str, str] | None = None) -> Response:
    return Response(f"<?xml version='1.0' encoding='UTF-8'?>{body}", headers=headers, content_type="application/xml")


def _error(status: int, code: str) -> Response:
    answer = _xml(f"<Error><Code>{escape(code)}</Code><Message>refused</Message></Error>")
    answer.status_code = status
    return answer
