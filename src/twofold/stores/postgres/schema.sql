-- Which steps of a store's schema have been done. {schema} is twofold_log or twofold_read.

-- name: lock
-- Whoever migrates anything of Twofold's in this database goes one after another.
SELECT pg_advisory_xact_lock(%s);

-- name: exists
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s);

-- name: state
-- -> whether steps are recorded, how many objects are there
SELECT coalesce(bool_or(relname = 'twofold_migration'), false), count(pg_class.oid)
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE nspname = %(schema)s;

-- name: number
SELECT coalesce(max(number), 0) FROM {schema}.twofold_migration;

-- name: record
INSERT INTO {schema}.twofold_migration (number) VALUES (%s);

-- name: create
CREATE SCHEMA {schema};

-- name: create_record
-- Everyone who may use the schema may see which it is.
CREATE TABLE {schema}.twofold_migration (
    number  integer     NOT NULL PRIMARY KEY,
    done_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON {schema}.twofold_migration TO PUBLIC;

-- name: size
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE nspname = %(schema)s
   AND relkind IN ('r', 'p', 'm');

-- name: act_as_owner
-- A superuser counts as a member of every role.
SELECT set_config('role', pg_get_userbyid(nspowner), true)
  FROM pg_namespace
 WHERE nspname = %(schema)s
   AND pg_has_role(session_user, nspowner, 'MEMBER');
