-- Caches of grants: each row repeats an event of the audit log, whose index it
-- carries. The code before this migration grants nothing.
-- grant: access_staff SELECT, INSERT
-- grant: access_device SELECT, INSERT
-- grant: access_session SELECT, INSERT, UPDATE
CREATE TABLE access_staff (
	log_id BIGINT NOT NULL,
	staff_id TEXT NOT NULL,
	role TEXT NOT NULL,
	office TEXT NOT NULL,
	added_us BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	PRIMARY KEY (log_id, staff_id)
)
-- sqlite: WITHOUT ROWID
;
CREATE TABLE access_device (
	log_id BIGINT NOT NULL,
	device_id TEXT NOT NULL,
	office TEXT NOT NULL,
	added_us BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	PRIMARY KEY (log_id, device_id)
)
-- sqlite: WITHOUT ROWID
;
-- token_hash is the SHA-256 of a token of 32 random bytes.
CREATE TABLE access_session (
	log_id BIGINT NOT NULL,
	session_id BIGINT NOT NULL,
	staff_id TEXT NOT NULL,
	device_id TEXT NOT NULL,
	token_hash BYTEA NOT NULL,
	opened_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL,
	closed_us BIGINT NOT NULL,
	idx BIGINT NOT NULL,
	PRIMARY KEY (log_id, session_id)
)
-- sqlite: WITHOUT ROWID
;
