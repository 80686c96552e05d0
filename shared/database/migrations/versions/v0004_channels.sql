-- The channels that users are told apart by. Clients name them, and each has rows of its own in every counter: so
-- there are at most so many, the first that came. Once one had to stay out, no other comes in: then what a channel
-- is counted as is decided for good when it is first met, and every recount comes to the same.
CREATE TABLE channels (
    channel text   COLLATE "C" PRIMARY KEY,
    place   bigint GENERATED ALWAYS AS IDENTITY
);

-- Every batch asks whether the channels are as they were, by this version alone; not a number, as that of funnels.
CREATE TABLE channels_book (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    version uuid    NOT NULL DEFAULT gen_random_uuid(),
    most    integer NOT NULL DEFAULT 200 CHECK (most > 0),
    is_full boolean NOT NULL DEFAULT false
);

-- Whom users are counted under already stays, however many they are.
INSERT INTO channels (channel)
SELECT DISTINCT channel FROM users WHERE channel NOT IN ('unknown', 'other') ORDER BY channel;
INSERT INTO channels_book DEFAULT VALUES;

CREATE FUNCTION channels_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE channels_book SET version = gen_random_uuid();
    RETURN NULL;
END $$;
-- Also by hand.
CREATE TRIGGER channels_have_a_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON channels
    FOR EACH STATEMENT EXECUTE FUNCTION channels_changed();

-- Lets those in for which there is room, in their order. Whoever does so holds the book: one at a time.
CREATE FUNCTION admit_channels(given text[], at_most integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    book    channels_book;
    wanted  bigint;
    entered bigint;
BEGIN
    SELECT * INTO book FROM channels_book FOR UPDATE;
    IF book.is_full THEN
        RETURN;
    END IF;
    UPDATE channels_book SET most = at_most WHERE most <> at_most;
    SELECT count(DISTINCT name) INTO wanted FROM unnest(given) AS name
    WHERE name NOT IN ('unknown', 'other') AND NOT EXISTS (SELECT FROM channels WHERE channel = name);
    IF wanted = 0 THEN
        RETURN;
    END IF;
    INSERT INTO channels (channel)
    SELECT DISTINCT name COLLATE "C" FROM unnest(given) AS name
    WHERE name NOT IN ('unknown', 'other') AND NOT EXISTS (SELECT FROM channels WHERE channel = name)
    ORDER BY 1 LIMIT greatest(0, coalesce(at_most, book.most) - (SELECT count(*) FROM channels));
    GET DIAGNOSTICS entered = ROW_COUNT;
    UPDATE channels_book SET version = gen_random_uuid(), is_full = entered < wanted;
END $$;

-- Not even as a trigger on a temporary table of one's own.
REVOKE EXECUTE ON FUNCTION channels_changed(), admit_channels(text[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION admit_channels(text[], integer) TO ebbtide_segmenter;
GRANT SELECT ON channels, channels_book TO ebbtide_segmenter;
