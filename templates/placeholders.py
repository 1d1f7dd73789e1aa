"""The only substitution there is: {name} in commands, environment values and files; {{ is a literal brace.

`templates.schema` lists the names. A value never adds a line or a terminal code to the text it lands in: one
with a control character or a line separator is refused, so no setting can smuggle a second line into a file.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_.-]*)\}|[{}]")
# Control characters, separators of lines and paragraphs, and halves of characters, which no file can hold.
_UNSAFE = frozenset({"Cc", "Zl", "Zp", "Cs"})


class BadPlaceholder(ValueError):  # noqa: N818 - read as a finding
    """A brace that is no placeholder, a name nobody knows, or a value that may not be put in."""


def is_safe(value: str) -> bool:
    """Whether `value` stays within the line it is put into."""
    return value.isprintable() or not any(unicodedata.category(char) in _UNSAFE for char in value)


def names(text: str) -> set[str]:
    """The names of all placeholders of `text`. Raises BadPlaceholder for a stray brace."""
    return {match[1] for match in _tokens(text) if match[1] is not None}


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced, once, by its value; `values` is keyed by what is in the braces.

    Raises BadPlaceholder. Its message names the placeholder and never shows a value.
    """
    parts, start = [], 0
    for match in _tokens(text):
        parts += [text[start : match.start()], match[0][0] if match[1] is None else _value(match[1], values)]
        start = match.end()
    return "".join([*parts, text[start:]])


def setting_text(value: object) -> str:
    """How a setting is written into text: true and false as in JSON, numbers in decimals."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def setting_values(settings: Mapping[str, object]) -> dict[str, str]:
    """The placeholders {setting.NAME} of a launch's settings."""
    return {f"setting.{name}": setting_text(value) for name, value in settings.items()}


def _tokens(text: str) -> Iterator[re.Match[str]]:
    for match in _TOKEN.finditer(text):
        if match[1] is None and len(match[0]) == 1:
            line = text.count("\n", 0, match.start()) + 1
            raise BadPlaceholder(
                f"line {line}: a brace that belongs to no placeholder; double it to mean itself"
            )
        yield match


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise BadPlaceholder(f"there is no {{{name}}} here")
    value = values[name]
    if not is_safe(value):
        raise BadPlaceholder(f"the value of {{{name}}} has a control character or a line break")
    return value
