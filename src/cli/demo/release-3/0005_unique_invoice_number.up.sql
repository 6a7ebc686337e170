-- The accountants insist: no number twice.
CREATE UNIQUE INDEX invoices_by_number ON invoices (number);
