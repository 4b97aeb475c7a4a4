-- Roles of PostgreSQL for the services of Twofold. They can't log in: grant them to the users of the services. Everything
-- here may be run again at any time, by a superuser or by a user with CREATEROLE who migrated the schemas. Only what has
-- another owner is given one: that locks a table against everyone, and services are at work when a release is rolled out.
--
--   twofold_owner      owns the event log; for `twofold schema migrate` alone
--   twofold_writer     command services: appends by the function alone, reads events, keeps snapshots
--   twofold_projector  projectors: reads events; owns the read store
--   twofold_reader     query services: reads the read store

-- name: make_roles
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['twofold_owner', 'twofold_writer', 'twofold_projector', 'twofold_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- somebody else made it just now, from another database
            END;
        END IF;
    END LOOP;
END
$$;

-- name: own
-- {schema} and all that is in it, to {owner}
DO $$
DECLARE
    name text;
BEGIN
    IF NOT pg_has_role(current_user, '{owner}', 'MEMBER') THEN
        GRANT {owner} TO CURRENT_USER;
    END IF;
    ALTER SCHEMA {schema} OWNER TO {owner};
    FOR name IN
        SELECT oid::regclass FROM pg_class
         WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'S') AND relowner <> '{owner}'::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {owner}', name);
    END LOOP;
    FOR name IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = '{schema}'::regnamespace AND proowner <> '{owner}'::regrole
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {owner}', name);
    END LOOP;
END
$$;

-- name: grant_event_log
REVOKE ALL ON SCHEMA twofold_log FROM PUBLIC, twofold_writer, twofold_projector, twofold_reader;
REVOKE ALL ON ALL TABLES IN SCHEMA twofold_log FROM PUBLIC, twofold_writer, twofold_projector, twofold_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA twofold_log FROM PUBLIC, twofold_writer, twofold_projector, twofold_reader;
GRANT USAGE ON SCHEMA twofold_log TO twofold_writer, twofold_projector;
GRANT SELECT ON twofold_log.event, twofold_log.twofold_migration TO twofold_writer, twofold_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON twofold_log.snapshot TO twofold_writer;
GRANT EXECUTE ON FUNCTION twofold_log.append TO twofold_writer;

-- name: grant_read_store
-- Tables that projectors make later belong to twofold_projector as well, and may be read by twofold_reader.
REVOKE ALL ON SCHEMA twofold_read FROM PUBLIC, twofold_writer, twofold_reader;
REVOKE ALL ON ALL TABLES IN SCHEMA twofold_read FROM PUBLIC, twofold_writer, twofold_reader;
GRANT USAGE ON SCHEMA twofold_read TO twofold_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA twofold_read TO twofold_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE twofold_projector IN SCHEMA twofold_read GRANT SELECT ON TABLES TO twofold_reader;

-- name: rights
-- What this user could do to events, itself or as any role that it may become. No row where there is no event log.
-- -> the user, and what it could do ("OWNER": own the table, and so do anything)
SELECT session_user::text, array_remove(ARRAY[
           CASE WHEN bool_or(rolsuper) THEN 'SUPERUSER' END,
           CASE WHEN bool_or(acting.oid = relowner) THEN 'OWNER' END,
           CASE WHEN bool_or(has_any_column_privilege(acting.oid, event.oid, 'INSERT')) THEN 'INSERT' END,
           CASE WHEN bool_or(has_any_column_privilege(acting.oid, event.oid, 'UPDATE')) THEN 'UPDATE' END,
           CASE WHEN bool_or(has_table_privilege(acting.oid, event.oid, 'DELETE')) THEN 'DELETE' END,
           CASE WHEN bool_or(has_table_privilege(acting.oid, event.oid, 'TRUNCATE')) THEN 'TRUNCATE' END], NULL)
  FROM pg_class AS event
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
  JOIN pg_roles AS acting ON pg_has_role(session_user, acting.oid, 'MEMBER')
 WHERE nspname = 'twofold_log'
   AND relname = 'event'
 GROUP BY event.oid;

-- name: schemas
-- -> those of the schemas that are in this database
SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s) ORDER BY nspname;
