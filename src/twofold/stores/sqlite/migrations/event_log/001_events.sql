-- Events in their one order. Times are microseconds since 1970-01-01 UTC; data and metadata are JSON.
CREATE TABLE event (
    position       INTEGER PRIMARY KEY,
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    data           TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    recorded_at    INTEGER NOT NULL,
    UNIQUE (stream, version)
) STRICT;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN
    SELECT raise(ABORT, 'events are never changed');
END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN
    SELECT raise(ABORT, 'events are never deleted');
END;

-- The first answer to each command id: its events are the stream's last event_count up to version.
CREATE TABLE command (
    command_id  TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    stream      TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    event_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Stored states of aggregates; every row may be deleted.
CREATE TABLE snapshot (
    stream      TEXT    PRIMARY KEY,
    version     INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    state       TEXT    NOT NULL
) STRICT;
