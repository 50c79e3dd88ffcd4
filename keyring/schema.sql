-- Domain keys, wrapped by the root key. A reference table: small, on every node.
-- grant: keyring_key SELECT, INSERT, UPDATE, DELETE
CREATE TABLE keyring_key (
	domain TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	wrapped BYTEA NOT NULL,
	PRIMARY KEY (domain, epoch)
)
-- sqlite: WITHOUT ROWID
;
-- A participant's data key, wrapped by the data domain's key of an epoch.
-- Deleting the row shreds the participant, and then it must leave the table's
-- files, which takes the table's owner.
-- grant: keyring_participant OWNER
CREATE TABLE keyring_participant (
	key_no BIGINT NOT NULL,
	epoch BIGINT NOT NULL,
	participant_id BYTEA NOT NULL PRIMARY KEY,
	wrapped BYTEA NOT NULL
)
-- sqlite: WITHOUT ROWID
;
