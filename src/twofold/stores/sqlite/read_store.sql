-- The read store's statements. What is in braces depends on a read model's table: names (quoted), and terms made of them.

-- name: configure_writer
-- Rows and checkpoint are one transaction: after a power cut both stand at an earlier commit, and are folded again.
-- The full-text indexes are fed by triggers, where SQLite distrusts FTS5 by default; whoever can write this file can
-- write the rows as well.
PRAGMA synchronous = NORMAL;
PRAGMA trusted_schema = ON;

-- name: read_together
BEGIN;

-- == checkpoints ==

-- name: standings
-- Of one read model, or of all where :read_model is NULL; a row per partition.
-- :read_model -> read_model, table_name, generation, fingerprint, fold_fingerprint, paused, partition, epoch, position
SELECT read_model, table_name, generation, fingerprint, fold_fingerprint, paused, partition, epoch, position
  FROM twofold_read_model JOIN twofold_checkpoint USING (read_model)
 WHERE :read_model IS NULL OR read_model = :read_model
 ORDER BY read_model, partition;

-- name: holder
-- Whose table it is.
-- :table_name -> read_model, generation, fingerprint
SELECT read_model, generation, fingerprint
  FROM twofold_read_model
 WHERE table_name = :table_name;

-- name: table_of
-- :read_model -> generation, fingerprint
SELECT generation, fingerprint
  FROM twofold_read_model
 WHERE read_model = :read_model;

-- name: next_epoch
-- -> epoch
UPDATE twofold_epoch
   SET newest = newest + 1
RETURNING newest;

-- name: put_read_model
-- :read_model :table_name :generation :fingerprint :fold_fingerprint :paused
INSERT INTO twofold_read_model (read_model, table_name, generation, fingerprint, fold_fingerprint, paused)
VALUES (:read_model, :table_name, :generation, :fingerprint, :fold_fingerprint, :paused);

-- name: put_checkpoint
-- :read_model :partition :epoch :position
INSERT INTO twofold_checkpoint (read_model, partition, epoch, position)
VALUES (:read_model, :partition, :epoch, :position);

-- name: take
-- :read_model :partition :epoch
UPDATE twofold_checkpoint
   SET epoch = :epoch
 WHERE read_model = :read_model AND partition = :partition;

-- name: advance
-- Touches no row when another worker has the partition or has moved it.
-- :read_model :partition :epoch :position :through
UPDATE twofold_checkpoint
   SET position = :through
 WHERE read_model = :read_model AND partition = :partition AND epoch = :epoch AND position = :position;

-- name: remove_read_model
-- :read_model
DELETE FROM twofold_read_model
 WHERE read_model = :read_model;

-- name: remove_checkpoints
-- :read_model
DELETE FROM twofold_checkpoint
 WHERE read_model = :read_model;

-- name: set_paused
-- :read_model :paused
UPDATE twofold_read_model
   SET paused = :paused
 WHERE read_model = :read_model;

-- name: data_version
-- Another number once another connection has written the file.
-- -> data_version
PRAGMA data_version;

-- == a read model's table ==

-- name: create_table
CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) STRICT, WITHOUT ROWID;

-- name: create_index
CREATE INDEX {index} ON {table} ({terms});

-- name: drop_table
DROP TABLE IF EXISTS {table};

-- name: rename_table
ALTER TABLE {table} RENAME TO {name};

-- name: create_words
-- The words of each row's text (twofold.stores.words), and their index. The words are kept, so that an entry is taken
-- out of the index just as it was put in, and that a row whose text is still the same costs the index nothing.
-- `ascii` splits at spaces only, since words hold nothing else that it splits at.
CREATE TABLE {words} ("#id" INTEGER PRIMARY KEY, {columns}, UNIQUE ({key})) STRICT;
CREATE VIRTUAL TABLE {search} USING fts5({texts}, content={words}, content_rowid='#id', tokenize='ascii');
CREATE TRIGGER {on_insert} AFTER INSERT ON {words} BEGIN
    INSERT INTO {search} (rowid, {texts}) VALUES (new."#id", {new_texts});
