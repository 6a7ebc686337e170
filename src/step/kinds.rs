//! The kinds of step that a program knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{StepKind, check, migrate, preflight, switch};

/// The kinds of step that a program knows, by the name that a workflow's `uses` gives: at first the built-in ones.
///
/// A program with kinds of its own gives the same ones to whatever plans a deploy ([`crate::engine::Request`]) and to every
/// [`crate::engine::Engine`] that drives it: one that lacks a kind refuses the
/// deploy, and leaves it as it is.
#[derive(Clone)]
pub struct Kinds(BTreeMap<&'static str, Arc<dyn StepKind>>);

impl Default for Kinds {
    fn default() -> Self {
        Self(BTreeMap::new())
            .with(Arc::new(preflight::Preflight))
            .with(Arc::new(migrate::Migrate))
            .with(Arc::new(check::Check))
            .with(Arc::new(switch::Switch))
    }
}

impl Kinds {
    /// These and one more. It takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, kind: Arc<dyn StepKind>) -> Self {
        self.0.insert(kind.name(), kind);
        self
    }

    /// The kind with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn StepKind>> {
        self.0.get(name)
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Every kind in another's hands.
    #[cfg(feature = "testing")]
    pub(crate) fn each(self, wrap: impl Fn(Arc<dyn StepKind>) -> Arc<dyn StepKind>) -> Self {
        Self(self.0.into_iter().map(|(name, kind)| (name, wrap(kind))).collect())
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
