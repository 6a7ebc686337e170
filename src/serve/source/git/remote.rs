//! The one repository that is spoken to, and how its secrets are kept out of sight.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::fleet::{Secret, redact};

/// Bytes of a repository's URL.
const URL_BYTES_MAX: usize = 2_000;

/// A checked URL.
#[derive(Debug)]
pub(super) struct Remote {
    /// As git gets it: without a user and a password, where they would be seen in the list of processes.
    url: String,
    /// The only protocol that git may speak.
    protocol: &'static str,
    login: Option<Login>,
}

/// What `https://user:password@` says.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: Secret,
    pub(super) password: Secret,
}

impl Remote {
    /// Reads a URL.
    ///
    /// # Errors
    /// Why it is not spoken to, without the URL.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > URL_BYTES_MAX {
            return Err(format!("it has not 1 to {URL_BYTES_MAX} bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("it holds white space or a control character".to_owned());
        }
        if !text.contains("://") {
            return scp(text);
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a ? or a # in it".to_owned());
        }
        match url.scheme() {
            "https" => http(url, "https"),
            "http" if is_this_machine(&url) => http(url, "http"),
            "http" => Err("http:// is for this machine itself; use https://".to_owned()),
            "ssh" if url.password().is_some() => Err("ssh takes no password from a URL; use a key".to_owned()),
            "ssh" if is_option(url.host_str()) || is_option(Some(url.username())) => {
                Err("its host or user begins with -".to_owned())
            }
            "ssh" => Ok(Self { url: text.to_owned(), protocol: "ssh", login: None }),
            "file" if url.host().is_some() => {
                Err("a file:// URL has three slashes: file:///srv/git/shop.git".to_owned())
            }
            "file" => Ok(Self { url: text.to_owned(), protocol: "file", login: None }),
            _ => Err("it is not https://, ssh://, user@host:path or file://".to_owned()),
        }
    }

    /// As git gets it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// For people: without secrets.
    pub(super) fn shown(&self) -> &str {
        &self.url
    }

    pub(super) fn protocol(&self) -> &'static str {
        self.protocol
    }

    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// `text` without the secrets of this URL, and without anybody's user and password in front of a host.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets: Vec<Secret> =
            self.login.iter().flat_map(|login| [login.password.clone(), login.user.clone()]).collect();
        without_logins(&redact(text, &secrets))
    }
}

/// `git@host:path`. A bare path is not taken: what is read from this machine's own disk says so, with `file://`.
fn scp(text: &str) -> Result<Remote, String> {
    let plain = |part: &str, also: &[u8]| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    let pieces = text.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    match pieces {
        Some((user, (host, path)))
            if plain(user, b"._-") && plain(host, b".-") && !path.is_empty() && !path.starts_with(['-', ':']) =>
        {
            Ok(Remote { url: text.to_owned(), protocol: "ssh", login: None })
        }
        _ => Err("it is not https://, ssh://, user@host:path or file://".to_owned()),
    }
}

fn http(mut url: Url, protocol: &'static str) -> Result<Remote, String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| Secret::new(text.into_owned()));
    let not_text = |_| "its user or password is not UTF-8 text".to_owned();
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => {
            let user = decoded(user).map_err(not_text)?;
            let password = decoded(password.unwrap_or_default()).map_err(not_text)?;
            if [&user, &password].iter().any(|part| part.expose().chars().any(char::is_control)) {
                return Err("its user or password holds a control character".to_owned());
            }
            Some(Login { user, password })
        }
    };
    // Both can only fail where there is no host, and these have one.
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| "it has no host".to_owned())?;
    Ok(Remote { url: url.into(), protocol, login })
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn is_option(part: Option<&str>) -> bool {
    part.is_some_and(|part| part.starts_with('-'))
}

/// `scheme://user:password@host` as `scheme://***@host`.
fn without_logins(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"')).unwrap_or(piece.len());
        let (authority, rest) = piece.split_at(end);
        clean.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str("***@");
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protocols_on_the_list_are_spoken() {
        for (url, protocol) in [
            ("https://git.example.org/shop.git", "https"),
            ("http://127.0.0.1:8080/shop.git", "http"),
            ("http://[::1]/shop.git", "http"),
            ("ssh://git@git.example.org:2222/shop.git", "ssh"),
            ("git@git.example.org:shop/shop.git", "ssh"),
            ("file:///srv/git/shop.git", "file"),
        ] {
            assert_eq!(Remote::parse(url).unwrap().protocol(), protocol, "{url}");
        }
        for url in [
            "",
            "http://git.example.org/shop.git",
            "git://git.example.org/shop.git",
            "ext::sh -c id",
            "ext::sh",
            "/srv/git/shop.git",
            "../shop.git",
            "shop.git",
            "--upload-pack=id",
            "-x@host:path",
            "git@-oProxyCommand=id:x",
            "ssh://-oProxyCommand=id/x",
            "ssh://git:pw@host/x",
            "file://host/srv",
            "https://host/x?y",
            "https://host/x#y",
            "https://host/a b",
            "ftp://host/x",
            "fd::17",
            "https://h/x\n",
            "https://u:p%00w@host/x",
        ] {
            Remote::parse(url).unwrap_err();
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url_and_out_of_what_git_says() {
        let remote = Remote::parse("https://bot:p%40ss@git.example.org/shop.git").unwrap();
        assert_eq!(remote.url(), "https://git.example.org/shop.git");
        let login = remote.login().unwrap();
        assert_eq!((login.user.expose(), login.password.expose()), ("bot", "p@ss"));
        assert!(!format!("{remote:?}").contains("p@ss") && !format!("{remote:?}").contains("bot"));
        let said = "fatal: 'https://bot:p%40ss@git.example.org/' and p@ss and ssh://other:word@elsewhere/x";
        assert_eq!(remote.redact(said), "fatal: 'https://***@git.example.org/' and *** and ssh://***@elsewhere/x");
        let token = Remote::parse("https://ghp_x@github.com/a/b").unwrap();
        assert_eq!(token.redact("ghp_x"), "***");
    }
}
