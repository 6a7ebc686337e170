//! What only PostgreSQL can do.
