//! How a folder's files make migrations: one file here per format.

mod windlass;

pub(super) use windlass::read;
