//! The page in a browser: the real binary, Debian's Chromium, and people's ways through it.
//!
//! One test binary of its own: it needs a browser, which `./test` installs, and axe-core, which it fetches from npm into `target/`.

// Panicking is how a test speaks, and a test's own helpers are part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod axe;
mod browser;
#[path = "../it/serve/house.rs"]
#[allow(dead_code, reason = "the tests over HTTP use the rest of it")]
mod house;
mod pages;
mod releases;

mod support;
