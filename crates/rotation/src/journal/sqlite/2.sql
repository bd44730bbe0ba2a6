-- A vendor may give the id of a deleted key to another key. When the key was created tells them apart. Empty if the
-- vendor does not show it, and in rotations that earlier versions began.
ALTER TABLE rotation ADD COLUMN old_created TEXT NOT NULL DEFAULT '';

DROP INDEX rotation_of_key;

-- One rotation at a time rotates a key, and another key replaces it only once.
CREATE UNIQUE INDEX rotation_of_key ON rotation (vendor, scope, old_key, old_created)
    WHERE state <> 'aborted' AND new_key IS NOT old_key;

-- The keys and sinks of unfinished rotations. Two rotations may claim the id of a key that one of them lost.
CREATE TABLE claimed (
    claim    TEXT NOT NULL,
    rotation INTEGER NOT NULL REFERENCES rotation (number),
    PRIMARY KEY (claim, rotation)
) STRICT, WITHOUT ROWID;

INSERT INTO claimed (claim, rotation) SELECT claim, rotation FROM claim;

DROP TABLE claim;

ALTER TABLE claimed RENAME TO claim;

CREATE INDEX claim_of_rotation ON claim (rotation);
