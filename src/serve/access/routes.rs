//! What each route asks of whoever uses it. A route that is not here is refused to everybody.

use http::Method;

use crate::log::Role;

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A proof of origin that the route looks at itself: the signature of a webhook, the token of a login.
    Proof,
    /// This role, or one that may do more.
    Role(Role),
}

use Need::{Nothing, Proof};

const VIEW: Need = Need::Role(Role::Viewer);
const DEPLOY: Need = Need::Role(Role::Deployer);
const OPERATE: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// Every route, by method and path, with what it asks for.
pub const ROUTES: &[(Method, &str, Need)] = &[
    (Method::GET, "/healthz", Nothing),
    (Method::GET, "/readyz", Nothing),
    (Method::GET, "/metrics", VIEW),
    (Method::POST, "/webhooks/{name}", Proof),
    (Method::GET, "/v1/openapi.json", Nothing),
    (Method::GET, "/v1/server", VIEW),
    (Method::GET, "/v1/deploys", VIEW),
    (Method::POST, "/v1/deploys", DEPLOY),
    (Method::GET, "/v1/deploys/{id}", VIEW),
    (Method::GET, "/v1/deploys/{id}/events", VIEW),
    (Method::GET, "/v1/deploys/{id}/live", VIEW),
    (Method::GET, "/v1/deploys/{id}/tenants", VIEW),
    (Method::GET, "/v1/deploys/{id}/tenants/{tenant}", VIEW),
    (Method::POST, "/v1/deploys/{id}/pause", OPERATE),
    (Method::POST, "/v1/deploys/{id}/resume", OPERATE),
    (Method::POST, "/v1/deploys/{id}/unwind", OPERATE),
    (Method::POST, "/v1/deploys/{id}/cancel", DEPLOY),
    (Method::POST, "/v1/deploys/{id}/retry", OPERATE),
    (Method::POST, "/v1/deploys/{id}/resolve", OPERATE),
    (Method::POST, "/v1/deploys/{id}/rollback", OPERATE),
    (Method::GET, "/v1/tenants", VIEW),
    (Method::GET, "/v1/releases", VIEW),
    (Method::GET, "/v1/releases/{digest}", VIEW),
    (Method::PUT, "/v1/releases/{digest}", DEPLOY),
    (Method::GET, "/v1/workflows", VIEW),
    (Method::GET, "/v1/workflows/{name}", VIEW),
    (Method::GET, "/v1/audit/export", VIEW),
    (Method::GET, "/v1/tokens", ADMIN),
    (Method::POST, "/v1/tokens", ADMIN),
    (Method::DELETE, "/v1/tokens/{id}", ADMIN),
    (Method::GET, "/", VIEW),
    (Method::GET, "/login", Nothing),
    (Method::POST, "/login", Proof),
    (Method::POST, "/logout", VIEW),
    (Method::GET, "/assets/{name}", Nothing),
    (Method::GET, "/deploys/{id}", VIEW),
    (Method::GET, "/deploys/{id}/parts/{part}", VIEW),
    (Method::GET, "/deploys/{id}/tenants/{tenant}", VIEW),
    (Method::POST, "/deploys/{id}/{command}", OPERATE),
];

/// What a route asks for; none where there is no such route.
#[must_use]
pub fn need(method: &Method, path: &str) -> Option<Need> {
    // HEAD is GET without the answer's body.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(of, at, _)| of == method && *at == path).map(|(_, _, need)| *need)
}
