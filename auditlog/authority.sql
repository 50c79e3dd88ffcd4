-- Before this migration the tables of access said who may do what; from it on
-- the log's own events do, and this index finds them: grant, contain, shred,
-- system, alarm (Action.Authority). That it hides none is for the signer to say.
CREATE INDEX log_event_authority ON log_event (log_id, idx) WHERE action IN (9, 10, 11, 12, 14);
-- A participant's newest change, which the register's newest version must reach.
CREATE INDEX log_event_change ON log_event (participant_id, log_id, idx) WHERE action = 7;
-- The sequencer's word for the head. Code from before this migration writes none,
-- so what it committed and didn't get signed is refused: let it start once more,
-- and it signs.
ALTER TABLE log_head ADD COLUMN mac BYTEA;
