"""Tells a web server how a command ended: a webhook that is sent the result, a health check that is pinged.

    problems = send([Call("webhook", url, {"command": "take", "exit_code": 0})])
    problems                                # ['the webhook: HTTP 500'], empty if all arrived

The URLs are secrets and stand in no words. Calls go out side by side, each tried twice at most, all within a bound: a
server that hangs holds nobody up for long.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

__all__ = ["Call", "failing", "send"]

_TIMEOUT_SECONDS, _PAUSE_SECONDS, _TRIES = 10.0, 1.0, 2
_LIMIT_SECONDS = _TRIES * _TIMEOUT_SECONDS + _PAUSE_SECONDS + 4.0
_SERVER, _TOO_MANY = 500, 429


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask for, under a name for people: a POST of the document, or a GET without one."""

    name: str
    url: str
    document: Mapping[str, Any] | None = None


def failing(url: str) -> str:
    """Where a failure is told to a health check: URL/fail, as healthchecks.io and its like have it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def send(calls: Sequence[Call], *, limit_seconds: float = _LIMIT_SECONDS) -> list[str]:
    """Make these calls; what went wrong, in words, for each that did not arrive. Never raises for a server."""
    problems: dict[str, str] = {}
    # A timeout of urllib is one of each step; these threads are left behind if a server spends it again and again.
    threads = [(call, threading.Thread(target=_call, args=(call, problems), daemon=True)) for call in calls]
    for _, thread in threads:
        thread.start()
    end = time.monotonic() + limit_seconds
    for call, thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            problems[call.name] = f"no answer within {limit_seconds:g} seconds"
    return [f"the {call.name}: {problems[call.name]}" for call in calls if call.name in problems]


class _NoRedirect(HTTPRedirectHandler):
    """A POST that is redirected becomes a GET, and what was sent is lost: an error instead."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        return None


def _call(call: Call, problems: dict[str, str]) -> None:
    sent = None if call.document is None else json.dumps(call.document).encode()
    headers = {"User-Agent": "snapstore", **({} if sent is None else {"Content-Type": "application/json"})}
    for again in range(_TRIES):
        problem, is_lasting = _try(call.url, sent, headers)
        if not problem:
            return
        if is_lasting or again == _TRIES - 1:
            problems[call.name] = problem
            return
        time.sleep(_PAUSE_SECONDS)


def _try(url: str, sent: bytes | None, headers: Mapping[str, str]) -> tuple[str, bool]:
    """What went wrong, and whether it would go wrong again; no words that a server or the URL could have chosen."""
    try:
        request = Request(url, data=sent, headers=dict(headers))  # noqa: S310  # http and https alone come here
        with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_SECONDS):
            return "", False
    except HTTPError as error:
        code = error.code
        error.close()
        return f"HTTP {code}", code < _SERVER and code != _TOO_MANY
    except URLError as error:
        return _told(error.reason), False
    except (OSError, HTTPException, ValueError) as error:
        return _told(error), isinstance(error, ValueError)


def _told(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_SECONDS:g} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, socket.gaierror):
        return "there is no server of this name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return type(error).__name__
