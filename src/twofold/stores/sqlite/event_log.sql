-- The event log. Lists go in as JSON arrays and come out as JSON arrays, one row for all, because every row costs a
-- change of threads (threads.py). Texts of many rows come out as one, divided by U+001E, which no JSON text contains.

-- name: prepare_writer
-- Rows of `incoming` become an event, a command record, or both: so a whole batch, with its commit, is one INSERT.
CREATE TEMP VIEW incoming AS
SELECT NULL AS position, NULL AS stream, NULL AS version, NULL AS type, NULL AS schema_version, NULL AS data,
       NULL AS metadata, NULL AS recorded_at,
       NULL AS command_id, NULL AS fingerprint, NULL AS command_stream, NULL AS command_version,
       NULL AS command_position, NULL AS event_count;

CREATE TEMP TRIGGER incoming_is_stored INSTEAD OF INSERT ON incoming
BEGIN
    INSERT INTO event (position, stream, version, type, schema_version, data, metadata, recorded_at)
    SELECT NEW.position, NEW.stream, NEW.version, NEW.type, NEW.schema_version, CAST(NEW.data AS TEXT),
           CAST(NEW.metadata AS TEXT), NEW.recorded_at
     WHERE NEW.position IS NOT NULL;

    INSERT INTO command (command_id, fingerprint, stream, version, position, event_count)
    SELECT NEW.command_id, NEW.fingerprint, NEW.command_stream, NEW.command_version, NEW.command_position,
           NEW.event_count
     WHERE NEW.command_id IS NOT NULL;
END;

-- name: store
-- {rows} is as many rows of parameters as wanted. OR ROLLBACK, because under OR ABORT SQLite keeps a copy of every page
-- that it touches, to undo the statement alone: 0.9 instead of 0.3 ms for 64 events with their command records.
INSERT OR ROLLBACK INTO incoming VALUES {rows};

-- name: head
-- -> position of the last event, 0 in an empty log
SELECT coalesce(max(position), 0) FROM event;

-- name: versions
-- :streams (JSON array) -> JSON array of their versions, in its order
SELECT json_group_array((SELECT coalesce(max(version), 0) FROM event WHERE stream = wanted.value))
  FROM json_each(:streams) AS wanted;

-- name: commands
-- :command_ids (JSON array) -> JSON array of the known ones' records
SELECT json_group_array(
           json_array(command_id, hex(fingerprint), stream, command.version, position, event_count))
  FROM json_each(:command_ids) AS wanted
  JOIN command ON command_id = wanted.value;

-- name: read
-- Events of the whole log in order of position.
-- :after :limit -> columns, each as one value
SELECT json_group_array(position), json_group_array(stream), json_group_array(version), json_group_array(type),
       json_group_array(schema_version), CAST(group_concat(data, char(30)) AS BLOB),
       CAST(group_concat(metadata, char(30)) AS BLOB), json_group_array(recorded_at)
  FROM (SELECT * FROM event WHERE position > :after ORDER BY position LIMIT :limit);

-- name: read_rows
-- The same, row by row: for events so large that one value can't hold many of them.
-- :after :limit -> event.*
SELECT position, stream, version, type, schema_version, CAST(data AS BLOB), CAST(metadata AS BLOB), recorded_at
  FROM event
 WHERE position > :after
 ORDER BY position
 LIMIT :limit;

-- name: read_streams
-- Events of several streams, stream by stream in order of version. CROSS JOIN keeps the order of the loops, and the index
-- that of the versions; an ORDER BY would sort again (0.7 of the rate), so the reader checks the order instead.
-- :wanted (JSON array of [stream, after version]) :limit (of each) -> index in :wanted, and columns as in `read`
SELECT json_group_array(wanted), json_group_array(position), json_group_array(stream), json_group_array(version),
       json_group_array(type), json_group_array(schema_version), CAST(group_concat(data, char(30)) AS BLOB),
       CAST(group_concat(metadata, char(30)) AS BLOB), json_group_array(recorded_at)
  FROM (SELECT each.key AS wanted, event.*
          FROM json_each(:wanted) AS each
         CROSS JOIN event
         WHERE event.stream = json_extract(each.value, '$[0]')
           AND event.version > json_extract(each.value, '$[1]')
           AND event.version <= json_extract(each.value, '$[1]') + :limit);

-- name: read_stream_rows
-- :stream :after :limit -> event.*
SELECT position, stream, version, type, schema_version, CAST(data AS BLOB), CAST(metadata AS BLOB), recorded_at
  FROM event
 WHERE stream = :stream
   AND version > :after
 ORDER BY version
 LIMIT :limit;

-- name: save_snapshots
-- :snapshots (JSON array of [stream, version, fingerprint, state])
INSERT INTO snapshot (stream, version, fingerprint, state)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]')
  FROM json_each(:snapshots)
 WHERE true
    ON CONFLICT (stream) DO UPDATE
   SET version = excluded.version, fingerprint = excluded.fingerprint, state = excluded.state;

-- name: load_snapshots
-- :streams (JSON array) -> JSON array of [stream, version, fingerprint], and the states as one value
SELECT json_group_array(json_array(stream, version, fingerprint)), CAST(group_concat(state, char(30)) AS BLOB)
  FROM (SELECT snapshot.* FROM json_each(:streams) AS wanted JOIN snapshot ON stream = wanted.value);
