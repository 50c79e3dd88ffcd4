-- From here on the log's events alone say who may do what, and the Directory is
-- made from them. Code from before this migration can't run after it. A session
-- that it opened has no token in the log: it has ended, and must be opened anew.
DROP TABLE access_staff;
DROP TABLE access_device;
DROP TABLE access_session;
