"""What hooks answer: one line of JSON, of which nothing is believed that is not there. Standard library only."""

import json

MOST = 2**53


def facts(answer: bytes) -> dict[str, object]:
    """The last line of a hook's answer that is a JSON object; {} when none is."""
    for line in reversed(answer.splitlines()):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def count(value: object) -> int | None:
    """A number that was read, or None; never one that was guessed, nor one that nobody can mean."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None
