-- The density of the canaries that an import plants, in millionths, from its first
-- chunk on: an import that stopped goes on with it. Code from before this migration
-- reads and writes imports without canaries as before; one with them it takes for
-- altered.
ALTER TABLE register_import ADD COLUMN density BIGINT NOT NULL DEFAULT 0;
