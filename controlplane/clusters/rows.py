"""Rows as the ORM gives them, by statements that are spelled out: to make one by it takes longer than to answer it."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model

M = TypeVar("M", bound=Model)


def rows(model: type[M], condition: str, *values: Any) -> list[M]:
    """condition: what follows WHERE, in this code's own words."""
    names = ", ".join(f'"{column}"' for column in columns(model))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM {model._meta.db_table} WHERE {condition}", values)  # noqa: S608
        return [instance(model, row) for row in cursor.fetchall()]


@cache
def columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.concrete_fields)


def selected(*models: tuple[str, type[Model]]) -> str:
    """All columns of some tables, each under its alias in the statement, for `parted`."""
    return ", ".join(f'{alias}."{column}"' for alias, model in models for column in columns(model))


def split_rows(row: Sequence[Any], *models: type[Model]) -> list[Any]:
    """An instance of each model, from a row with the columns of all of them; then what else is in the row."""
    found, rest = [], list(row)
    for model in models:
        width = len(columns(model))
        found.append(instance(model, rest[:width]))
        rest = rest[width:]
    return [*found, *rest]


def instance(model: type[M], row: Sequence[Any]) -> M:
    values = list(row)
    for at in _documents(model):
        values[at] = None if values[at] is None else json.loads(values[at])
    return model.from_db(connection.alias, [field.attname for field in model._meta.concrete_fields], values)


@cache
def _documents(model: type[Model]) -> tuple[int, ...]:
    """The places of columns that come as JSON."""
    return tuple(at for at, field in enumerate(model._meta.concrete_fields) if isinstance(field, JSONField))
