-- What the log's judges know, as of an event, so that a start needn't read the
-- whole log. A cache: with a MAC under the signer's own key, and made anew from
-- the log where it is gone. Code from before this migration doesn't read it.
-- grant: log_memory SELECT, INSERT, DELETE
CREATE TABLE log_memory (
	log_id BIGINT NOT NULL,
	judge TEXT NOT NULL,
	idx BIGINT NOT NULL,
	part BIGINT NOT NULL,
	parts BIGINT NOT NULL,
	bytes BYTEA NOT NULL,
	mac BYTEA NOT NULL,
	PRIMARY KEY (log_id, judge, idx, part)
);
