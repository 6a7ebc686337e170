//! A test kit for releases, workflows and step kinds of your own: the feature `testing`, under `[dev-dependencies]`.
//!
//! Three promises that a deploy rests on are tried at every place where they could be broken, on tenants that a [`World`] makes for the
//! purpose, by the engine that also runs real deploys:
//!
//! - [`fails_cleanly_at_every_step`]: whichever step fails, and whichever statement of it, the tenant is as it was.
//! - [`repeats_safely`]: wherever the process dies on the way up, the resumed deploy ends as an undisturbed one.
//! - [`undo_repeats_safely`]: wherever it dies on the way down, the tenant is as it was.
//!
//! Each gives what it tried, or a [`Broken`] that says at which step and statement what was expected did not hold, with the history of
//! that deploy from its log.
//!
//! ```
//! # let folder = std::env::temp_dir().join(format!("windlass-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(folder.join("migrations"))?;
//! # std::fs::write(folder.join("migrations/0001_orders.up.sql"), "CREATE TABLE orders (id INTEGER);")?;
//! # std::fs::write(folder.join("migrations/0001_orders.down.sql"), "DROP TABLE orders;")?;
//! use windlass::testing::{SqliteFiles, Trial, fails_cleanly_at_every_step, repeats_safely, undo_repeats_safely};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let release = windlass::release::load(&folder.join("migrations"), None)?;
//! let world = SqliteFiles::new(folder.join("tenants"), "CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('ann')");
//! let trial = Trial::of_release(release, world)?;
//! println!("{}", fails_cleanly_at_every_step(&trial).await?);
//! println!("{}", repeats_safely(&trial).await?);
//! println!("{}", undo_repeats_safely(&trial).await?);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the kit cannot see: effects outside the tenant that [`World::look`] does not show, a crash of the database server itself (the
//! project's own tests kill servers), and what depends on how much data there is.

mod broken;
mod director;
mod session;
mod trial;
mod world;

pub use self::broken::{Broken, Tried};
pub use self::session::{Between, Call, WatchedGateway};
pub use self::trial::{Trial, fails_cleanly_at_every_step, repeats_safely, undo_repeats_safely};
pub use self::world::{Place, SqliteFiles, World, WorldError};
