//! What stands around every page.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use super::assets::{ASSETS, Assets};
use super::form::proof;
use crate::base::Code;
use crate::serve::access::{Principal, Via};
use crate::serve::problem::{Problem, page_of};

/// The frame of a page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) who: Option<Who>,
    pub(super) assets: &'static Assets,
    pub(super) version: &'static str,
}

/// For whom a page is.
pub(super) struct Who {
    pub(super) name: String,
    pub(super) role: &'static str,
    /// What its forms carry.
    pub(super) csrf: String,
    /// Whether there is a session to be ended.
    pub(super) session: bool,
}

impl Frame {
    pub(super) fn new(title: impl Into<String>, principal: Option<&Principal>) -> Self {
        let who = principal.map(|principal| Who {
            name: principal.name.clone(),
            role: principal.role.as_str(),
            csrf: proof(principal).unwrap_or_default().to_owned(),
            session: matches!(principal.via, Via::Session { .. }),
        });
        Self { title: title.into(), who, assets: &ASSETS, version: env!("CARGO_PKG_VERSION") }
    }
}

/// A page as an answer.
pub(super) fn answer(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => Problem::new(Code::Defect, format!("a page cannot be made: {error}")).into_response(),
    }
}

/// To another page, after something was done.
pub(super) fn see_other(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => Problem::new(Code::Defect, "an address cannot be written down").into_response(),
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    title: &'static str,
    code: Code,
    page: String,
    detail: &'a str,
    next: Option<&'a str>,
    login: bool,
}

/// A problem for whoever looks at it in a browser.
pub(in crate::serve) fn problem_page(problem: &Problem) -> Response {
    let code = problem.code();
    let page = ProblemPage {
        frame: Frame::new(code.title(), None),
        title: code.title(),
        code,
        page: page_of(code),
        detail: problem.detail(),
        next: problem.what_next(),
        login: problem.status == StatusCode::UNAUTHORIZED,
    };
    let mut answer = answer(&page);
    *answer.status_mut() = problem.status;
    answer
}
