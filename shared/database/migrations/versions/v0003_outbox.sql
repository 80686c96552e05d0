-- Many messages of a transaction in one row, packed by MessagePack as a list of [key, value]. What waits to be
-- sent becomes rows of one message. Processes of the version before can neither write nor send until they are
-- replaced: they try again, and go on where they stopped.
ALTER TABLE outbox
    ADD COLUMN number  integer   NOT NULL DEFAULT 1,
    ADD COLUMN settled integer[] NOT NULL DEFAULT '{}';
ALTER TABLE outbox ALTER COLUMN value TYPE bytea USING
    -- A list of one pair of two values with lengths of four bytes.
    '\x9192'::bytea || '\xc6' || int4send(octet_length(key)) || key
                    || '\xc6' || int4send(octet_length(value)) || value;
ALTER TABLE outbox RENAME COLUMN value TO packed;
ALTER TABLE outbox
    DROP COLUMN key,
    ALTER COLUMN number DROP DEFAULT,
    -- It is gone in a moment: to compress it costs four times as much as to write it.
    ALTER COLUMN packed SET STORAGE EXTERNAL;
GRANT UPDATE (settled) ON outbox TO ebbtide_segmenter, ebbtide_alerts;

CREATE FUNCTION unpack_messages(packed bytea) RETURNS TABLE (place integer, key bytea, value bytea)
    LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    all_of bytea   := packed || ''::bytea;  -- read once, wherever it is stored
    here   integer := CASE get_byte(packed, 0) WHEN 220 THEN 3 WHEN 221 THEN 5 ELSE 1 END;
    width  integer;
    size   integer;
    pair   bytea[];
BEGIN
    place := 0;
    WHILE here < octet_length(all_of) LOOP
        here := here + 1;
        pair := '{}';
        FOR _ IN 1..2 LOOP
            -- 196, 197, 198: so long a value that its length takes 1, 2 or 4 bytes.
            width := 1 << (get_byte(all_of, here) - 196);
            size := ('x' || lpad(encode(substring(all_of FROM here + 2 FOR width), 'hex'), 8, '0'))
                    ::bit(32)::integer;
            pair := pair || substring(all_of FROM here + 2 + width FOR size);
            here := here + 1 + width + size;
        END LOOP;
        key := pair[1];
        value := pair[2];
        RETURN NEXT;
        place := place + 1;
    END LOOP;
END $$;

-- For people who look why something is not sent.
CREATE VIEW outbox_messages AS
SELECT id, place, grp, part, topic, key, value, created_at
FROM outbox CROSS JOIN LATERAL unpack_messages(packed)
WHERE place <> ALL (settled);
