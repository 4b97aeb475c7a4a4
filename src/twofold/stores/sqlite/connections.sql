-- What every connection to a SQLite file of Twofold runs, whichever store it belongs to.

-- name: configure_writer
-- Acknowledged means durable: FULL syncs the WAL at each commit, fullfsync makes macOS mean it.
-- The WAL file is cut back to 64 MB once a checkpoint has emptied it. SECURE_DELETE (Debian's default) would
-- overwrite with zeros what is replaced. {wal_autocheckpoint} counts pages of 4 KiB.
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA wal_autocheckpoint = {wal_autocheckpoint};
PRAGMA journal_size_limit = 67108864;
PRAGMA cache_size = -32768;
PRAGMA temp_store = MEMORY;
PRAGMA secure_delete = OFF;
PRAGMA trusted_schema = OFF;
PRAGMA analysis_limit = 400;

-- name: configure_reader
PRAGMA query_only = ON;
PRAGMA cache_size = -8192;
PRAGMA temp_store = MEMORY;
PRAGMA trusted_schema = OFF;

-- name: use_wal
-- -> journal mode that is in force now
PRAGMA journal_mode = WAL;

-- name: identity
-- Whose file it is, the schema's number, and whether anything is in it.
-- -> application_id, user_version, objects
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) AS objects
  FROM pragma_application_id, pragma_user_version;

-- name: migrate
-- One step of the schema; number and owner are recorded in the same transaction.
BEGIN IMMEDIATE;
{step}
PRAGMA application_id = {application_id};
PRAGMA user_version = {number};
COMMIT;

-- name: begin
BEGIN IMMEDIATE;

-- name: tidy
-- Keep the planner's statistics fresh; SQLite decides whether anything needs doing.
PRAGMA optimize;
