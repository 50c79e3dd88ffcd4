-- The index of one epoch of its key lies in the table of the epoch's parity, so
-- that the next one can be built beside it. The code before this migration knows
-- register_index alone and fails after it. An import that was under way keeps its
-- place; refs that it had found unchanged are forgotten with their old tokens, so a
-- second row of one of them is judged against the register alone.
ALTER TABLE register_index RENAME TO register_index_1;
-- grant: register_index_1 SELECT, INSERT, DELETE, TRUNCATE
-- grant: register_index_0 SELECT, INSERT, DELETE, TRUNCATE
CREATE TABLE register_index_0 (
	token BYTEA NOT NULL,
	participant_id BYTEA NOT NULL,
	PRIMARY KEY (token, participant_id)
)
-- sqlite: WITHOUT ROWID
;
