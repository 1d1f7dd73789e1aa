"""Hand-written SQL of due work. The table is the queue, so every statement here runs for each pass or each wake."""

# Saves a transaction of three statements with a row lock between them, and times of the database's own clock keep
# leases right whatever the clocks of workers show.
# The recursive query visits the index once a tenant, so the cost grows with the number of tenants, not of rows.
# statement_timestamp() does not change during a statement: unlike clock_timestamp() it can be looked up in an index.
# `next` repeats the conditions on the row, because PostgreSQL checks them again once it has the lock.
CLAIM = """
WITH RECURSIVE tenant(id) AS (
    (SELECT tenant_id FROM work_work WHERE due_at IS NOT NULL AND tenant_id IS NOT NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT w.tenant_id FROM work_work w
             WHERE w.due_at IS NOT NULL AND w.tenant_id > t.id ORDER BY w.tenant_id LIMIT 1)
      FROM tenant t WHERE t.id IS NOT NULL
), flight AS (
    SELECT tenant_id, count(*) AS n FROM work_work WHERE lease_until > statement_timestamp() GROUP BY tenant_id
), first AS (
    SELECT t.id, coalesce(f.n, 0) AS n
      FROM tenant t LEFT JOIN flight f ON f.tenant_id = t.id, LATERAL (
            SELECT due_at FROM work_work
             WHERE tenant_id = t.id AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT 1) w
     WHERE t.id IS NOT NULL ORDER BY n, w.due_at LIMIT %(tenants)s
), candidate AS (
    SELECT w.id, f.n, w.due_at FROM first f, LATERAL (
            SELECT id, due_at FROM work_work
             WHERE tenant_id = f.id AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT %(rows)s) w
    UNION ALL
    (SELECT id, 0, due_at FROM work_work
             WHERE tenant_id IS NULL AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT %(rows)s)
), next AS (
    SELECT w.id FROM candidate c JOIN work_work w ON w.id = c.id
     WHERE w.due_at <= statement_timestamp() AND (w.lease_until IS NULL OR w.lease_until < statement_timestamp())
     ORDER BY c.n, c.due_at
     LIMIT 1 FOR UPDATE OF w SKIP LOCKED
), claimed AS (
    UPDATE work_work w
       SET lease_until = clock_timestamp() + %(lease)s * interval '1 second', lease_owner = %(lease_owner)s,
           fence = w.fence + 1, attempts = w.attempts + 1
      FROM next WHERE w.id = next.id
    RETURNING w.id, w.kind, w.key, w.fence, w.wake_seq, w.attempts,
              extract(epoch FROM statement_timestamp() - w.due_at)::float8
)
SELECT * FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN EXISTS (
           SELECT FROM work_work
            WHERE due_at <= statement_timestamp() AND kind = ANY(%(kinds)s)
              AND (lease_until IS NULL OR lease_until < statement_timestamp())
       ) THEN 0 ELSE extract(epoch FROM least(
           (SELECT min(due_at) FROM work_work WHERE due_at > statement_timestamp() AND kind = ANY(%(kinds)s)),
           (SELECT min(lease_until) FROM work_work
             WHERE lease_until > statement_timestamp() AND due_at IS NOT NULL AND kind = ANY(%(kinds)s))
       ) - clock_timestamp())::float8 END
 WHERE NOT EXISTS (SELECT FROM claimed)
"""

# Saves a SELECT of the row before its UPDATE. wake_seq tells whether the row was woken during the pass: then it is due
# at once, whatever the pass decided.
RELEASE = """
UPDATE work_work
   SET lease_until = NULL, lease_owner = '',
       attempts = CASE WHEN %(failed)s THEN attempts ELSE 0 END,
       due_at = CASE WHEN wake_seq = %(wake_seq)s THEN clock_timestamp() + %(next)s * interval '1 second'
                     ELSE clock_timestamp() END
 WHERE id = %(id)s AND fence = %(fence)s
"""

# Takes a key-share lock, which the ORM does not have: it neither waits for a wake nor makes one wait.
REQUIRE = """
SELECT 1 FROM work_work
 WHERE id = %s AND fence = %s AND lease_until > clock_timestamp() + %s * interval '1 second' FOR KEY SHARE
"""


def wake_statement(rows: str) -> str:
    """The statement that wakes what a SELECT or VALUES names: kind, key, tenant's id, time at which it is due.

    Saves a query for each row. The SELECT has to name several rows in the order of their keys, so that two wakes
    never wait for each other.
    """
    return f"""
INSERT INTO work_work AS w (kind, key, tenant_id, due_at, fence, attempts, wake_seq)
SELECT r.*, 0, 0, 1 FROM ({rows}) r
ON CONFLICT (kind, key) DO UPDATE
   SET wake_seq = w.wake_seq + 1, attempts = 0, due_at = LEAST(w.due_at, excluded.due_at)
"""  # noqa: S608


# Saves the SELECT FOR UPDATE and the retry after a conflict of an update_or_create().
WAKE = wake_statement("VALUES (%s, %s::uuid, %s::uuid, clock_timestamp() + %s * interval '1 second')")
