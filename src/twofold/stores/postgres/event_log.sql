-- The event log. Lists of numbers go in as array literals, lists of texts as one text divided by U+001E: psycopg's own
-- arrays cost two to three times the client's CPU. Bytes come back for what is decoded later.

-- name: append
-- -> before: the head that the batch met; refused: NULL when every commit is appended (migrations/event_log)
SELECT before, refused FROM twofold_log.append($1::jsonb, $2, $3, $4);

-- name: head
-- -> position of the last event, 0 in an empty log
SELECT coalesce(max(position), 0) FROM twofold_log.event;

-- name: read
-- Events of the whole log in order of position. A page ends with the event that makes it %(enough)s bytes.
SELECT position, stream, version, type, schema_version, convert_to(data, 'UTF8'), convert_to(metadata, 'UTF8'), recorded_at
  FROM (SELECT *, sum(octet_length(data) + octet_length(metadata)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes
          FROM (SELECT *
                  FROM twofold_log.event
                 WHERE position > %(after)s
                 ORDER BY position
                 LIMIT %(limit)s) AS next) AS page
 WHERE bytes - octet_length(data) - octet_length(metadata) < %(enough)s;

-- name: read_streams
-- Events of several streams, stream by stream in order of version: the join is a loop in the order of `wanted`.
-- -> number in `wanted`, from 1, and the event
SELECT wanted.n, position, stream, version, type, schema_version, convert_to(data, 'UTF8'), convert_to(metadata, 'UTF8'),
       recorded_at
  FROM unnest(string_to_array(%(streams)s, chr(30)), %(after)s::int[]) WITH ORDINALITY AS wanted(name, after, n)
 CROSS JOIN LATERAL (SELECT *
                       FROM twofold_log.event
                      WHERE event.stream = wanted.name
                        AND event.version > wanted.after
                      ORDER BY event.version
                      LIMIT %(limit)s) AS next;

-- name: save_snapshots
-- In the order of their names, so that two that save the same ones do not wait for each other in a ring. (One empty
-- text, divided, is no text at all.)
INSERT INTO twofold_log.snapshot (stream, version, fingerprint, state)
SELECT new.stream, new.version, coalesce(new.fingerprint, ''), new.state
  FROM unnest(string_to_array(%(streams)s, chr(30)), %(versions)s::int[], string_to_array(%(fingerprints)s, chr(30)),
              string_to_array(%(states)s, chr(30))) AS new(stream, version, fingerprint, state)
 ORDER BY new.stream
    ON CONFLICT (stream) DO UPDATE
   SET version = excluded.version, fingerprint = excluded.fingerprint, state = excluded.state;

-- name: load_snapshots
SELECT stream, version, fingerprint, convert_to(state, 'UTF8')
  FROM unnest(string_to_array(%(streams)s, chr(30))) AS wanted
  JOIN twofold_log.snapshot ON snapshot.stream = wanted;

-- name: listen
LISTEN twofold_log;

-- name: announce
-- The transaction has an id because of the notification, and would wait for the disk.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('twofold_log', $1);
