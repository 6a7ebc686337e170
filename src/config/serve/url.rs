//! URLs that the server talks to, or is reached at. None of them holds a password.

use std::fmt;

use ::url::Url;

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2_000;

/// An `http` or `https` URL without credentials and without a fragment, and without a slash at its end.
///
/// Shown as its origin alone: of the URLs at which chats and dashboards take messages, many are secrets as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

/// Whether a URL may have a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Allowed,
    Refused,
}

impl HttpUrl {
    pub(super) fn new(text: &str, query: Query) -> Result<Self, &'static str> {
        let url = parse(text)?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("it must begin with http:// or https:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must hold no credentials: they have keys of their own");
        }
        if url.fragment().is_some() || (url.query().is_some() && query == Query::Refused) {
            return Err("it must have no ? and no #");
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: what may be shown of it.
    #[must_use]
    pub fn origin(&self) -> &str {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[host..].find(['/', '?']).map_or(self.0.len(), |at| host + at);
        &self.0[..end]
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({}/…)", self.origin())
    }
}

/// Where a git repository is: `https://`, `http://`, `ssh://`, `file:///`, `user@host:path`, or an absolute path.
///
/// Never a form that makes `git` run another program (`ext::…`), and none that reads as an option. A password is not part of it:
/// `git` has its own ways, a credential helper or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitUrl(String);

impl GitUrl {
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        const FORMS: &str =
            "it must be an https://, http://, ssh:// or file:/// URL, user@host:path, or an absolute path";
        let plain = text.len() <= URL_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic()) && !text.contains("${");
        if !plain || text.contains("::") || text.starts_with('-') {
            return Err(FORMS);
        }
        if !text.contains("://") {
            let scp = text.split_once(':').is_some_and(|(host, path)| is_scp_host(host) && !path.is_empty());
            return if scp || text.starts_with('/') { Ok(Self(text.to_owned())) } else { Err(FORMS) };
        }
        let url = parse(text).map_err(|_| FORMS)?;
        if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
            return Err("it must hold no credentials: give git a credential helper, or a key for ssh");
        }
        let host = url.host_str().is_some_and(|host| !host.starts_with('-'));
        let known = match url.scheme() {
            "https" | "http" | "ssh" => host,
            "file" => url.host().is_none(),
            _ => false,
        };
        if known && url.query().is_none() && url.fragment().is_none() { Ok(Self(text.to_owned())) } else { Err(FORMS) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse(text: &str) -> Result<Url, &'static str> {
    if text.len() > URL_BYTES_MAX {
        return Err("it is longer than 2000 bytes");
    }
    if text.contains("${") {
        return Err("references do not work here");
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("it holds a character that a URL does not have");
    }
    Url::parse(text).map_err(|_| "it is not a URL")
}

fn is_scp_host(text: &str) -> bool {
    let (user, host) = text.split_once('@').unwrap_or(("git", text));
    let word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    word(user) && word(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_as_its_origin_alone() {
        let url = HttpUrl::new("https://chat.example.org:8443/hooks/hunter2?token=hunter2", Query::Allowed).unwrap();
        assert_eq!(format!("{url:?}"), "HttpUrl(https://chat.example.org:8443/…)");
        assert_eq!(url.as_str(), "https://chat.example.org:8443/hooks/hunter2?token=hunter2");
        assert_eq!(HttpUrl::new("http://[::1]:8400/", Query::Refused).unwrap().as_str(), "http://[::1]:8400");
        assert_eq!(HttpUrl::new("http://h?x", Query::Allowed).unwrap().origin(), "http://h");
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        let table = [
            "",
            "h",
            "ftp://h",
            "http://",
            "http://u:p@h",
            "http://u@h",
            "http://h#f",
            "http://h?q",
            "http://h/${env:X}",
            "http://h/ä",
        ];
        for text in table {
            assert!(HttpUrl::new(text, Query::Refused).is_err(), "{text}");
        }
    }

    #[test]
    fn a_git_url_leads_to_a_repository_and_to_nothing_else() {
        let good = [
            "https://git.example.org/shop.git",
            "http://127.0.0.1:3000/shop.git",
            "ssh://git@git.example.org:22/shop.git",
            "git@git.example.org:team/shop.git",
            "file:///srv/git/shop.git",
            "/srv/git/shop.git",
        ];
        for text in good {
            assert_eq!(GitUrl::new(text).unwrap().as_str(), text);
        }
        let bad = [
            "",
            "shop.git",
            "../shop.git",
            "--upload-pack=touch x",
            "-x:y",
            "ext::sh -c touch% x",
            "ext::sh",
            "https://u:hunter2@h/x",
            "https://hunter2@h/x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x@h:y",
            "git@-h:x",
            "git@h:",
            "ftp://h/x",
            "https:///x?y",
            "https://h/${env:X}",
            "file://host/x",
            "/srv/a b",
        ];
        for text in bad {
            let error = GitUrl::new(text).unwrap_err();
            assert!(!error.contains("hunter2"));
        }
    }
}
