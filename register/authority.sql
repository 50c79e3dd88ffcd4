-- From here on a version's row carries the gate's MAC over all that it directs,
-- and the row of a change the index of its event: job is then -1 - index, else
-- the import that wrote it. When it was written, its event says. Code from before
-- this migration can't write versions after it. The first start after it makes
-- the MACs of the rows that are there, which takes the rights of the tables' owner.
ALTER TABLE register_version ADD COLUMN mac BYTEA;
ALTER TABLE register_version DROP COLUMN created_us;
-- The place of an import in its file says which rows are still to be read.
ALTER TABLE register_import ADD COLUMN mac BYTEA;
