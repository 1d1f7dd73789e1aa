from typing import Final

from django.urls import register_converter
from django.urls.converters import get_converters

# A name, a user name or a UUID, and never with ":": so that "etl-1:stop" is a verb on etl-1 and nothing else.
IDENT: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,79}"


class Ident:
    regex = IDENT

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


def register() -> None:
    """Makes <ident:name> known; a repeated import changes nothing."""
    if "ident" not in get_converters():
        register_converter(Ident, "ident")
