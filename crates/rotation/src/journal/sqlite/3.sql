-- The process that holds the lease, as JSON: the machine's boot, the process's namespace, its number and when it started.
-- A process that is gone keeps nobody out.
ALTER TABLE rotation ADD COLUMN process TEXT;

-- What remains of a pruned rotation: a record without what only people read. Such a rotation has no versions.
ALTER TABLE rotation ADD COLUMN kept TEXT;

DROP TRIGGER version_is_not_deleted;

CREATE TRIGGER version_is_not_deleted BEFORE DELETE ON version
WHEN NOT EXISTS (SELECT 1 FROM rotation WHERE number = OLD.rotation AND kept IS NOT NULL)
BEGIN
    SELECT raise(ABORT, 'what was written is not deleted');
END;
