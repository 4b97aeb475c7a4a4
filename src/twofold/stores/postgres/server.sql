-- What operators want to know of the server that a store is on.

-- name: server
SELECT current_setting('server_version')                AS version,
       current_setting('server_version_num')::integer   AS version_number,
       session_user                                     AS "user",
       pg_is_in_recovery()                              AS standby,
       current_setting('server_encoding')               AS encoding,
       coalesce((SELECT pg_stat_ssl.version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '') AS tls,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS connections,
       current_setting('max_connections')::integer      AS most_connections,
       current_setting('fsync')                         AS fsync,
       current_setting('full_page_writes')              AS full_page_writes,
       current_setting('synchronous_commit')            AS synchronous_commit,
       current_setting('autovacuum')                    AS autovacuum,
       coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))
                   FROM pg_stat_activity
                  WHERE state LIKE 'idle in transaction%%' AND pid <> pg_backend_pid()), 0)::double precision
                                                        AS idle_transaction_s,
       extract(epoch FROM clock_timestamp())::double precision AS now_s;

-- name: positions
SELECT count(*), coalesce(min(position), 0), coalesce(max(position), 0) FROM twofold_log.event;
