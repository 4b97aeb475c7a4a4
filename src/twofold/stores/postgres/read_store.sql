-- The read store's statements. What is in braces depends on a read model's table: names (quoted), and terms made of them.
-- Their parameters are numbered, as PostgreSQL has them: many rows come as one array for each column.

-- == connections ==

-- name: encoding
SELECT current_setting('server_encoding');

-- name: listen
LISTEN twofold_read;

-- name: notify
NOTIFY twofold_read;

-- == read models ==

-- name: lock
SELECT twofold_read.twofold_lock();

-- name: considerate
-- Of transactions on tables: durable, and soon over if their process is stopped, since others wait for their locks.
SELECT set_config('synchronous_commit', 'on', true), set_config('idle_in_transaction_session_timeout', '1s', true);

-- name: patience
-- How long a table may be waited for, while everyone who comes later waits behind this transaction.
SELECT set_config('lock_timeout', $1, true);

-- name: checkpoints
-- -> read_model, partition, position, epoch, holder, fingerprint, fold_fingerprint, paused, error
SELECT read_model, partition, position, epoch, holder, fingerprint, fold_fingerprint, paused, error
  FROM twofold_read.twofold_checkpoints();

-- name: checkpoint
-- $1 read_model -> as checkpoints
SELECT read_model, partition, position, epoch, holder, fingerprint, fold_fingerprint, paused, error
  FROM twofold_read.twofold_checkpoints()
 WHERE read_model = $1;

-- name: place
-- $1 read_model -> table_name, paused
SELECT table_name, paused
  FROM twofold_read.twofold_read_model
 WHERE read_model = $1;

-- name: tables
-- $1 read_models -> table_name
SELECT table_name
  FROM twofold_read.twofold_read_model
 WHERE read_model = ANY ($1::text[])
 ORDER BY table_name;

-- name: lock_table
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- name: lock_shares
-- After the tables, as saves do: they come to their table when they are planned, and then to their shares.
-- $1 read_models
SELECT FROM twofold_read.twofold_lease
 WHERE read_model = ANY ($1::text[])
 ORDER BY read_model, partition
   FOR UPDATE;

-- name: holder
-- Whose table it is.
-- $1 table_name -> read_model, fingerprint
SELECT read_model, fingerprint
  FROM twofold_read.twofold_read_model
 WHERE lower(table_name) = lower($1);

-- name: put_read_model
-- $1 read_model $2 table_name $3 fingerprint $4 fold_fingerprint $5 partitions $6 paused
WITH model AS (
     INSERT INTO twofold_read.twofold_read_model
            (read_model, table_name, generation, fingerprint, fold_fingerprint, partitions, paused)
     VALUES ($1, $2, nextval('twofold_read.twofold_epoch'), $3, $4, $5, $6)
  RETURNING read_model, generation, partitions),
partition AS (
     SELECT model.read_model, number.partition, model.generation
       FROM model CROSS JOIN LATERAL generate_series(0, model.partitions - 1) AS number (partition)),
lease AS (
     INSERT INTO twofold_read.twofold_lease (read_model, partition, generation, epoch)
     SELECT read_model, partition, generation, nextval('twofold_read.twofold_epoch') FROM partition)
INSERT INTO twofold_read.twofold_checkpoint (generation, partition, position)
SELECT generation, partition, 0 FROM partition;

-- name: remove_read_model
-- $1 read_model
WITH model AS (
     DELETE FROM twofold_read.twofold_read_model WHERE read_model = $1 RETURNING generation),
lease AS (
     DELETE FROM twofold_read.twofold_lease WHERE read_model = $1)
DELETE FROM twofold_read.twofold_checkpoint USING model
 WHERE twofold_checkpoint.generation = model.generation;

-- name: rename_read_model
-- Under new epochs, which nobody holds.
-- $1 read_model $2 its new name $3 table_name $4 paused
WITH model AS (
     UPDATE twofold_read.twofold_read_model SET read_model = $2, table_name = $3, paused = $4 WHERE read_model = $1)
UPDATE twofold_read.twofold_lease
   SET read_model = $2, epoch = nextval('twofold_read.twofold_epoch'), holder = '', expires_at = '-infinity'
 WHERE read_model = $1;

