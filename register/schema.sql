-- (Columns of eight bytes come first: PostgreSQL would pad them elsewhere.)
-- One row a version of a participant: the fields that this version set, sealed
-- one by one and packed. fields says which (field.Set); the others stand as an
-- earlier version set them. job and digest are those of the import that wrote
-- it, or 0 and NULL.
-- grant: register_version SELECT, INSERT
CREATE TABLE register_version (
	version BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	job BIGINT NOT NULL,
	fields BIGINT NOT NULL,
	participant_id BYTEA NOT NULL,
	digest BYTEA,
	packed BYTEA NOT NULL,
	PRIMARY KEY (participant_id, version)
);
-- Blind indexes: keyed hashes of normalised forms, distributed by token. Those
-- of former values stay, so that they still find their person.
-- grant: register_index SELECT, INSERT, DELETE
CREATE TABLE register_index (
	token BYTEA NOT NULL,
	participant_id BYTEA NOT NULL,
	PRIMARY KEY (token, participant_id)
)
-- sqlite: WITHOUT ROWID
;
-- Imports and how far they are; import_id is taken from the file's SHA-256, so
-- the same file again is the same import.
-- grant: register_import SELECT, INSERT, UPDATE
CREATE TABLE register_import (
	import_id BIGINT NOT NULL PRIMARY KEY,
	sha256 BYTEA NOT NULL,
	bytes BIGINT NOT NULL,
	started_us BIGINT NOT NULL,
	finished_us BIGINT NOT NULL,
	at_byte BIGINT NOT NULL,
	at_row BIGINT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	unchanged BIGINT NOT NULL,
	rejected BIGINT NOT NULL,
	failure TEXT NOT NULL
);
-- The refs, as index tokens, of the rows that an import under way found
-- unchanged, so that a later row with the same ref is known for a second one.
-- They go when the import is finished.
-- grant: register_unchanged SELECT, INSERT, DELETE
CREATE TABLE register_unchanged (
	import_id BIGINT NOT NULL,
	token BYTEA NOT NULL,
	PRIMARY KEY (import_id, token)
)
-- sqlite: WITHOUT ROWID
;
-- Rejected rows by number, column and reason, never by value; from_byte and
-- to_byte say where the row lies in the file.
-- grant: register_reject SELECT, INSERT
CREATE TABLE register_reject (
	import_id BIGINT NOT NULL,
	row_no BIGINT NOT NULL,
	column_name TEXT NOT NULL,
	reason TEXT NOT NULL,
	from_byte BIGINT NOT NULL,
	to_byte BIGINT NOT NULL,
	PRIMARY KEY (import_id, row_no, column_name)
);
