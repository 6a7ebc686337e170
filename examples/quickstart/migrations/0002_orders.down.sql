DROP INDEX orders_of_customer;
DROP TABLE orders;
