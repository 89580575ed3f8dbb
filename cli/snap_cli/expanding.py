"""`${NAME}` in what snap.toml says, and passwords put into URLs: so that the file itself holds no secret.

    expand("postgresql://me:${PASSWORD}@db/agents", os.environ)
    with_password("postgresql://me@db/agents", "…")

It reads no environment of its own and shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from snapstore.errors import Invalid

__all__ = ["expand", "masked", "with_password"]

_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with `${NAME}` replaced; `$${` stands for `${` itself.

    Between `://` and `@` a value is percent-encoded, so a password may have any character. Raises `Invalid` for a name
    that is not set, or set to nothing: an empty host or password would lead elsewhere.
    """
    credentials = re.match(r"[a-z+]+://[^/?#]*@", text)
    end = credentials.end() if credentials else 0

    def value(match: re.Match[str]) -> str:
        escape, name = match[1], match[2]
        if escape:
            return "${" + name + "}"
        if not _NAME.fullmatch(name):
            raise Invalid(f"${{{name}}} in snap.toml is not the name of a variable", hint="Write $${ for a plain ${.")
        if not environment.get(name):
            raise Invalid(f"snap.toml uses ${{{name}}}, which is not set", hint=f"Set it: export {name}=…")
        return quote(environment[name], safe="") if match.start() < end else environment[name]

    return _VARIABLE.sub(value, text)


_IN_URL = re.compile(r"(://[^/?#\s]*?:)([^\s]*)@")
_IN_WORDS = re.compile(r"(\w*(?:password|secret|scram|passfile)\w*\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def masked(text: str) -> str:
    """The text of a URL or `key=value` string without its password; `${NAME}` in place of one stays."""
    for pattern, tail in ((_IN_URL, "@"), (_IN_WORDS, "")):
        text = pattern.sub(lambda own, tail=tail: own[1] + _veiled(own[2]) + tail, text)  # type: ignore[misc]  # str
    return text


def _veiled(secret: str) -> str:
    return secret if re.fullmatch(r"'?\$\{\w+\}'?", secret) else "…"


def with_password(url: str, password: str) -> str:
    """A URL or `key=value` string with this password in it. Raises `Invalid` for one that takes none, or has one."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        if re.search(r"(^|\s)password\s*=", url):
            raise Invalid("a source has a password and a password command", hint="Leave one of them out.")
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        return f"{url} password='{escaped}'"
    if scheme == "sqlite":
        raise Invalid("a password command is given for a SQLite file, which has no password", hint="Leave it out.")
    end = re.search(r"[/?#]", rest)
    place, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, at, hosts = place.rpartition("@")
    if ":" in user:
        raise Invalid("a source has a password and a password command", hint="Leave one of them out.")
    quoted = quote(password, safe="")
    if at:
        return f"{scheme}://{user}:{quoted}@{hosts}{tail}"
    return f"{url}{'&' if '?' in tail else '?'}password={quoted}"
