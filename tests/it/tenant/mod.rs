//! Sessions with real tenant databases.
