-- Keys made for a case's leak scan, wrapped under the members domain's key.
-- Deleting the row leaves the case's index unreadable.
-- grant: keyring_case OWNER
CREATE TABLE keyring_case (
	case_code TEXT NOT NULL PRIMARY KEY,
	created_us BIGINT NOT NULL,
	wrapped BYTEA NOT NULL
)
-- sqlite: WITHOUT ROWID
;
