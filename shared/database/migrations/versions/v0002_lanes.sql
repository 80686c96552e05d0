-- Product time up to which all that was received by the partition is folded; the watermark stays behind it
-- while somebody who is due by then could not be swept. Users whose events come by two partitions, after some
-- were added, are judged by both.
ALTER TABLE consumer_partition ADD COLUMN folded_until timestamptz;
