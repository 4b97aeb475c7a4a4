-- Events in their one order. Times are microseconds since 1970-01-01 UTC; data and metadata are JSON as it came.
-- "C" compares bytes: names of streams and commands are equal or not, and their order means nothing.
CREATE TABLE twofold_log.event (
    position       bigint  NOT NULL PRIMARY KEY,
    recorded_at    bigint  NOT NULL,
    version        integer NOT NULL,
    schema_version integer NOT NULL,
    stream         text    COLLATE "C" NOT NULL,
    type           text    COLLATE "C" NOT NULL,
    data           text    COLLATE "C" NOT NULL,
    metadata       text    COLLATE "C" NOT NULL,
    UNIQUE (stream, version)
);

CREATE FUNCTION twofold_log.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or deleted' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON twofold_log.event
    FOR EACH STATEMENT EXECUTE FUNCTION twofold_log.refuse_change();

-- The first answer to each command id: its events are the stream's last event_count up to version.
CREATE TABLE twofold_log.command (
    command_id  text    COLLATE "C" NOT NULL PRIMARY KEY,
    position    bigint  NOT NULL,
    version     integer NOT NULL,
    event_count integer NOT NULL,
    stream      text    COLLATE "C" NOT NULL,
    fingerprint bytea   NOT NULL
);

-- Stored states of aggregates; every row may be deleted.
CREATE TABLE twofold_log.snapshot (
    stream      text    COLLATE "C" NOT NULL PRIMARY KEY,
    version     integer NOT NULL,
    fingerprint text    NOT NULL,
    state       text    NOT NULL
);

-- The one row whose lock puts appends in order. It is never updated: a row with thousands of versions a second grows
-- slow behind any transaction that is left open anywhere on the server.
CREATE TABLE twofold_log.head (
    only_one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO twofold_log.head DEFAULT VALUES;
