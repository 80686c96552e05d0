-- One index in the order of time, which also says that an id is there once. Ids are hashes: an index that begins
-- with them is written all over, and nobody looks for an id without its instant.
ALTER TABLE transitions DROP CONSTRAINT transitions_pkey;
ALTER TABLE transitions ADD PRIMARY KEY (at, transition_id);
DROP INDEX transitions_in_time;
