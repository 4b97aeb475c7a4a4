-- What connections of either store ask.

-- name: direct
-- Whether the settings that the connection started with have reached PostgreSQL.
SELECT current_setting(%s, true);
