-- What the read store knows of its read models beside their own tables, which are made when a projector opens them.

-- Epochs and generations: one sequence, so that none was ever used before.
CREATE SEQUENCE twofold_read.twofold_epoch;

-- Each read model's table. `generation` changes when the table is made anew, and stays when it is renamed.
CREATE TABLE twofold_read.twofold_read_model (
    read_model       text    COLLATE "C" NOT NULL PRIMARY KEY,
    table_name       text    COLLATE "C" NOT NULL,
    generation       bigint  NOT NULL UNIQUE,
    fingerprint      text    NOT NULL,
    fold_fingerprint text    NOT NULL,
    partitions       integer NOT NULL,
    paused           boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX ON twofold_read.twofold_read_model (lower(table_name));

-- How far the partitions have come. A move inserts a row and deletes the one before it, so that the newest is the first
-- that a look from the end of the index meets, and the fence deletes exactly the row it expects. (A row updated
-- thousands of times a minute gets slow to find while some transaction stays open and keeps all its versions.)
CREATE TABLE twofold_read.twofold_checkpoint (
    generation bigint  NOT NULL,
    partition  integer NOT NULL,
    position   bigint  NOT NULL,
    PRIMARY KEY (generation, partition, position)
);

-- Who may move them: the holder, whose epoch fences off all earlier ones. A lease that has run out is the holder's
-- until another takes it.
CREATE TABLE twofold_read.twofold_lease (
    read_model text        COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    generation bigint      NOT NULL,
    epoch      bigint      NOT NULL,
    holder     text        COLLATE "C" NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (read_model, partition)
);

-- Which workers want a read model, until when that counts, and what hinders each ('' for nothing).
CREATE TABLE twofold_read.twofold_worker (
    holder     text        COLLATE "C" NOT NULL,
    read_model text        COLLATE "C" NOT NULL,
    error      text        NOT NULL,
    said_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (holder, read_model)
);

-- Which of the workers that want it is to hold a partition. Its holder gives it back at its next turn if that is another,
-- who takes it then; nobody else does meanwhile.
CREATE TABLE twofold_read.twofold_assignment (
    read_model text    COLLATE "C" NOT NULL,
    partition  integer NOT NULL,
    holder     text    COLLATE "C" NOT NULL,
    PRIMARY KEY (read_model, partition)
);

-- Everything about the read models and their partitions, a row for each partition.
CREATE FUNCTION twofold_read.twofold_checkpoints()
RETURNS TABLE (
    read_model text, partition integer, "position" bigint, epoch bigint, holder text, fingerprint text,
    fold_fingerprint text, paused boolean, error text
)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT lease.read_model, lease.partition, newest.position, lease.epoch,
           CASE WHEN lease.expires_at > clock_timestamp() THEN lease.holder ELSE '' END,
           model.fingerprint, model.fold_fingerprint, model.paused, coalesce(said.error, '')
      FROM twofold_read.twofold_lease AS lease
      JOIN twofold_read.twofold_read_model AS model ON model.read_model = lease.read_model
      CROSS JOIN LATERAL (
           SELECT moved.position
             FROM twofold_read.twofold_checkpoint AS moved
            WHERE moved.generation = lease.generation AND moved.partition = lease.partition
            ORDER BY moved.position DESC
            LIMIT 1) AS newest
      LEFT JOIN LATERAL (
           SELECT worker.error
             FROM twofold_read.twofold_worker AS worker
            WHERE worker.read_model = lease.read_model AND worker.error <> ''
              AND worker.expires_at > clock_timestamp()
            ORDER BY worker.said_at DESC
            LIMIT 1) AS said ON true
     ORDER BY lease.read_model, lease.partition;
END $$;

-- The fence of a save, and its checkpoints: moves the shares to `through`, or raises TWF01 when any of them is not as the
-- worker has it. Their leases are locked first, always in the same order. (One statement: it takes three quarters of the
-- time of three.)
CREATE FUNCTION twofold_read.twofold_move(
    of_read_model text, partitions integer[], epochs bigint[], positions bigint[], through bigint
)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    moved integer;
BEGIN
    WITH held AS MATERIALIZED (
         SELECT lease.generation, lease.partition, share.position
           FROM unnest(partitions, epochs, positions) AS share (partition, epoch, position)
           JOIN twofold_read.twofold_lease AS lease
             ON lease.read_model = of_read_model AND lease.partition = share.partition AND lease.epoch = share.epoch
          ORDER BY lease.partition
            FOR NO KEY UPDATE OF lease),
    former AS (
         DELETE FROM twofold_read.twofold_checkpoint AS stored USING held
          WHERE stored.generation = held.generation AND stored.partition = held.partition
            AND stored.position = held.position
      RETURNING stored.generation, stored.partition)
    INSERT INTO twofold_read.twofold_checkpoint (generation, partition, position)
    SELECT generation, partition, through FROM former;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = 0 OR moved <> cardinality(partitions) THEN
        RAISE EXCEPTION 'the shares are not the stored ones' USING ERRCODE = 'TWF01';
    END IF;
END $$;

-- Who changes who holds what, and whoever makes, renames or drops tables, does so one after another.
CREATE FUNCTION twofold_read.twofold_lock() RETURNS void
LANGUAGE sql
RETURN pg_advisory_xact_lock(hashtextextended('twofold_read', 0));

-- Who is to hold what. Workers keep what they have and share out the rest evenly, counted over all that each wants; then
-- the richest hands one over to the poorest that wants it, while that leaves the poorer one no richer. What somebody who
-- is no worker has seized is nobody's.
CREATE FUNCTION twofold_read.twofold_assign(at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    loose record;
BEGIN
    DELETE FROM twofold_read.twofold_assignment AS assigned
     WHERE NOT EXISTS (
           SELECT FROM twofold_read.twofold_worker AS worker
            WHERE worker.holder = assigned.holder AND worker.read_model = assigned.read_model)
        OR NOT EXISTS (
           SELECT FROM twofold_read.twofold_shareable(at) AS lease
            WHERE lease.read_model = assigned.read_model AND lease.partition = assigned.partition);

    FOR loose IN
        SELECT lease.read_model, lease.partition, lease.holder
          FROM twofold_read.twofold_shareable(at) AS lease
         WHERE NOT EXISTS (
               SELECT FROM twofold_read.twofold_assignment AS assigned
                WHERE assigned.read_model = lease.read_model AND assigned.partition = lease.partition)
         ORDER BY lease.read_model, lease.partition
    LOOP
        INSERT INTO twofold_read.twofold_assignment (read_model, partition, holder)
        SELECT loose.read_model, loose.partition, worker.holder
          FROM twofold_read.twofold_worker AS worker
         WHERE worker.read_model = loose.read_model
         ORDER BY worker.holder <> loose.holder, twofold_read.twofold_load(worker.holder), worker.holder
         LIMIT 1;
    END LOOP;

    LOOP
        WITH load AS MATERIALIZED (
             SELECT worker.holder, twofold_read.twofold_load(worker.holder) AS shares
               FROM (SELECT DISTINCT holder FROM twofold_read.twofold_worker) AS worker),
        handed AS (
             SELECT assigned.read_model, assigned.partition, poor.holder
               FROM load AS rich
               JOIN twofold_read.twofold_assignment AS assigned ON assigned.holder = rich.holder
               JOIN twofold_read.twofold_worker AS worker ON worker.read_model = assigned.read_model
               JOIN load AS poor ON poor.holder = worker.holder
              WHERE poor.shares + 2 <= rich.shares
              ORDER BY rich.shares DESC, poor.shares,
                       (SELECT count(*) FROM twofold_read.twofold_assignment AS alike
                         WHERE alike.holder = rich.holder AND alike.read_model = assigned.read_model) DESC,
                       assigned.read_model, assigned.partition DESC
              LIMIT 1)
        UPDATE twofold_read.twofold_assignment AS assigned
           SET holder = handed.holder
          FROM handed
         WHERE assigned.read_model = handed.read_model AND assigned.partition = handed.partition;
        EXIT WHEN NOT FOUND;
    END LOOP;
END $$;

CREATE FUNCTION twofold_read.twofold_load(of_holder text) RETURNS bigint
LANGUAGE sql STABLE
RETURN (SELECT count(*) FROM twofold_read.twofold_assignment WHERE holder = of_holder);

-- The partitions that somebody wants, without those that somebody else has seized.
CREATE FUNCTION twofold_read.twofold_shareable(at timestamptz)
RETURNS TABLE (read_model text, partition integer, holder text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT lease.read_model, lease.partition, lease.holder
      FROM twofold_read.twofold_lease AS lease
     WHERE EXISTS (
           SELECT FROM twofold_read.twofold_worker AS worker WHERE worker.read_model = lease.read_model)
       AND (lease.expires_at <= at OR EXISTS (
           SELECT FROM twofold_read.twofold_worker AS worker
            WHERE worker.read_model = lease.read_model AND worker.holder = lease.holder));
END;

-- A worker's turn (twofold.ports.Leases.lease), and how things stand then. All that may change hands is locked first, in
-- the order in which saves lock it. One statement of the client's, as a save is: a process that is stopped while it holds
-- these locks would stop everybody else.
CREATE FUNCTION twofold_read.twofold_take_turn(me text, wanted jsonb, lease_s double precision)
RETURNS TABLE (
    read_model text, partition integer, "position" bigint, epoch bigint, holder text, fingerprint text,
    fold_fingerprint text, paused boolean, error text
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    at timestamptz;
    until timestamptz;
BEGIN
    PERFORM twofold_read.twofold_lock();
    at := clock_timestamp();
    until := at + make_interval(secs => lease_s);
    PERFORM FROM twofold_read.twofold_lease
      WHERE holder = me OR expires_at <= at
      ORDER BY read_model, partition
        FOR NO KEY UPDATE;

    DELETE FROM twofold_read.twofold_worker
     WHERE (expires_at <= at AND holder <> me) OR (holder = me AND NOT wanted ? read_model);
    INSERT INTO twofold_read.twofold_worker (holder, read_model, error, said_at, expires_at)
    SELECT me, model.read_model, wanted ->> model.read_model, at, until
      FROM twofold_read.twofold_read_model AS model
     WHERE wanted ? model.read_model
        ON CONFLICT (holder, read_model) DO UPDATE
       SET error = excluded.error, said_at = excluded.said_at, expires_at = excluded.expires_at;
    PERFORM twofold_read.twofold_assign(at);

    UPDATE twofold_read.twofold_lease AS lease
       SET holder = '', expires_at = '-infinity'
     WHERE holder = me AND NOT EXISTS (
           SELECT FROM twofold_read.twofold_assignment AS assigned
            WHERE assigned.read_model = lease.read_model AND assigned.partition = lease.partition
              AND assigned.holder = me);
    UPDATE twofold_read.twofold_lease SET expires_at = until WHERE holder = me;
    UPDATE twofold_read.twofold_lease AS lease
       SET holder = me, expires_at = until, epoch = nextval('twofold_read.twofold_epoch')
      FROM twofold_read.twofold_assignment AS assigned
     WHERE assigned.read_model = lease.read_model AND assigned.partition = lease.partition AND assigned.holder = me
       AND lease.expires_at <= at;
    IF FOUND THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN QUERY SELECT * FROM twofold_read.twofold_checkpoints();
END $$;

-- Takes every partition, under new epochs where another had it, or none (twofold.ports.Leases.seize); and how the read
-- model stands then.
CREATE FUNCTION twofold_read.twofold_seize(me text, of_read_model text, lease_s double precision, force boolean)
RETURNS TABLE (
    read_model text, partition integer, "position" bigint, epoch bigint, holder text, fingerprint text,
    fold_fingerprint text, paused boolean, error text
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    at timestamptz;
BEGIN
    PERFORM twofold_read.twofold_lock();
    at := clock_timestamp();
    PERFORM FROM twofold_read.twofold_lease
      WHERE read_model = of_read_model
      ORDER BY partition
        FOR NO KEY UPDATE;
    IF force OR NOT EXISTS (
        SELECT FROM twofold_read.twofold_lease
         WHERE read_model = of_read_model AND holder <> me AND expires_at > at
    ) THEN
        IF EXISTS (SELECT FROM twofold_read.twofold_lease WHERE read_model = of_read_model AND holder <> me) THEN
            PERFORM set_config('synchronous_commit', 'on', true);
        END IF;
        UPDATE twofold_read.twofold_lease
           SET epoch = CASE WHEN holder = me THEN epoch ELSE nextval('twofold_read.twofold_epoch') END,
               holder = me,
               expires_at = at + make_interval(secs => lease_s)
         WHERE read_model = of_read_model;
    END IF;
    RETURN QUERY SELECT * FROM twofold_read.twofold_checkpoints() WHERE read_model = of_read_model;
END $$;

-- Gives back whatever the worker has.
CREATE FUNCTION twofold_read.twofold_release(me text) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM twofold_read.twofold_lock();
    DELETE FROM twofold_read.twofold_worker WHERE holder = me;
    DELETE FROM twofold_read.twofold_assignment WHERE holder = me;
    PERFORM FROM twofold_read.twofold_lease WHERE holder = me ORDER BY read_model, partition FOR NO KEY UPDATE;
    UPDATE twofold_read.twofold_lease SET holder = '', expires_at = '-infinity' WHERE holder = me;
END $$;
