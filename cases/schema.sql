-- What stood in memory behind the first at_size events of log at_log: the open
-- cases, and those closed since they were last written. idx is the case's newest
-- event, body the case as JSON (codes and pseudonyms), mac the gate's word. Code
-- from before this migration knows of no cases.
-- grant: case_file SELECT, INSERT, UPDATE
CREATE TABLE case_file (
	log_id BIGINT NOT NULL,
	case_no BIGINT NOT NULL,
	state BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	body BYTEA NOT NULL,
	mac BYTEA NOT NULL,
	PRIMARY KEY (log_id, case_no)
)
-- sqlite: WITHOUT ROWID
;
CREATE INDEX case_file_open ON case_file (log_id, case_no) WHERE state < 3;
-- mac also covers a keyed sum over the open cases' rows, which stands nowhere: rows
-- of different moments don't make a whole.
-- grant: case_snapshot SELECT, INSERT, UPDATE
CREATE TABLE case_snapshot (
	log_id BIGINT NOT NULL PRIMARY KEY,
	at_log BIGINT NOT NULL,
	at_size BIGINT NOT NULL,
	count BIGINT NOT NULL,
	wrong BYTEA NOT NULL,
	mac BYTEA NOT NULL
)
-- sqlite: WITHOUT ROWID
;
-- Notes, each sealed under the data key of the participant: who is shredded takes
-- them along.
-- grant: case_note SELECT, INSERT
CREATE TABLE case_note (
	participant_id BYTEA NOT NULL,
	case_no BIGINT NOT NULL,
	note_no BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (participant_id, case_no, note_no)
)
-- sqlite: WITHOUT ROWID
;
