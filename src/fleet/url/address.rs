//! A connection URL, taken apart. Works on masked text (see [`super::super::template`]), so that references may stand in any
//! part, and never puts a part of the URL into an error.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::fleet::ServerKey;
use crate::fleet::template::{Fault, Segment, Values, has_text, index, marks, segments};
use crate::fleet::tenant::Engine;

/// Everything but RFC 3986's unreserved characters.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As well what an address and a port are written with, so that `${env:HOST}` may hold `db-3:5432`.
const HOST: &AsciiSet = &COMPONENT.remove(b':').remove(b'[').remove(b']');
const FILE_PATH: &AsciiSet = &COMPONENT.remove(b'/');

/// Query parameters that are passwords, to some driver or other.
const PASSWORD_KEYS: [&str; 5] = ["password", "sslpassword", "passwd", "pass", "pwd"];

/// What SQLite's driver understands behind the `?`.
const SQLITE_KEYS: [&str; 4] = ["mode", "cache", "immutable", "vfs"];

/// Where a piece stands, which decides how a value is encoded into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet) enum Place {
    Host,
    FilePath,
    /// User, password, database, the value of a parameter.
    Component,
}

impl Place {
    pub(in crate::fleet) fn encode(self, value: &str) -> String {
        let set = match self {
            Self::Host => HOST,
            Self::FilePath => FILE_PATH,
            Self::Component => COMPONENT,
        };
        utf8_percent_encode(value, set).to_string()
    }
}

/// One `key=value` of a query; the key in clear, the value a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct Parameter {
    key: String,
    value: String,
}

impl Parameter {
    /// The key, as a driver reads it.
    fn name(&self) -> String {
        percent_decode_str(&self.key).decode_utf8_lossy().to_lowercase()
    }
}

/// `postgres://user:password@host:port/database?key=value`, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct ServerUrl {
    engine: Engine,
    scheme: String,
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<String>,
    database: String,
    query: Vec<Parameter>,
}

/// `sqlite://path?key=value`, in pieces. The path is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct FileUrl {
    path: String,
    query: Vec<Parameter>,
}

/// A URL in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) enum Address {
    Server(ServerUrl),
    File(FileUrl),
}

