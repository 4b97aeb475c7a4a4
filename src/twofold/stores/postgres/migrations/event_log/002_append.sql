-- Appends a batch of commits in one transaction, by the rules of `EventLog.append` (ports.py); stores/admission.py has them
-- in the plainest words. The batch is columns: numbers as array literals, texts joined by U+001E, which none contains.
-- Commits, streams and command ids are numbered from 1.
--
--   streams, first   the streams, and the version that the first commit of each expects
--   ids, id_commit   the command ids, and the commit that records each (0: commits that only check name it)
--   chained          whether every commit expects what the commits before it leave, and no command id comes twice
--   call, stream, expected, events, through, command, checks, fingerprint
--                    of each commit: the caller's batch that it is of, its stream, the expected version, how many events,
--                    how many up to and with it, its command id (0: none), 1 if it only checks, the fingerprint as \x and hex
--   of, version, schema, at, type, and `data` and `metadata` beside the batch
--                    of each event: its commit, the version that it will have, …
--
-- The lock on the one row of `head` makes appends go one after another. What they look at then is read by statements
-- that begin when the lock is held (READ COMMITTED: each has a snapshot of its own), so nothing committed is missed.
--
-- The planner is told to use indexes: its plans are kept, also those made while the tables were empty.
CREATE FUNCTION twofold_log.append(batch jsonb, data text, metadata text, again boolean,
                                   OUT before bigint, OUT refused jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    separator   constant text := chr(30);
    streams     text[] := string_to_array(batch ->> 'streams', separator);
    ids         text[] := string_to_array(batch ->> 'ids', separator);
    stream_of   int[]  := batch ->> 'stream';
    expected    int[]  := batch ->> 'expected';
    events      int[]  := batch ->> 'events';
    through     int[]  := batch ->> 'through';
    fingerprint text[] := string_to_array(batch ->> 'fingerprint', separator);
    first_of    int[]  := batch ->> 'first';  -- what is taken apart here is not while others wait for the lock
    id_commit   int[]  := batch ->> 'id_commit';
    commit_of   int[]  := batch ->> 'of';
    versions    int[]  := batch ->> 'version';
    schemas     int[]  := batch ->> 'schema';
    times       bigint[] := batch ->> 'at';
    types       text[] := string_to_array(batch ->> 'type', separator);
    texts       text[] := string_to_array(data, separator);
    contexts    text[] := string_to_array(metadata, separator);
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'twofold_log.append needs the isolation level read committed, and found %',
            current_setting('transaction_isolation') USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN  -- acknowledged means durable
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM FROM twofold_log.head FOR UPDATE;
    before := coalesce((SELECT max(event.position) FROM twofold_log.event), 0);

    IF again OR NOT (batch -> 'chained')::boolean
       OR (SELECT bool_or((SELECT max(event.version) FROM twofold_log.event
                            WHERE event.stream = wanted.stream AND event.version >= wanted.first)
                          IS DISTINCT FROM nullif(wanted.first, 0))
             FROM unnest(streams, first_of) AS wanted(stream, first))
       OR EXISTS (SELECT FROM twofold_log.command WHERE command_id = ANY (ids)) THEN
        refused := twofold_log.append_some(batch, data, metadata, again, before);
        RETURN;
    END IF;

    INSERT INTO twofold_log.event (position, recorded_at, version, schema_version, stream, type, data, metadata)
    SELECT before + n, at, new.version, new.schema, streams[stream_of[of]], new.type, new.data, new.metadata
      FROM unnest(commit_of, times, versions, schemas, types, texts, contexts)
           WITH ORDINALITY AS new(of, at, version, schema, type, data, metadata, n);

    INSERT INTO twofold_log.command (command_id, position, version, event_count, stream, fingerprint)
    SELECT id, before + through[of], expected[of] + events[of], events[of], streams[stream_of[of]],
           fingerprint[of]::bytea
      FROM unnest(ids, id_commit) AS new(id, of)
     WHERE of > 0;
END
$$;

-- The rest of `append`, for a batch of which some may be refused: commit after commit.
--
-- With `again` the batch was sent before and its answer lost: commits whose events (or whose record) are in the log
-- exactly as they are here are done, and the others are decided anew. Metadata hold ids that are made for each command,
-- so what is equal is the same.
--
-- -> conflicts [[commit, actual version]], duplicates [[commit, the record's columns …]], done [[commit, position]]
CREATE FUNCTION twofold_log.append_some(batch jsonb, data text, metadata text, again boolean, before bigint)
RETURNS jsonb LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    separator   constant text := chr(30);
    streams     text[] := string_to_array(batch ->> 'streams', separator);
    ids         text[] := string_to_array(batch ->> 'ids', separator);
    call        int[]  := batch ->> 'call';
    stream_of   int[]  := batch ->> 'stream';
    expected    int[]  := batch ->> 'expected';
    events      int[]  := batch ->> 'events';
    command     int[]  := batch ->> 'command';
    checks      int[]  := batch ->> 'checks';
    fingerprint text[] := string_to_array(batch ->> 'fingerprint', separator);
    versions    int[]  := ARRAY(SELECT coalesce((SELECT max(event.version) FROM twofold_log.event
                                                  WHERE event.stream = wanted), 0) FROM unnest(streams) AS wanted);
    known       bool[] := ARRAY(SELECT EXISTS (SELECT FROM twofold_log.command WHERE command_id = wanted)
                                  FROM unnest(ids) AS wanted);
    refused_in  int[]  := array_fill(0, ARRAY[cardinality(streams)]);
    done        bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(call)]);
    conflict    int[]  := array_fill(NULL::int, ARRAY[cardinality(call)]);
    duplicate   int[]  := array_fill(NULL::int, ARRAY[cardinality(call)]);
    through     int[]  := array_fill(NULL::int, ARRAY[cardinality(call)]);
    id_commit   int[]  := array_fill(0, ARRAY[cardinality(ids)]);
    taken       int    := 0;
    s           int;
    found       record;
BEGIN
    IF again THEN
        FOR found IN SELECT * FROM twofold_log.done_before(batch, data, metadata) LOOP
            done[found.of] := found.at;
        END LOOP;
    END IF;

    FOR n IN 1 .. cardinality(call) LOOP
        s := stream_of[n];
        IF done[n] IS NOT NULL THEN
            CONTINUE;
        ELSIF command[n] > 0 AND known[command[n]] THEN
            duplicate[n] := command[n];
        ELSIF versions[s] <> expected[n] OR refused_in[s] = call[n] THEN
            conflict[n] := versions[s];
        ELSE
            IF checks[n] = 0 THEN
                taken := taken + events[n];
                through[n] := taken;
                versions[s] := versions[s] + events[n];
                IF command[n] > 0 THEN
                    known[command[n]] := true;
                    id_commit[command[n]] := n;
                END IF;
            END IF;
            CONTINUE;
        END IF;
        IF events[n] > 0 THEN
            refused_in[s] := call[n];
        END IF;
    END LOOP;

    INSERT INTO twofold_log.event (position, recorded_at, version, schema_version, stream, type, data, metadata)
    SELECT before + row_number() OVER (ORDER BY n), at, new.version, new.schema, streams[stream_of[of]], new.type,
           new.data, new.metadata
      FROM unnest((batch ->> 'of')::int[], (batch ->> 'at')::bigint[], (batch ->> 'version')::int[],
                  (batch ->> 'schema')::int[], string_to_array(batch ->> 'type', separator),
                  string_to_array(append_some.data, separator), string_to_array(append_some.metadata, separator))
           WITH ORDINALITY AS new(of, at, version, schema, type, data, metadata, n)
     WHERE through[of] IS NOT NULL;

    INSERT INTO twofold_log.command (command_id, position, version, event_count, stream, fingerprint)
    SELECT id, before + through[of], expected[of] + events[of], events[of], streams[stream_of[of]],
           fingerprint[of]::bytea
      FROM unnest(ids, id_commit) AS new(id, of)
     WHERE of > 0;

    RETURN jsonb_build_object(
        'conflicts', (SELECT coalesce(jsonb_agg(jsonb_build_array(n, actual)), '[]')
                        FROM unnest(conflict) WITH ORDINALITY AS refused(actual, n) WHERE actual IS NOT NULL),
        'duplicates', (SELECT coalesce(jsonb_agg(jsonb_build_array(n, command_id, encode(first.fingerprint, 'hex'),
                                                                   stream, version, position, event_count)), '[]')
                         FROM unnest(duplicate) WITH ORDINALITY AS refused(id, n)
                         JOIN twofold_log.command AS first ON command_id = ids[id]),
        'done', (SELECT coalesce(jsonb_agg(jsonb_build_array(n, at)), '[]')
                   FROM unnest(done) WITH ORDINALITY AS appended(at, n) WHERE at IS NOT NULL));
END
$$;

-- -> the commits of a batch that are in the log already, with the positions of their answers
CREATE FUNCTION twofold_log.done_before(batch jsonb, data text, metadata text)
RETURNS TABLE (of int, at bigint) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH commits AS (
        SELECT n::int, streams[stream] AS stream, expected, events, ids[command] AS id, fingerprint::bytea AS digest
          FROM (SELECT string_to_array(batch ->> 'streams', chr(30)), string_to_array(batch ->> 'ids', chr(30)))
               AS names(streams, ids),
               unnest((batch ->> 'stream')::int[], (batch ->> 'expected')::int[], (batch ->> 'events')::int[],
                      (batch ->> 'command')::int[], (batch ->> 'checks')::int[],
                      string_to_array(batch ->> 'fingerprint', chr(30)))
               WITH ORDINALITY AS each(stream, expected, events, command, checks, fingerprint, n)
         WHERE checks = 0
    ), sent AS (
        SELECT * FROM unnest((batch ->> 'of')::int[], (batch ->> 'at')::bigint[], (batch ->> 'version')::int[],
                             (batch ->> 'schema')::int[], string_to_array(batch ->> 'type', chr(30)),
                             string_to_array(done_before.data, chr(30)), string_to_array(done_before.metadata, chr(30)))
                      AS each(of, at, version, schema, type, data, metadata)
    )
    SELECT n, max(event.position)
      FROM commits
      JOIN sent ON sent.of = n
      JOIN twofold_log.event ON event.stream = commits.stream AND event.version = sent.version
     WHERE (event.recorded_at, event.schema_version, event.type, event.data, event.metadata)
           = (sent.at, sent.schema, sent.type, sent.data, sent.metadata)
     GROUP BY n, events
    HAVING count(*) = events
     UNION ALL
    SELECT n, command.position
      FROM commits
      JOIN twofold_log.command ON command.command_id = commits.id
     WHERE events = 0
       AND (command.stream, command.version, command.event_count, command.fingerprint)
           = (commits.stream, commits.expected, 0, commits.digest)
$$;

REVOKE ALL ON FUNCTION twofold_log.append, twofold_log.append_some, twofold_log.done_before, twofold_log.refuse_change
  FROM PUBLIC;
