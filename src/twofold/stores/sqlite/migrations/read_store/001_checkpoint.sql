-- Each read model's table, and how far its rows have come. `epoch` fences off earlier workers, `generation` is the epoch
-- in which the table was made: indexes and the tables of full-text search are named after it.
CREATE TABLE twofold_checkpoint (
    read_model       TEXT    NOT NULL PRIMARY KEY,
    table_name       TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    generation       INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    fingerprint      TEXT    NOT NULL,
    fold_fingerprint TEXT    NOT NULL,
    paused           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