impl Address {
    /// Takes masked text apart. The text must not begin with a reference.
    pub(in crate::fleet) fn split(text: &str) -> Result<Self, Fault> {
        let Some((scheme, rest)) = text.split_once(':') else { return plain_path(text).map(Self::File) };
        let engine = match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Engine::Postgres,
            "mysql" | "mariadb" => Engine::Mysql,
            "sqlite" => return FileUrl::split(rest).map(Self::File),
            other if rest.starts_with("//") && is_scheme(other) => {
                let known = "postgres://, sqlite: and mysql://";
                return Err(Fault::url(format!("the scheme {other:?} is not known; known are {known}")));
            }
            _ => return Err(neither()),
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(Fault::url("the scheme is not followed by //"));
        };
        ServerUrl::split(engine, scheme, rest).map(Self::Server)
    }

    pub(in crate::fleet) fn engine(&self) -> Engine {
        match self {
            Self::Server(server) => server.engine,
            Self::File(_) => Engine::Sqlite,
        }
    }

    fn query(&self) -> &[Parameter] {
        match self {
            Self::Server(server) => &server.query,
            Self::File(file) => &file.query,
        }
    }

    /// The pieces that are passwords, empty ones left out.
    pub(in crate::fleet) fn passwords(&self) -> impl Iterator<Item = &str> {
        let userinfo = match self {
            Self::Server(server) => server.password.as_deref(),
            Self::File(_) => None,
        };
        let parameters = self.query().iter().filter(|parameter| is_password_key(&parameter.key));
        userinfo
            .into_iter()
            .chain(parameters.map(|parameter| parameter.value.as_str()))
            .filter(|piece| !piece.is_empty())
    }

    /// The one password that stands here in clear, or partly so.
    pub(in crate::fleet) fn clear_password(&self) -> Result<Option<&str>, Fault> {
        let mut clear = self.passwords().filter(|piece| has_text(piece));
        let first = clear.next();
        if clear.next().is_some() {
            return Err(Fault::url("it holds more than one password in clear; write references for all but one"));
        }
        Ok(first)
    }

    /// Puts `piece` where the clear password stands.
    pub(in crate::fleet) fn replace_clear_password(&mut self, piece: &str) {
        let (password, query) = match self {
            Self::Server(server) => (server.password.as_mut(), &mut server.query),
            Self::File(file) => (None, &mut file.query),
        };
        let parameters = query.iter_mut().filter(|parameter| is_password_key(&parameter.key));
        let slots = password.into_iter().chain(parameters.map(|parameter| &mut parameter.value));
        for slot in slots.filter(|slot| has_text(slot)) {
            piece.clone_into(slot);
        }
    }

    /// Takes `schema=…` out of the query.
    pub(in crate::fleet) fn take_schema(&mut self, values: &Values) -> Result<Option<String>, Fault> {
        let Self::Server(server) = self else { return Ok(None) };
        let (mut schemas, query): (Vec<_>, Vec<_>) =
            std::mem::take(&mut server.query).into_iter().partition(|parameter| parameter.name() == "schema");
        server.query = query;
        let schema = schemas.pop();
        if !schemas.is_empty() {
            return Err(Fault::url("it names a schema twice"));
        }
        schema.map(|parameter| decode(&parameter.value, values)).transpose()
    }

    /// Whether a reference stands in a password and nowhere else. All others are needed to know which database is meant.
    pub(in crate::fleet) fn is_in_password(&self, at: usize) -> bool {
        self.passwords().flat_map(marks).any(|mark| mark == at)
    }

    /// Puts the pieces together, each as `write` makes it.
    pub(in crate::fleet) fn build(&self, write: impl Fn(&str, Place) -> String) -> String {
        let (mut text, query) = match self {
            Self::Server(server) => (server.build_authority(&write), &server.query),
            Self::File(file) => (format!("sqlite://{}", write(&file.path, Place::FilePath)), &file.query),
        };
        for (at, parameter) in query.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text.push_str(&parameter.key);
            text.push('=');
            text.push_str(&write(&parameter.value, Place::Component));
        }
        text
    }

    /// The URL with all its values.
    pub(in crate::fleet) fn filled(&self, values: &Values) -> String {
        self.build(|piece, place| fill(piece, values, place))
    }

    /// Makes a relative file absolute. One that begins with a reference is absolute by itself, or refused by [`Self::place`].
    pub(in crate::fleet) fn absolute(&mut self, base_dir: &Path) {
        let Self::File(file) = self else { return };
        if !file.path.starts_with('/') && file.path.chars().next().is_some_and(|c| index(c).is_none()) {
            let base = Place::FilePath.encode(&base_dir.to_string_lossy());
            file.path = format!("{}/{}", base.trim_end_matches('/'), file.path.trim_start_matches("./"));
        }
    }

    /// Which database this is: what tells whether two URLs mean the same one.
    pub(in crate::fleet) fn place(&self, values: &Values) -> Result<DatabasePlace, Fault> {
        match self {
            Self::Server(server) => server.place(values),
            Self::File(file) => {
                let path = decode(&file.path, values)?;
                if !path.starts_with('/') {
                    return Err(Fault::url("a file path that comes from a reference must be absolute"));
                }
                Ok(DatabasePlace::File { path })
            }
        }
    }
}

/// A database, told from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) enum DatabasePlace {
    Server { server: ServerKey, database: String },
    File { path: String },
}

impl DatabasePlace {
    pub(in crate::fleet) fn server(&self) -> ServerKey {
        match self {
            Self::Server { server, .. } => server.clone(),
            Self::File { .. } => ServerKey::sqlite(),
        }
    }
}

