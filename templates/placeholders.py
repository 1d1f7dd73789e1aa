"""Placeholders: {name} in commands, environment values and files. A doubled brace is a literal one.

`templates.schema` lists the names. A value with a control character or a line separator is refused, so that no setting
can add a line or a terminal code to the text around it.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_.-]*)\}|[{}]")
# Unicode categories: control characters, line and paragraph separators, and surrogates, which no file can contain.
_UNSAFE = frozenset({"Cc", "Zl", "Zp", "Cs"})


class BadPlaceholder(ValueError):  # noqa: N818 - the name says what is bad
    """A single brace, an unknown name, or a value that may not be inserted."""


def is_safe(value: str) -> bool:
    """Whether `value` has no character that would end or disturb the line around it."""
    return value.isprintable() or not any(unicodedata.category(char) in _UNSAFE for char in value)


def names(text: str) -> set[str]:
    """The names of all placeholders in `text`. Raises BadPlaceholder for a single brace."""
    return {match[1] for match in _tokens(text) if match[1] is not None}


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced by its value. Placeholders in values are not replaced.

    values: by the names in the braces. Raises BadPlaceholder, whose message never contains a value.
    """
    parts, start = [], 0
    for match in _tokens(text):
        parts += [text[start : match.start()], match[0][0] if match[1] is None else _value(match[1], values)]
        start = match.end()
    return "".join([*parts, text[start:]])


def setting_text(value: object) -> str:
    """A setting as text: true and false as in JSON, numbers in decimals."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def setting_values(settings: Mapping[str, object]) -> dict[str, str]:
    """The values of the placeholders {setting.NAME}, by name, from a launch's settings."""
    return {f"setting.{name}": setting_text(value) for name, value in settings.items()}


def _tokens(text: str) -> Iterator[re.Match[str]]:
    for match in _TOKEN.finditer(text):
        if match[1] is None and len(match[0]) == 1:
            line = text.count("\n", 0, match.start()) + 1
            raise BadPlaceholder(
                f"line {line}: a single brace that is not part of a placeholder; double it for a literal brace"
            )
        yield match


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise BadPlaceholder(f"the placeholder {{{name}}} has no value here")
    value = values[name]
    if not is_safe(value):
        raise BadPlaceholder(f"the value of {{{name}}} has a control character or a line break")
    return value
