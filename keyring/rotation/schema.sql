-- Changes of the data and index keys, one at a time: how far each is. at is the
-- last participant done; a stage ends in one transaction with its events. Before
-- this migration no key can be changed.
-- grant: keyring_rotation SELECT, INSERT, UPDATE
-- grant: keyring_key OWNER
CREATE TABLE keyring_rotation (
	rotation_id BIGINT NOT NULL PRIMARY KEY,
	from_epoch BIGINT NOT NULL,
	to_epoch BIGINT NOT NULL,
	started_us BIGINT NOT NULL,
	finished_us BIGINT NOT NULL,
	done BIGINT NOT NULL,
	total BIGINT NOT NULL,
	kind TEXT NOT NULL,
	stage TEXT NOT NULL,
	failure TEXT NOT NULL,
	at BYTEA NOT NULL
);
CREATE UNIQUE INDEX keyring_rotation_one ON keyring_rotation (finished_us) WHERE finished_us = 0;