impl ServerUrl {
    fn split(engine: Engine, scheme: &str, rest: &str) -> Result<Self, Fault> {
        if rest.contains('#') {
            return Err(Fault::url("a # in a password or a name must be written %23"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // Behind the authority an @ is the trace of a password with a raw / or ? in it, cut in two.
        if database.contains('@') || query.is_some_and(|query| query.contains('@')) {
            return Err(Fault::url("behind the host an @ must be written %40, and in a password a / %2F and a ? %3F"));
        }
        let (userinfo, host_port) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (user, password) = match userinfo.map(|userinfo| userinfo.split_once(':').unwrap_or((userinfo, ""))) {
            Some((user, "")) => (Some(user.to_owned()), None),
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
            None => (None, None),
        };
        let (host, port) = split_port(host_port)?;
        let query = split_query(query)?;
        let url = Self {
            engine,
            scheme: scheme.to_ascii_lowercase(),
            user,
            password,
            host: host.to_owned(),
            port: port.map(str::to_owned),
            database: database.to_owned(),
            query,
        };
        // The pieces make a URL whatever the references stand for: a digit is legal everywhere.
        let probe = Address::Server(url.clone()).build(|piece, _| piece.replace(|c| index(c).is_some(), "1"));
        ::url::Url::parse(&probe).map_err(|error| Fault::url(error.to_string()))?;
        Ok(url)
    }

    fn build_authority(&self, write: &impl Fn(&str, Place) -> String) -> String {
        let mut text = format!("{}://", self.scheme);
        if let Some(user) = &self.user {
            text.push_str(&write(user, Place::Component));
            if let Some(password) = &self.password {
                text.push(':');
                text.push_str(&write(password, Place::Component));
            }
            text.push('@');
        }
        text.push_str(&write(&self.host, Place::Host));
        if let Some(port) = &self.port {
            text.push(':');
            text.push_str(&write(port, Place::Host));
        }
        text.push('/');
        text.push_str(&write(&self.database, Place::Component));
        text
    }

    fn has(&self, name: &str) -> bool {
        self.query.iter().any(|parameter| parameter.name() == name)
    }

    fn place(&self, values: &Values) -> Result<DatabasePlace, Fault> {
        // The MySQL driver reads no part of the address in a parameter, but for a socket's.
        let read = |name: &str| self.engine != Engine::Mysql || name == "socket";
        let parameter = |name: &str| self.query.iter().rev().find(|parameter| read(name) && parameter.name() == name);
        // A parameter wins over its part of the URL, as it does in the driver.
        let either = |names: &[&str], piece: Option<&str>| match names.iter().find_map(|name| parameter(name)) {
            Some(parameter) => decode(&parameter.value, values),
            None => decode(piece.unwrap_or_default(), values),
        };
        let host = either(&["hostaddr", "host"], Some(&self.host))?.to_lowercase();
        let port = either(&["port"], self.port.as_deref())?;
        // `${env:HOST}` may have brought its port along.
        let (host, port) = match split_port(&host) {
            Ok((name, Some(inner))) if port.is_empty() => (name.to_owned(), inner.to_owned()),
            _ => (host, port),
        };
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        let port = match (port.is_empty(), self.engine) {
            (false, _) => port,
            (true, Engine::Mysql) => "3306".to_owned(),
            (true, _) => "5432".to_owned(),
        };
        let user = either(&["user"], self.user.as_deref())?;
        let database = either(&["dbname"], Some(&self.database))?;
        if self.engine == Engine::Mysql {
            if database.is_empty() {
                return Err(Fault::url("it names no database"));
            }
            if let Some(key) = ["password", "passwd", "pass", "pwd", "user"].into_iter().find(|key| self.has(key)) {
                return Err(Fault::url(format!("in a mysql URL {key} stands before the host, not in a parameter")));
            }
            if let Some(socket) = parameter("socket") {
                let server = ServerKey::new(&format!("unix:{}", decode(&socket.value, values)?));
                return Ok(DatabasePlace::Server { server, database });
            }
        }
        let database = if database.is_empty() { user } else { database };
        Ok(DatabasePlace::Server { server: ServerKey::new(&format!("{host}:{port}")), database })
    }
}

impl FileUrl {
    fn split(rest: &str) -> Result<Self, Fault> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let query = split_query(query)?;
        let memory = |parameter: &Parameter| parameter.name() == "mode" && parameter.value == "memory";
        if path == ":memory:" || query.iter().any(memory) {
            return Err(Fault::url("a database in memory ends with its connection; name a file"));
        }
        if path.is_empty() || path.ends_with('/') {
            return Err(Fault::url("it names no file"));
        }
        if query.iter().any(|parameter| !SQLITE_KEYS.contains(&parameter.key.as_str())) {
            return Err(Fault::url(format!("the parameters of a sqlite URL are {}", SQLITE_KEYS.join(", "))));
        }
        Ok(Self { path: path.to_owned(), query })
    }
}

/// Text without a scheme is a file's path, character by character, unless it looks like another tool's connection string:
/// that would be frozen with its password in it.
fn plain_path(text: &str) -> Result<FileUrl, Fault> {
    if text.contains(['@', '=', ';']) {
        return Err(neither());
    }
    FileUrl::split(&text.replace('%', "%25").replace('?', "%3F"))
}

fn neither() -> Fault {
    Fault::url("it is neither a URL nor a plain file path; a file with one of : @ = ; in its name is written sqlite:…")
}

fn is_scheme(text: &str) -> bool {
    text.len() <= 20 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

pub(in crate::fleet) fn is_password_key(key: &str) -> bool {
    PASSWORD_KEYS.contains(&percent_decode_str(key).decode_utf8_lossy().to_lowercase().as_str())
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), Fault> {
    let host_end = if text.starts_with('[') { text.rfind(']').unwrap_or(0) } else { 0 };
    let (host, port) = match text[host_end..].find(':') {
        Some(at) => (&text[..host_end + at], Some(&text[host_end + at + 1..])),
        None => (text, None),
    };
    if host.contains(',') || port.is_some_and(|port| port.contains(',')) {
        return Err(Fault::url("more than one host is not supported"));
    }
    match port {
        None | Some("") => Ok((host, None)),
        Some(port) if port.parse::<u16>().is_ok() || !has_text(port) => Ok((host, Some(port))),
        Some(_) => Err(Fault::url("the port is not a number below 65536, or the password holds a raw /, ? or #")),
    }
}

fn split_query(query: Option<&str>) -> Result<Vec<Parameter>, Fault> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if marks(key).next().is_some() {
                return Err(Fault::url("a reference cannot name a parameter, only its value"));
            }
            // In a query a `+` is a space, and nowhere else; from here on a piece reads the same wherever it stood.
            Ok(Parameter { key: key.to_owned(), value: value.replace('+', "%20") })
        })
        .collect()
}

/// A piece with the values of its references encoded into it.
fn fill(piece: &str, values: &Values, place: Place) -> String {
    segments(piece)
        .map(|segment| match segment {
            Segment::Text(text) => text.to_owned(),
            Segment::Mark(at) => values.get(&at).map(|value| place.encode(value)).unwrap_or_default(),
        })
        .collect()
}

/// What a piece means: its own text decoded, its references as their values.
pub(in crate::fleet) fn decode(piece: &str, values: &Values) -> Result<String, Fault> {
    segments(piece)
        .map(|segment| match segment {
            Segment::Text(text) => match percent_decode_str(text).decode_utf8() {
                Ok(text) => Ok(text.into_owned()),
                Err(_) => Err(Fault::url("a part of it does not decode to UTF-8")),
            },
            Segment::Mark(at) => Ok(values.get(&at).cloned().unwrap_or_default()),
        })
        .collect()
}
