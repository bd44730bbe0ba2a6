-- Rotations, and the latest lease on each of them.
CREATE TABLE rotation (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    provider   TEXT NOT NULL,
    vendor     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    old_key    TEXT NOT NULL,
    state      TEXT NOT NULL,
    -- The key that has replaced the old one. A rotation in place may have kept the same key.
    new_key    TEXT,
    version    INTEGER NOT NULL,
    -- Grows with every lease. Only the holder of the latest lease can write.
    token      INTEGER NOT NULL DEFAULT 0,
    holder     TEXT,
    held_until TEXT
) STRICT;

-- One rotation at a time rotates a key, and another key replaces it only once.
CREATE UNIQUE INDEX rotation_of_key ON rotation (vendor, scope, old_key)
    WHERE state <> 'aborted' AND new_key IS NOT old_key;

CREATE INDEX rotation_unfinished ON rotation (number) WHERE state NOT IN ('done', 'aborted');

-- Every version of every rotation, with the complete record as JSON.
CREATE TABLE version (
    rotation INTEGER NOT NULL REFERENCES rotation (number),
    version  INTEGER NOT NULL,
    time     TEXT NOT NULL,
    state    TEXT NOT NULL,
    record   TEXT NOT NULL,
    PRIMARY KEY (rotation, version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER version_is_not_changed BEFORE UPDATE ON version
BEGIN
    SELECT raise(ABORT, 'what was written is not changed');
END;

CREATE TRIGGER version_is_not_deleted BEFORE DELETE ON version
BEGIN
    SELECT raise(ABORT, 'what was written is not deleted');
END;

-- The keys and sinks that no other rotation may use until the rotation is finished.
CREATE TABLE claim (
    claim    TEXT PRIMARY KEY,
    rotation INTEGER NOT NULL REFERENCES rotation (number)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_of_rotation ON claim (rotation);

-- Every mark that was ever recorded, including the marks of failed attempts.
CREATE TABLE mark (
    mark     TEXT PRIMARY KEY,
    rotation INTEGER NOT NULL REFERENCES rotation (number)
) STRICT, WITHOUT ROWID;
