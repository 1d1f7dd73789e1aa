"""Strict reading of JSON and YAML documents. Every refusal has the JSON pointer of the wrong field."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from tenants.amounts import CEILINGS, parse
from tenants.errors import FieldError, Invalid, pointer_token
from tenants.names import validate_name

WORD_PATTERN = "[a-z][a-z0-9_-]{0,62}"

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(WORD_PATTERN)
_WORD_RULE = (
    "Use 1 to 63 characters: lower case letters, digits, hyphens and underscores, starting with a letter."
)
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document as it was sent, and the JSON pointer to it.

    stored: the document comes from the database, where amounts are integers of the base unit. In a document that a
    person wrote they are quantities, such as "2Gi".
    """

    raw: object
    pointer: str = ""
    stored: bool = False

    def refused(self, detail: str) -> Invalid:
        """The refusal of this value, to be raised."""
        return Invalid.at(self.pointer, detail)

    def at(self, key: str | int, raw: object) -> "Value":
        """The value `raw` at `key` of this object or list."""
        return Value(raw, f"{self.pointer}/{pointer_token(key)}", self.stored)

    def fields(self, *allowed: str) -> "Fields":
        """The fields of an object, which may have no others than the `allowed` ones. Raises Invalid."""
        raw = self._mapping()
        for key in raw:
            if key not in allowed:
                raise self.at(key, None).refused(f"Unknown field. Known here: {', '.join(allowed)}.")
        return Fields(self, raw)

    def entries(self, *, most: int) -> list[tuple[str, "Value"]]:
        """The entries of an object with any keys, at most `most`, in the order of the document. Raises Invalid."""
        raw = self._mapping()
        if len(raw) > most:
            raise self.refused(f"Must have at most {most} entries.")
        return [(key, self.at(key, value)) for key, value in raw.items()]

    def items(self, *, most: int, least: int = 0) -> list["Value"]:
        """The items of a list. Raises Invalid."""
        if not isinstance(self.raw, list | tuple):
            raise self.refused("Must be a list.")
        if not least <= len(self.raw) <= most:
            raise self.refused(f"Must have {least} to {most} items.")
        return [self.at(index, item) for index, item in enumerate(self.raw)]

    def named(self, *, most: int) -> list[tuple[str, "Value"]]:
        """Named objects in order, from an object by name or from a list of objects with a "name". Raises Invalid."""
        if not isinstance(self.raw, list | tuple):
            return [(Value(key, item.pointer).name(), item) for key, item in self.entries(most=most)]
        found: dict[str, Value] = {}
        for item in self.items(most=most):
            raw = dict(item._mapping())
            name = item.at("name", raw.pop("name", None)).name()
            if name in found:
                raise item.at("name", name).refused("Another item has this name. Use each name once.")
            found[name] = Value(raw, item.pointer, self.stored)
        return list(found.items())

    def text(self, *, longest: int, shortest: int = 1, lines: bool = False) -> str:
        """A text of so many characters; one printable line, or with `lines` any text without NUL. Raises Invalid."""
        if not isinstance(self.raw, str):
            raise self.refused("Must be text.")
        if not shortest <= len(self.raw) <= longest:
            raise self.refused(f"Must have {shortest} to {longest} characters.")
        if not lines and not self.raw.isprintable():
            raise self.refused("Must be one line of printable text.")
        # PostgreSQL stores no NUL and no half of a surrogate pair.
        if lines and _UNSTORABLE.search(self.raw):
            raise self.refused("Must have no NUL and no broken characters.")
        return self.raw

    def name(self) -> str:
        """A name as tenants, templates and clusters have it. Raises Invalid."""
        return validate_name(self.raw, self.pointer)

    def word(self) -> str:
        """The name of a port, a secret or a setting of an app. Raises Invalid."""
        if not isinstance(self.raw, str) or not _WORD.fullmatch(self.raw):
            raise self.refused(_WORD_RULE)
        return self.raw

    def integer(self, *, least: int, most: int) -> int:
        if isinstance(self.raw, bool) or not isinstance(self.raw, int) or not least <= self.raw <= most:
            raise self.refused(f"Must be a whole number from {least} to {most}.")
        return self.raw

    def boolean(self) -> bool:
        if not isinstance(self.raw, bool):
            raise self.refused("Must be true or false.")
        return self.raw

    def choice(self, kind: type[_Choice]) -> _Choice:
        if not isinstance(self.raw, str) or self.raw not in {choice.value for choice in kind}:
            raise self.refused(f"Must be one of: {', '.join(kind)}.")
        return kind(self.raw)

    def one_of(self, choices: Collection[str], what: str) -> str:
        if not isinstance(self.raw, str) or self.raw not in choices:
            known = ", ".join(sorted(choices)) or "none"
            raise self.refused(f"There is no such {what}. Known here: {known}.")
        return self.raw

    def amount(self, resource: str) -> int:
        """The amount in base units: cpu in millicores, memory and storage in bytes. Raises Invalid."""
        if self.stored:
            return self.integer(least=0, most=CEILINGS[resource])
        try:
            return parse(resource, self.raw)
        except Invalid as refusal:
            raise refusal.prefixed(self.pointer) from None

    def _mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.raw, Mapping):
            raise self.refused("Must be an object.")
        if not all(isinstance(key, str) for key in self.raw):
            raise self.refused("Every key must be text.")
        return self.raw


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object. `fields[name]` requires the field; `fields.get` has a default."""

    whole: Value
    raw: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __getitem__(self, name: str) -> Value:
        if name not in self.raw:
            raise self.whole.at(name, None).refused("This field is required.")
        return self.whole.at(name, self.raw[name])

    def get(self, name: str, default: object) -> Value:
        return self.whole.at(name, self.raw.get(name, default))


class Faults:
    """Collects refusals, so that one answer lists all of them."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keeps an Invalid that its block raises, for `settle`."""
        try:
            yield
        except Invalid as refusal:
            self._errors.extend(refusal.errors)

    def settle(self) -> None:
        """Raises Invalid with all errors that were collected."""
        if self._errors:
            raise Invalid(errors=self._errors)
