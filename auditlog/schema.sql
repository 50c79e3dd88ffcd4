-- The head moves by compare-and-swap alone; epoch fences off a sequencer that
-- lost its lead: each one that opens the log raises it.
-- grant: log_head SELECT, INSERT, UPDATE
CREATE TABLE log_head (
	log_id BIGINT NOT NULL PRIMARY KEY,
	size BIGINT NOT NULL,
	root BYTEA NOT NULL,
	epoch BIGINT NOT NULL
)
-- sqlite: WITHOUT ROWID
;
-- line is the truth; the other columns repeat it for look-ups, and azekura log
-- verify compares them. fields is what the event opened (field.Set), else 0.
-- grant: log_event SELECT, INSERT
CREATE TABLE log_event (
	log_id BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	time_us BIGINT NOT NULL,
	action BIGINT NOT NULL,
	session_id BIGINT NOT NULL,
	session_seq BIGINT NOT NULL,
	participant_seq BIGINT NOT NULL,
	fields BIGINT NOT NULL,
	participant_id BYTEA,
	line BYTEA NOT NULL,
	PRIMARY KEY (log_id, idx)
);
-- Exposure reads this index alone.
CREATE INDEX log_event_session ON log_event (log_id, session_id, session_seq, time_us, fields, participant_id);
CREATE INDEX log_event_participant ON log_event (log_id, participant_id, participant_seq) WHERE participant_id IS NOT NULL;
-- C2SP tlog-tiles: full hash tiles of height 8, 256 hashes of 32 bytes.
-- grant: log_tile SELECT, INSERT
CREATE TABLE log_tile (
	log_id BIGINT NOT NULL,
	level BIGINT NOT NULL,
	n BIGINT NOT NULL,
	hashes BYTEA NOT NULL,
	PRIMARY KEY (log_id, level, n)
);
-- The members of set events, sealed, 1,024 a block (a subtree of the set's tree).
-- grant: log_set_block SELECT, INSERT
CREATE TABLE log_set_block (
	log_id BIGINT NOT NULL,
	set_id BIGINT NOT NULL,
	block BIGINT NOT NULL,
	count BIGINT NOT NULL,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (log_id, set_id, block)
);
-- postgresql only
DO $$ BEGIN
	-- An exposure reads the session's index alone, as far as vacuum has marked
	-- the pages; so let it come by often, whatever the log's size.
	ALTER TABLE log_event SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
END $$
