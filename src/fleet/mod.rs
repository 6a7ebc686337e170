//! Who: the tenants of an application, where their list comes from, and how to reach them without ever keeping a password.
//!
//! A [`Source`] (a list, a glob of files, a query on the catalog database) is read into [`Tenant`]s. A tenant is written into
//! the durable log as it stands, so it carries a [`UrlTemplate`]: a connection URL in which every password is a reference,
//! `${env:NAME}`, `${file:/path}` or `${source}`. Only a [`SecretResolver`] turns it into a [`ResolvedUrl`], at the moment of
//! use, and that knows how to scrub its own secrets from whatever a driver says about it (promise P9).
//!
//! ```text
//! Source ──read──▶ Tenant { UrlTemplate } ──(log)──▶ SecretResolver::resolve ──▶ ResolvedUrl ──▶ ServerBudgets::acquire
//! ```
//!
//! [`Selector`]s choose among tenants; [`ServerBudgets`] keep the number of connections per physical server.

mod budget;
mod error;
mod reference;
mod secret;
mod selector;
mod source;
mod template;
mod tenant;
mod url;

pub use budget::{ServerBudgets, ServerKey};
pub use error::{FleetError, Subject};
pub use reference::{BadReference, SecretRef, UnresolvedSecret};
pub use secret::{Secret, SecretResolver, SourceSecrets, Variables, redact};
pub use selector::Selector;
pub use source::{Entry, RereadSource, Source};
pub use tenant::{Engine, Target, Tenant};
pub use url::{BadTemplate, ResolvedUrl, SourceUrl, UrlTemplate};
