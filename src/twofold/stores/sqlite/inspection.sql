-- What an operator asks a file, beside the process that writes it.

-- name: identity
-- -> application_id, user_version, objects
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) AS objects
  FROM pragma_application_id, pragma_user_version;

-- name: tables
-- -> name
SELECT name
  FROM sqlite_schema
 WHERE type = 'table';

-- name: quick_check
-- -> "ok", or a row per damage, at most :limit
SELECT quick_check
  FROM pragma_quick_check(:limit);

-- name: positions
-- -> how many events, first position, last position
SELECT count(*), min(position), max(position)
  FROM event;
