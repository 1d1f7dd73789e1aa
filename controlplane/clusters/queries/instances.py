"""Model instances from hand-written SQL.

The reconciler reads so on every pass: the ORM takes 0.5 ms to compile such a query, and PostgreSQL 0.1 ms to run it.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model

M = TypeVar("M", bound=Model)


def rows(model: type[M], condition: str, *values: Any) -> list[M]:
    """The instances that fulfil a condition. condition: what follows WHERE; never anything that a user wrote."""
    names = ", ".join(f'"{column}"' for column in columns(model))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM {model._meta.db_table} WHERE {condition}", values)  # noqa: S608
        return [_instance(model, row) for row in cursor.fetchall()]


@cache
def columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.concrete_fields)


def selected(*models: tuple[str, type[Model]]) -> str:
    """All columns of some tables for a SELECT. models: the alias of each table in the statement, and its model."""
    return ", ".join(f'{alias}."{column}"' for alias, model in models for column in columns(model))


def split_rows(row: Sequence[Any], *models: type[Model]) -> list[Any]:
    """An instance of each model from a row with the columns of all of them, followed by the other values of the row."""
    found, rest = [], list(row)
    for model in models:
        width = len(columns(model))
        found.append(_instance(model, rest[:width]))
        rest = rest[width:]
    return [*found, *rest]


def _instance(model: type[M], row: Sequence[Any]) -> M:
    values = list(row)
    for at in _json_columns(model):
        values[at] = None if values[at] is None else json.loads(values[at])
    return model.from_db(connection.alias, [field.attname for field in model._meta.concrete_fields], values)


@cache
def _json_columns(model: type[Model]) -> tuple[int, ...]:
    return tuple(at for at, field in enumerate(model._meta.concrete_fields) if isinstance(field, JSONField))