-- name: set_paused
-- $1 read_model $2 paused
UPDATE twofold_read.twofold_read_model
   SET paused = $2
 WHERE read_model = $1;

-- == leases ==

-- name: take_turn
-- $1 holder $2 wanted: what hinders it, by read model $3 lease_s -> as checkpoints
SELECT read_model, partition, position, epoch, holder, fingerprint, fold_fingerprint, paused, error
  FROM twofold_read.twofold_take_turn($1, $2::jsonb, $3::double precision);

-- name: seize
-- $1 holder $2 read_model $3 lease_s $4 force -> as checkpoint
SELECT read_model, partition, position, epoch, holder, fingerprint, fold_fingerprint, paused, error
  FROM twofold_read.twofold_seize($1, $2, $3::double precision, $4);

-- name: release
-- $1 holder
SELECT twofold_read.twofold_release($1);

-- name: move
-- The fence of a save and its checkpoints; fails when the shares are not the stored ones.
-- $1 read_model $2 partitions $3 epochs $4 positions $5 through
SELECT twofold_read.twofold_move($1, $2::integer[], $3::bigint[], $4::bigint[], $5);

-- == a read model's table ==

-- name: create_table
-- Room in each page for the next version of a row, so that it need not move (and need no new entries in the indexes).
CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) WITH (fillfactor = 80);

-- name: create_index
CREATE INDEX ON {table} ({terms});

-- name: create_search
CREATE INDEX ON {table} USING gin ("#words");

-- name: drop_table
DROP TABLE IF EXISTS {table};

-- name: rename_table
ALTER TABLE {table} RENAME TO {name};

-- name: save
-- A save is one statement: of a transaction in several, a process that is stopped between them would keep everybody
-- else from taking over what it has locked.
WITH fence AS MATERIALIZED ({move})
{work};

-- name: save_both
WITH fence AS MATERIALIZED ({move}),
gone AS ({delete})
{work};

-- name: save_rows
INSERT INTO {table} ({columns})
SELECT {names} FROM fence CROSS JOIN unnest({arrays}) AS saved ({names})
    ON CONFLICT ({key}) DO UPDATE SET {changes}

-- name: save_keys
-- Of a table that has no columns but its key.
INSERT INTO {table} ({columns})
SELECT {names} FROM fence CROSS JOIN unnest({arrays}) AS saved ({names})
    ON CONFLICT ({key}) DO NOTHING

-- name: delete_rows
DELETE FROM {table} AS found
 USING fence CROSS JOIN unnest({arrays}) AS wanted ({names})
 WHERE {key}

-- == reading rows ==

-- name: load
SELECT {columns}
  FROM unnest({arrays}) AS wanted ({names}) JOIN {table} AS found ON {key};

-- name: load_single
-- By a key of one column.
SELECT {columns}
  FROM {table} AS found
 WHERE found.{name} = ANY ({array});

-- name: find
SELECT {columns}
  FROM {table} AS found
 WHERE {conditions}
 ORDER BY {order}
 LIMIT {limit};

-- name: count
SELECT count(*)
  FROM {table} AS found
 WHERE {conditions};

-- name: place_of_row
-- Where a row stands in an order: the values that it is sorted by.
SELECT {terms}
  FROM {table} AS found
 WHERE {key};

-- name: search
-- The more of the words and the fewer others, the better.
-- $1 the words $2 how many
SELECT {columns}
  FROM {table} AS found
 WHERE found."#words" @@ $1::tsquery
 ORDER BY ts_rank(found."#words", $1::tsquery, 16) DESC, {order}
 LIMIT $2;

-- name: begin_reading
-- One state of the database for several statements; a table that was looked into is not renamed meanwhile.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: begin_foreign
-- For somebody else's SQL, which finds read models' tables by their bare names.
BEGIN READ ONLY;

-- name: reading_path
SELECT set_config('search_path', 'twofold_read', true);

-- name: end
ROLLBACK;

-- == terms ==

-- name: exact
-- A value that the column can't hold to the last digit and offset is written out beside it.
coalesce(found."#written" ->> {literal}, {text})

-- name: decimal_text
{x}::text

-- name: datetime_text
to_json({x} AT TIME ZONE 'UTC') #>> '{{}}' || 'Z'
