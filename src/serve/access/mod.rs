//! Who may do what.
//!
//! A token is `wl_<id>_<secret>`: eight characters to name it by, and 32 random bytes of which the log keeps the SHA-256 alone. Scripts
//! send it as `Authorization: Bearer`; the page changes it for a session, which is a token of its own that lies in a cookie, lasts for
//! [`SESSION`](crate::base::limits::SESSION) and ends with the token it was opened with.
//!
//! As long as a log has no token, whoever can reach a loopback address of the server may do everything: it is their own machine. Such a
//! server answers to loopback names only, so that a page from elsewhere, which a browser shows on the same machine, cannot speak to it
//! under a name of its own.

mod guard;
mod keys;
mod routes;

pub(super) use guard::{COOKIE, cookie, from_elsewhere};
pub use guard::{Client, Principal, Via, guard};
pub use keys::{Keys, Secret};
pub use routes::{Need, ROUTES, need};