END;
CREATE TRIGGER {on_update} AFTER UPDATE ON {words} BEGIN
    INSERT INTO {search} ({search}, rowid, {texts}) VALUES ('delete', old."#id", {old_texts});
    INSERT INTO {search} (rowid, {texts}) VALUES (new."#id", {new_texts});
END;
CREATE TRIGGER {on_delete} AFTER DELETE ON {words} BEGIN
    INSERT INTO {search} ({search}, rowid, {texts}) VALUES ('delete', old."#id", {old_texts});
END;

-- name: save_rows
-- OR ROLLBACK: a statement that could fail half-way and let the transaction go on would keep a copy of each page that it
-- changes (a third of the time where rows are far apart). Here nothing goes on after a failure.
INSERT OR ROLLBACK INTO {table} ({columns}) VALUES {rows}
ON CONFLICT ({key}) DO UPDATE SET {changes};

-- name: save_keys
-- Of a table that has no columns but its key.
INSERT OR ROLLBACK INTO {table} ({columns}) VALUES {rows}
ON CONFLICT ({key}) DO NOTHING;

-- name: save_words
INSERT OR ROLLBACK INTO {table} ({columns}) VALUES {rows}
ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE {changed};

-- name: delete_rows
DELETE FROM {table}
 WHERE {key};

-- == reading rows ==

-- name: rows_as_json
-- All rows in one value: one step of the statement, whatever their number. The LIMIT keeps the order.
-- {select} -> JSON array of arrays
SELECT json_group_array({row}) FROM ({select});

-- name: load_by_keys
-- :keys is a JSON array of keys. CROSS JOIN: keys first, each a look-up.
-- :keys -> JSON array of arrays, or rows
SELECT {result}
  FROM json_each(:keys) AS wanted CROSS JOIN {table} AS found ON {key};

-- name: load_by_key
-- One row, for keys that JSON can't hold exactly.
SELECT {result}
  FROM {table} AS found
 WHERE {key};

-- name: find
SELECT {columns}
  FROM {table}
 WHERE {conditions}
 ORDER BY {order}
 LIMIT :limit;

-- name: count
SELECT count(*)
  FROM {table}
 WHERE {conditions};

-- name: place_of_row
-- Where a row stands in an order: the values that it is sorted by.
SELECT {terms}
  FROM {table}
 WHERE {key};

-- name: place_of_key
-- The same for an order of nothing but key columns: the row itself need not exist.
SELECT {terms}
  FROM (SELECT {key});

-- name: search
-- :text is a query of FTS5: quoted words, each with a star. bm25 is less for better rows.
-- :text :limit
SELECT {columns}
  FROM (SELECT rowid AS id, bm25({search}) AS score FROM {search} WHERE {search} MATCH :text) AS hit
  JOIN {words} AS words ON words."#id" = hit.id
  JOIN {table} AS found ON {key}
 ORDER BY hit.score, {order}
 LIMIT :limit;

-- == terms ==

-- name: instant
-- Microseconds since 1970-01-01 UTC of a time as it is stored: 2024-02-29T23:59:59.000001+05:30[:00[.000000]], or with
-- Z or nothing for the offset, which then counts as 0. Exact: strftime sees whole seconds only.
CAST(strftime('%s', substr({x}, 1, 19)) AS INTEGER) * 1000000 + CAST(substr({x}, 21, 6) AS INTEGER)
- CAST(substr({x}, 27, 1) || '1' AS INTEGER) * (
    ( CAST(substr({x}, 28, 2) AS INTEGER) * 3600
    + CAST(substr({x}, 31, 2) AS INTEGER) * 60
    + CAST(substr({x}, 34, 2) AS INTEGER)) * 1000000
    + CAST(substr({x}, 37, 6) AS INTEGER))
