"""What hooks of apps print: one line of JSON. Standard library only: launchers of local nodes use it.

Hooks run code of users, so every value is checked, and a value that is missing is never guessed.
"""

import json

MAX_COUNT = 2**53


def last_json_object(output: bytes) -> dict[str, object]:
    """The last line that is a JSON object; {} when there is none."""
    for line in reversed(output.splitlines()):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def count_or_none(value: object) -> int | None:
    """The value, if it is an integer from 0 to below 2^53; else None."""
    return (
        value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT else None
    )
