-- What several workers share of a scan, in a database of its own. The code before
-- this migration has no such database.
-- grant: leak_scan SELECT, INSERT, DELETE
-- grant: leak_share SELECT, INSERT, UPDATE, DELETE
-- grant: leak_result SELECT, INSERT, DELETE
-- sealed are the scan's options and how many files it has.
CREATE TABLE leak_scan (
	scan_id BIGINT NOT NULL PRIMARY KEY,
	sealed BYTEA NOT NULL
)
;
-- A share is some files, or (stretch 0 and up) a stretch of a large one. state is 0
-- to be done, 1 done. beat is counted up by who is at it. sealed is what to do.
CREATE TABLE leak_share (
	scan_id BIGINT NOT NULL,
	share BIGINT NOT NULL,
	stretch BIGINT NOT NULL,
	job_id BIGINT NOT NULL,
	state BIGINT NOT NULL,
	beat BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	chunks BIGINT NOT NULL,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (scan_id, share, stretch)
)
;
-- What came of a share, sealed, in pieces.
CREATE TABLE leak_result (
	scan_id BIGINT NOT NULL,
	share BIGINT NOT NULL,
	stretch BIGINT NOT NULL,
	chunk BIGINT NOT NULL,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (scan_id, share, stretch, chunk)
)
