-- One point for every whole euro that a customer has spent.
CREATE TABLE loyalty (
    customer INTEGER PRIMARY KEY REFERENCES customers (id),
    points   INTEGER NOT NULL
);

INSERT INTO loyalty (customer, points)
SELECT customer, sum(cents) / 100 FROM orders WHERE status = 'paid' GROUP BY customer;
