-- A row of `users` is a user only where `merged_into` is null. Otherwise it keeps its id locked, and its history's
-- revision: the id belongs to the user that is named; with '' nobody has been active under it, or it was taken away.
-- The user that is named is never merged itself: who asks is never led further.
ALTER TABLE users
    ADD merged_into text COLLATE "C",
    ADD also_parts  integer[] NOT NULL DEFAULT '{}';
CREATE INDEX users_merged ON users (user_id) INCLUDE (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX users_merged_into ON users (merged_into) WHERE merged_into > '';
DROP INDEX users_by_lifecycle;
CREATE INDEX users_by_lifecycle ON users (lifecycle, user_id) WHERE merged_into IS NULL;

-- Every claim that an event ever made, once for each pair of ids, by the first event that made it. `fault` null: it
-- holds. Which ones hold follows from all of them together, and may change as more come.
CREATE TABLE identity_claims (
    claimed    text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,
    source     text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    fault      text,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (claimed, target)
);
CREATE UNIQUE INDEX identity_claims_holding ON identity_claims (claimed) WHERE fault IS NULL;
CREATE INDEX identity_claims_of_target ON identity_claims (target, claimed);

-- Whose an id became, when and by which event. Only ever added to.
CREATE TABLE merges (
    merge_id        uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    merged_at       timestamptz NOT NULL,
    absorbed        text COLLATE "C" NOT NULL,
    into_user       text COLLATE "C" NOT NULL,
    from_user       text COLLATE "C" NOT NULL,
    source          text        NOT NULL,
    event_id        text        NOT NULL,
    at              timestamptz NOT NULL,
    events_moved    bigint      NOT NULL,
    steps_retracted integer     NOT NULL,
    steps_written   integer     NOT NULL
);
CREATE INDEX merges_newest ON merges (merged_at DESC, merge_id DESC);
CREATE INDEX merges_of_absorbed ON merges (absorbed, merged_at DESC, merge_id DESC);
CREATE INDEX merges_of_user ON merges (into_user, merged_at DESC, merge_id DESC);

GRANT SELECT, INSERT, UPDATE ON identity_claims TO ebbtide_segmenter;
GRANT SELECT, INSERT ON merges TO ebbtide_segmenter;
GRANT SELECT ON identity_claims, merges TO ebbtide_api;
