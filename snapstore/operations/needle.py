"""What is looked for in text: words as they stand, in any case, or a pattern.

    needle = Needle("Zanzibar", ignore_case=True)
    needle.span("to ZANZIBAR and back")         # (3, 11)
    needle.may_stand_in(chunk)                  # a quick look at bytes: False is sure

It does not know where texts come from.
"""

from __future__ import annotations

import re

from snapstore.errors import Invalid

__all__ = ["Needle"]


class Needle:
    """A text, or with `regex` a regular expression in Python's syntax. Raises `Invalid` for one that is none.

    With `ignore_case` texts are compared as Unicode folds case; patterns as `re.IGNORECASE` does.
    """

    def __init__(self, text: str, *, regex: bool = False, ignore_case: bool = False) -> None:
        if not text:
            raise Invalid("nothing to look for", hint="Give a word or a pattern.")
        self._pattern: re.Pattern[str] | None = None
        self._folds = ignore_case
        self._text = text.casefold() if ignore_case else text
        try:
            self._bytes = self._text.encode()
            # A NUL is written in two bytes in keys (format.md §8), so what stands between NULs is all that is sure.
            self._sure = max(self._bytes.split(b"\0"), key=len)
            if regex:
                self._pattern = re.compile(text, re.IGNORECASE if ignore_case else 0)
        except re.error as error:
            raise Invalid(
                f"{text!r} is not a pattern: {error}", hint="Without --regex it is a text like any."
            ) from error
        except UnicodeEncodeError as error:
            raise Invalid("what to look for is not text: it has bytes that are no UTF-8") from error

    def span(self, text: str) -> tuple[int, int] | None:
        """Where it first stands in a text: from and to, in characters."""
        if self._pattern is not None:
            found = self._pattern.search(text)
            return found.span() if found else None
        if not self._folds:
            at = text.find(self._text)
            return None if at < 0 else (at, at + len(self._text))
        at = text.casefold().find(self._text)
        return None if at < 0 else (_before_folding(text, at), _before_folding(text, at + len(self._text)))

    @property
    def is_pattern(self) -> bool:
        """Whether it is one: a quick look at bytes then says nothing."""
        return self._pattern is not None

    def may_stand_in(self, data: bytes) -> bool:
        """Whether it may be in a text whose UTF-8 stands somewhere among these bytes, in one piece, or as in keys."""
        if self._pattern is not None:
            return True
        if not self._folds:
            return self._sure in data
        # Bytes that are no text go: what is left of a text is all of it, as it begins and ends with whole characters.
        return self._text in data.decode("utf-8", "ignore").casefold()

    def starts(self, data: bytes) -> list[int] | None:
        """Where in these bytes it may begin, ascending, if it stands in them in one piece; None if nobody can say."""
        if self._pattern is not None or self._folds:
            return None
        found, at = [], data.find(self._bytes)
        while at >= 0:
            found.append(at)
            at = data.find(self._bytes, at + 1)
        return found


def _before_folding(text: str, folded: int) -> int:
    """The place in a text that folding its case moves there: some letters become two."""
    done = 0
    for at, one in enumerate(text):
        if done >= folded:
            return at
        done += len(one.casefold())
    return len(text)
