DROP INDEX invoices_by_number;
