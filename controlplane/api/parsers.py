"""Parses untrusted JSON: bounded in size and depth, and unambiguous."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, NoReturn

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

LARGEST: Final = 1024 * 1024
DEEPEST: Final = 32


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"
    default_detail = f"The body is larger than {LARGEST} bytes."


class BoundedJSONParser(BaseParser):
    """Refuses bodies that are too large (413), or have duplicate keys, NaN, broken text or deep nesting (400)."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw = stream.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise TooLarge
        return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """The value of this JSON text. Raises ParseError with a sentence for the user."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}."[:300]) from None
    _check(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _check(value: Any) -> None:
    """Raises ParseError for nesting deeper than DEEPEST, and for text that the database does not take."""
    level = [value]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        for item in level:
            if isinstance(item, str) and not is_text(item):
                raise ParseError("Text must have no NUL and no broken characters.")
        level = [inner for item in level for inner in _children(item)]
    if level:
        raise _too_deep()


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def is_text(text: str) -> bool:
    """Whether the database takes this text."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _too_deep() -> ParseError:
    return ParseError(f"The body is nested deeper than {DEEPEST} levels.")
