"""The rules for names of tenants, users, templates and clusters, which stand in URLs."""

import re
from typing import Literal
from uuid import UUID

from tenants.errors import Invalid

NAME_PATTERN = "[a-z][a-z0-9-]{0,38}[a-z0-9]"
USERNAME_PATTERN = "[a-z][a-z0-9._-]{0,62}"

_NAME = re.compile(NAME_PATTERN)
_USERNAME = re.compile(USERNAME_PATTERN)
_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_BARE_UUID = re.compile("[0-9a-fA-F]{32}")

_NAME_RULE = (
    "Use 2 to 40 characters: lower case letters, digits and hyphens, starting with a letter, "
    "ending with a letter or digit."
)
_USERNAME_RULE = (
    "Use 1 to 63 characters: lower case letters, digits, dots, hyphens and underscores, "
    "starting with a letter."
)
_UUID_RULE = "A name must not look like a UUID."


def parse_id(value: str) -> UUID | None:
    """The id that `value` spells in the usual form with hyphens, or None when it is a name."""
    return UUID(value) if _UUID.fullmatch(value) else None


def lookup_column(name_or_id: str | UUID) -> tuple[Literal["id", "name"], str | UUID] | None:
    """The column to look up and its value: an id when it is spelled as one, else a name.

    None for a text that can be neither, so that a text which PostgreSQL refuses never reaches it.
    """
    pk = name_or_id if isinstance(name_or_id, UUID) else parse_id(name_or_id)
    if pk is not None:
        return "id", pk
    return ("name", name_or_id) if _NAME.fullmatch(str(name_or_id)) else None


def looks_like_id(value: str) -> bool:
    return bool(_UUID.fullmatch(value) or _BARE_UUID.fullmatch(value))


def validate_name(value: object, pointer: str = "/name") -> str:
    """Returns `value` if it is a valid name. Raises Invalid at `pointer`."""
    return _validate(value, pointer, _NAME, _NAME_RULE)


def validate_username(value: object, pointer: str = "/username") -> str:
    """Returns `value` if it is a valid user name. Raises Invalid at `pointer`."""
    return _validate(value, pointer, _USERNAME, _USERNAME_RULE)


def validate_text(value: object, pointer: str, *, longest: int, shortest: int = 1) -> str:
    """Returns a text for people, such as a display name, without surrounding space. Raises Invalid at `pointer`."""
    if not isinstance(value, str):
        raise Invalid.at(pointer, "Must be text.")
    text = value.strip()
    if not shortest <= len(text) <= longest:
        raise Invalid.at(pointer, f"Use {shortest} to {longest} characters.")
    if not text.isprintable():
        raise Invalid.at(pointer, "Must be one line without control characters.")
    return text


def _validate(value: object, pointer: str, pattern: re.Pattern[str], rule: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Invalid.at(pointer, rule)
    if looks_like_id(value):
        raise Invalid.at(pointer, _UUID_RULE)
    return value
