"""Keyset paging: a page token names the last row of a page, so that pages neither skip rows nor repeat them."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from controlplane.api.shapes import bad_parameters
from tenants.errors import Invalid

_Row = TypeVar("_Row", bound=Model)
_Item = TypeVar("_Item")
Page = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """The unique column that orders the rows. kind: parses its value from a token."""

    column: str = "id"
    kind: Callable[[str], Any] = UUID
    newest_first: bool = True

    def after(self, last: Any) -> dict[str, Any]:
        return {f"{self.column}__{'lt' if self.newest_first else 'gt'}": last}

    @property
    def by(self) -> str:
        return f"-{self.column}" if self.newest_first else self.column


def page(
    rows: QuerySet[_Row],
    query: Mapping[str, Any],
    *,
    order: Order,
    to_json: Callable[[list[_Row]], list[Page]],
) -> Page:
    """{"items", "next_page_token"} with at most page_size of `rows` after page_token. to_json: makes all items."""
    if query["page_token"]:
        rows = rows.filter(**order.after(_read(query["page_token"], order.kind)))
    found = list(rows.order_by(order.by)[: query["page_size"] + 1])
    return _page(found, query, to_json, lambda row: str(_column(row, order.column)))


def page_by(
    query: Mapping[str, Any],
    *,
    order: Order,
    read: Callable[[Any, int], list[_Item]],
    to_json: Callable[[list[_Item]], list[Page]],
) -> Page:
    """As `page`, for rows that `read(after, most)` returns in that order. after: the last value before, or None."""
    after = _read(query["page_token"], order.kind) if query["page_token"] else None
    found = read(after, query["page_size"] + 1)
    return _page(found, query, to_json, lambda row: str(_column(row, order.column)))


def page_of(
    items: Iterable[_Item],
    query: Mapping[str, Any],
    *,
    key: Callable[[_Item], str],
    to_json: Callable[[list[_Item]], list[Page]],
) -> Page:
    """As `page`, for items in memory. key: unique; gives the order."""
    rows = sorted(items, key=key)
    if query["page_token"]:
        last = _read(query["page_token"], str)
        rows = [row for row in rows if key(row) > last]
    return _page(rows[: query["page_size"] + 1], query, to_json, key)


def _page(found: list[Any], query: Mapping[str, Any], to_json: Any, key: Callable[[Any], str]) -> Page:
    size = query["page_size"]
    token = ""
    if len(found) > size:
        last = json.dumps([key(found[size - 1])]).encode()
        token = base64.urlsafe_b64encode(last).decode().rstrip("=")
    return {"items": to_json(found[:size]), "next_page_token": token}


def _column(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part)
    return row


def _read(token: str, kind: Callable[[str], Any]) -> Any:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        [last] = json.loads(raw)
        if not isinstance(last, str) or "\0" in last:
            raise _garbage()
        return kind(last)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _garbage() from None


def _garbage() -> Invalid:
    return bad_parameters({"page_token": "Use the next_page_token of the page before, as it is."})
