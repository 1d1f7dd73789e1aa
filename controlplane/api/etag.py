"""The generation as a strong entity tag: requested changes change it, progress does not."""

import re

from tenants.errors import Invalid

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_GENERATION = re.compile(r'"([0-9]{1,18})"')
_NEVER = -1


def etag(generation: int) -> str:
    return f'"{generation}"'


def parse_if_match(header: str | None) -> int | None:
    """The generation to compare with; None is any. A well-formed tag of another origin never matches.

    Raises Invalid for a header that is no entity tag.
    """
    if header is None or header.strip() == "*":
        return None
    tag = header.strip()
    if not _TAG.fullmatch(tag):
        raise Invalid(
            errors=[
                {  # type: ignore[typeddict-unknown-key,typeddict-item]
                    "header": "If-Match",
                    "detail": 'Send one entity tag in quotes as an ETag gave it, such as "3", or *.',
                }
            ]
        )
    ours = _GENERATION.fullmatch(tag)
    return int(ours[1]) if ours else _NEVER
