-- Each read model's table, and the code that made its columns and folds its rows. `generation` is the epoch in which the
-- table was made: indexes and the tables of full-text search are named after it.
CREATE TABLE twofold_read_model (
    read_model       TEXT    NOT NULL PRIMARY KEY,
    table_name       TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    generation       INTEGER NOT NULL,
    fingerprint      TEXT    NOT NULL,
    fold_fingerprint TEXT    NOT NULL,
    paused           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far the rows of each partition have come. `epoch` fences off earlier workers.
CREATE TABLE twofold_checkpoint (
    read_model       TEXT    NOT NULL,
    partition        INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    PRIMARY KEY (read_model, partition)
) STRICT, WITHOUT ROWID;

-- One row: the newest epoch there ever was, also of read models that are gone.
CREATE TABLE twofold_epoch (
    newest           INTEGER NOT NULL
) STRICT;
INSERT INTO twofold_epoch (newest) VALUES (0);
