from typing import Final

from django.urls import register_converter
from django.urls.converters import get_converters

# A name, a user name or a UUID. It has no ":", so that "etl-1:stop" is always a verb on etl-1.
IDENT: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,79}"


class Ident:
    regex = IDENT

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


def register() -> None:
    """Register <ident:name>. Idempotent."""
    if "ident" not in get_converters():
        register_converter(Ident, "ident")
