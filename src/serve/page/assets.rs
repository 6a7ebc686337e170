//! What the pages load: a style, two scripts, an icon. All of it comes out of the binary, under names that change with their content.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use crate::base::{Code, Digest};
use crate::serve::app::App;
use crate::serve::extract::At;
use crate::serve::problem::Problem;

/// How long a cache may keep what never changes under its name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A file that pages load.
pub(super) struct Asset {
    name: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let name = format!("{stem}.{}.{extension}", Digest::of(content.as_bytes()).short());
        Self { name, kind, content }
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// All of them.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) htmx: Asset,
    pub(super) live: Asset,
    pub(super) icon: Asset,
}

/// Named once, when the first page is made.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    htmx: Asset::new("htmx", "js", "text/javascript; charset=utf-8", include_str!("assets/htmx.min.js")),
    live: Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("assets/live.js")),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")),
});

/// `GET /assets/{name}`.
pub(super) async fn asset(State(_app): State<Arc<App>>, At(name): At<String>) -> Response {
    let Assets { style, htmx, live, icon } = &*ASSETS;
    let Some(found) = [style, htmx, live, icon].into_iter().find(|asset| asset.name == name) else {
        return Problem::new(Code::NoSuchThing, "there is no file of this name here").into_response();
    };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(found.kind)), (header::CACHE_CONTROL, FOR_EVER)];
    (headers, found.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_what_is_said_of_it() {
        let said = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/THIRD-PARTY.md"));
        let digest = Digest::of(ASSETS.htmx.content.as_bytes()).to_string();
        assert!(said.contains(&digest), "THIRD-PARTY.md does not name {digest}");
    }

    #[test]
    fn names_change_with_the_content() {
        let name = |content| Asset::new("style", "css", "text/css", content).name;
        assert_ne!(name("a"), name("b"));
        assert_eq!(name("a"), name("a"));
    }
}
