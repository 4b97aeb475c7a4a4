-- One command: its event and the record of its id, one statement, one durable transaction. The position is a sequence's
-- number, which neither is dense nor follows the order of commits: less is promised than by a log.
\set turn :turn + 1
\set account random(0, 999)
WITH stored AS (
    INSERT INTO event (position, stream, version, type, schema_version, data, metadata, recorded_at)
    VALUES (nextval('event_position'), 'account-' || :account, :turn * 64 + :client_id, 'Deposited', 1,
            '{"account_id":"account-' || :account || '","amount":"10.25"}',
            '{"command":"Deposit","command_id":"id-' || :turn || '","correlation_id":"' || md5(:turn::text) || '"}',
            1700000000000000 + :turn)
    RETURNING position, stream, version
)
INSERT INTO command (command_id, fingerprint, stream, version, position, event_count)
SELECT 'command-' || :turn * 7919 % 1000003 || '-' || :client_id || '-' || :turn, 'ffffffffffffffff'::bytea,
       stream, version, position, 1
  FROM stored;
