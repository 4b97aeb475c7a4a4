-- What KEDA asks PostgreSQL to know how far projectors are behind.

-- name: head
SELECT coalesce(max(position), 0) FROM twofold_log.event;

-- name: folded
-- {read_models} is a list of literals.
SELECT coalesce(min("position"), 0) FROM twofold_read.twofold_checkpoints() WHERE read_model IN ({read_models});
