"""New rows of several tables in one round trip.

A launch inserts a cluster, an operation and its steps: three round trips by the ORM, one here.
"""

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import AutoField, Field, Model


def insert(*rows: Model) -> None:
    """Insert the rows in this order. Keys that the database counts are not filled in.

    Raises the database's errors, such as IntegrityError; then no row is inserted, as in any transaction.
    """
    statements: list[str] = []
    values: list[Any] = []
    for model, group in groupby(rows, key=type):
        same = list(group)
        statements.append(_statement(model, len(same)))
        values += [
            field.get_db_prep_save(field.pre_save(row, add=True), connection)
            for row in same
            for field in _columns(model)
        ]
    with connection.cursor() as cursor:
        cursor.execute(";\n".join(statements), values)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


@cache
def _statement(model: type[Model], count: int) -> str:
    columns = [connection.ops.quote_name(str(field.column)) for field in _columns(model)]
    row = f"({', '.join(['%s'] * len(columns))})"
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"  # noqa: S608


@cache
def _columns(model: type[Model]) -> "Sequence[Field[Any, Any]]":
    """All columns but those that the database fills in."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    given = [field.name for field in fields if field.has_db_default() and not field.has_default()]
    if given:
        raise TypeError(f"{model.__name__} has defaults of the database: {', '.join(given)}")
    return fields
