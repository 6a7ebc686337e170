DROP INDEX customers_by_points;
ALTER TABLE customers DROP COLUMN points;
