//! Connection URLs in their three forms: as a source writes them, as the log keeps them, and as a driver needs them.
//!
//! | Form | May hold a clear password | Goes where |
//! |---|---|---|
//! | [`SourceUrl`] | yes | nowhere: it is read and frozen |
//! | [`UrlTemplate`] | never: its constructor refuses one | into the log, the output, the pages |
//! | [`ResolvedUrl`] | yes | to the driver, then it is dropped |

mod address;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr as _;

use serde::{Deserialize, Serialize};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

pub(super) use self::address::DatabasePlace;
use self::address::{Address, Place, decode, is_password_key};
use super::budget::ServerKey;
use super::error::{FleetError, Subject};
use super::secret::{Secret, SecretResolver, redact};
use super::template::{Columns, Fault, Masked, Reference, Segment, has_text, marks, segments};
use super::tenant::{Engine, Target};

/// Bytes of a PostgreSQL identifier.
const SCHEMA_BYTES_MAX: usize = 63;

/// Bytes of a connection URL.
const URL_BYTES_MAX: usize = 8 * 1024;

/// A value as it stands in a component of a URL.
pub(super) fn encode(value: &str) -> String {
    Place::Component.encode(value)
}

/// A file's path as it stands in a `sqlite:` URL.
pub(super) fn encode_path(path: &str) -> String {
    Place::FilePath.encode(path)
}

/// The text cannot be kept as a connection URL.
#[derive(Debug, thiserror::Error)]
#[error("not a connection URL without clear passwords: {reason}")]
pub struct BadTemplate {
    /// Why.
    pub reason: String,
}

impl From<Fault> for BadTemplate {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Url { reason } => Self { reason },
            Fault::Reference { reference, reason } => Self { reason: format!("{reference}: {reason}") },
        }
    }
}

/// A connection URL as the log keeps it: every password is a reference. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlTemplate(String);

impl UrlTemplate {
    /// Checks and wraps.
    ///
    /// # Errors
    /// When the text is no URL, or holds a password in clear.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTemplate> {
        let text = text.into();
        let masked = parse(&text, Columns::Literal)?;
        if masked.head().is_some() {
            check_tail(&masked)?;
        } else if Address::split(&masked.text)?.clear_password()?.is_some() {
            return Err(BadTemplate { reason: "it holds a password in clear".to_owned() });
        }
        Ok(Self(text))
    }

    /// The text, references unresolved.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a secret of it comes from the fleet's source.
    pub(super) fn asks_source(&self) -> bool {
        parse(&self.0, Columns::Literal).is_ok_and(|masked| masked.references.contains(&Reference::Source))
    }

    pub(super) async fn resolve(
        &self,
        subject: &Subject,
        target: &Target,
        resolver: &SecretResolver,
    ) -> Result<ResolvedUrl, FleetError> {
        let masked = parse(&self.0, Columns::Literal).map_err(|fault| fault.of(subject))?;
        let opened = Opened::open(masked, subject, resolver).await?;
        if opened.address.engine() != target.engine {
            let reason = format!("it was a {} URL when the deploy was made, and is now another's", target.engine);
            return Err(Fault::url(reason).of(subject));
        }
        opened.resolve(subject, target.schema.clone(), resolver).await
    }
}

impl TryFrom<String> for UrlTemplate {
    type Error = BadTemplate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<UrlTemplate> for String {
    fn from(url: UrlTemplate) -> Self {
        url.0
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection URL as a source writes it: perhaps with a password in clear, perhaps with references. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceUrl(***)")
    }
}

impl From<String> for SourceUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SourceUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A tenant's URL, made ready for the log.
pub(super) struct Frozen {
    pub(super) target: Target,
    /// Which database it is.
    pub(super) place: DatabasePlace,
}

impl SourceUrl {
    /// Takes the clear password and the schema out, makes relative paths absolute, and learns which database is meant.
    pub(super) async fn freeze(
        &self,
        subject: &Subject,
        schema: Option<&str>,
        base_dir: &Path,
        resolver: &SecretResolver,
    ) -> Result<Frozen, FleetError> {
        let fault = |fault: Fault| fault.of(subject);
        let masked = self.masked(base_dir).map_err(fault)?;
        let mut opened = Opened::open(masked.clone(), subject, resolver).await?;
        opened.address.absolute(base_dir);
        let wanted = |at| !opened.address.is_in_password(at);
        let values = resolver.values(subject, &opened.masked, wanted).await?;
        let place = opened.address.place(&values).map_err(fault)?;
        let engine = opened.address.engine();
        let own_schema = opened.address.take_schema(&values).map_err(fault)?;
        let schema = one_schema(engine, own_schema, schema).map_err(fault)?;
        let text = match masked.head() {
            Some(_) => masked.to_template(),
            None => opened.freeze().map_err(fault)?,
        };
        let url = UrlTemplate::new(text).map_err(|error| Fault::url(error.reason).of(subject))?;
        Ok(Frozen { target: Target { engine, url, schema, ledger_schema: None }, place })
    }

    /// The password that stands here in clear, or partly so; the rest of it resolved. What `${source}` means.
    pub(super) async fn clear_password(
        &self,
        subject: &Subject,
        base_dir: &Path,
        resolver: &SecretResolver,
    ) -> Result<Option<Secret>, FleetError> {
        let masked = self.masked(base_dir).map_err(|fault| fault.of(subject))?;
        if masked.head().is_some() {
            return Ok(None);
        }
        let address = Address::split(&masked.text).map_err(|fault| fault.of(subject))?;
        let Some(piece) = address.clear_password().map_err(|fault| fault.of(subject))? else { return Ok(None) };
        let values = resolver.values(subject, &masked, |at| marks(piece).any(|mark| mark == at)).await?;
        let password = decode(piece, &values).map_err(|fault| fault.of(subject))?;
        Ok(Some(Secret::new(password)))
    }

    /// This URL, for use at once: the catalog's, the log's. Relative paths start from `base_dir`.
    ///
    /// # Errors
    /// WL0003 naming the reference that leads nowhere; WL0205 when this is no valid URL.
    pub async fn resolve(
        &self,
        subject: &Subject,
        base_dir: &Path,
        resolver: &SecretResolver,
    ) -> Result<ResolvedUrl, FleetError> {
        let masked = self.masked(base_dir).map_err(|fault| fault.of(subject))?;
        let mut opened = Opened::open(masked, subject, resolver).await?;
        opened.address.absolute(base_dir);
        opened.resolve(subject, None, resolver).await
    }

    fn masked(&self, base_dir: &Path) -> Result<Masked, Fault> {
        let mut masked = parse(&self.0, Columns::Literal)?;
        if masked.references.contains(&Reference::Source) {
            return Err(Fault::url("${source} stands for what is written here, so it cannot be written here"));
        }
        masked.absolute_files(base_dir);
        Ok(masked)
    }
}

/// `{column}` placeholders, in the URL of a source.
impl SourceUrl {
    /// This URL with each placeholder replaced by its value from `row`, encoded for its place. A placeholder at the very
    /// beginning stands for (the beginning of) a URL, and its value may hold references.
    pub(super) fn with_columns(&self, row: &BTreeMap<String, String>) -> Result<Self, String> {
        let said = |fault| BadTemplate::from(fault).reason;
        let mut masked = parse(&self.0, Columns::Named).map_err(said)?;
        for reference in &masked.references {
            if let Reference::Column { name } = reference
                && !row.contains_key(name)
            {
                let given = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(format!("the url needs {{{name}}}, and there is a value for {given} only"));
            }
        }
        if let Some(Reference::Column { name }) = masked.head().and_then(|at| masked.references.get(at)) {
            let value = parse(row.get(name).map_or("", String::as_str), Columns::Literal).map_err(said)?;
            masked = masked.with_head(&value).map_err(said)?;
        }
        let write = |piece: &str, place: Place| write_columns(&masked, piece, place, row);
        match masked.head() {
            Some(_) => Ok(Self(write(&masked.text, Place::Component))),
            None => Ok(Self(Address::split(&masked.text).map_err(said)?.build(write))),
        }
    }

    /// The placeholders whose values must not become labels: those in a password, and, where the URL begins with one, all.
    pub(super) fn secret_columns(&self) -> Result<BTreeSet<String>, String> {
        let said = |fault| BadTemplate::from(fault).reason;
        let masked = parse(&self.0, Columns::Named).map_err(said)?;
        let address = match masked.head() {
            Some(_) => None,
            None => Some(Address::split(&masked.text).map_err(said)?),
        };
        let secret = |at: usize| address.as_ref().is_none_or(|address| address.is_in_password(at));
        let columns = masked.references.iter().enumerate().filter_map(|(at, reference)| match reference {
            Reference::Column { name } if secret(at) => Some(name.clone()),
            _ => None,
        });
        Ok(columns.collect())
    }
}

fn write_columns(masked: &Masked, piece: &str, place: Place, row: &BTreeMap<String, String>) -> String {
    segments(piece)
        .map(|segment| match segment {
            Segment::Text(text) => text.replace("${", "$${"),
            Segment::Mark(at) => match masked.references.get(at) {
                Some(Reference::Column { name }) => place.encode(row.get(name).map_or("", String::as_str)),
                Some(reference) => reference.to_string(),
                None => String::new(),
            },
        })
        .collect()
}

/// A label under such a name would put a password into the log.
pub(super) fn names_a_password(column: &str) -> bool {
    is_password_key(column)
}

/// A URL whose scheme is known: a leading reference is replaced by its value.
struct Opened {
    masked: Masked,
    address: Address,
    /// The value of the leading reference: a secret, for it may well hold a password.
    head: Option<Secret>,
}

impl Opened {
    async fn open(masked: Masked, subject: &Subject, resolver: &SecretResolver) -> Result<Self, FleetError> {
        let mut head = None;
        let mut opened = masked;
        if let Some(first) = opened.head() {
            check_tail(&opened).map_err(|fault| fault.of(subject))?;
            let mut values = resolver.values(subject, &opened, |at| at == first).await?;
            let value = values.remove(&first).unwrap_or_default();
            opened = Masked::verbatim(&value).and_then(|v| opened.with_head(&v)).map_err(|fault| fault.of(subject))?;
            head = Some(Secret::new(value));
        }
        let address = Address::split(&opened.text).map_err(|fault| fault.of(subject))?;
        Ok(Self { masked: opened, address, head })
    }

    /// Template text without a clear password.
    fn freeze(&mut self) -> Result<String, Fault> {
        if self.address.clear_password()?.is_some() {
            let source = self.masked.add(Reference::Source)?;
            self.address.replace_clear_password(&source);
        }
        Ok(self.address.build(|piece, _| self.masked.unmask(piece)))
    }

    async fn resolve(
        mut self,
        subject: &Subject,
        schema: Option<String>,
        resolver: &SecretResolver,
    ) -> Result<ResolvedUrl, FleetError> {
        let fault = |fault: Fault| fault.of(subject);
        let values = resolver.values(subject, &self.masked, |_| true).await?;
        self.address.take_schema(&values).map_err(fault)?;
        let place = self.address.place(&values).map_err(fault)?;
        let url = Secret::new(self.address.filled(&values));
        let passwords = self.address.passwords().map(|piece| decode(piece, &values).map(Secret::new));
        let mut hidden = passwords.collect::<Result<Vec<_>, _>>().map_err(fault)?;
        hidden.extend(self.head);
        hidden.push(url.clone());
        Ok(ResolvedUrl { engine: self.address.engine(), url, schema, place, hidden })
    }
}

/// Behind a leading reference, whose value may end anywhere, nothing may follow that could be part of a password.
fn check_tail(masked: &Masked) -> Result<(), Fault> {
    let tail: String = masked.text.chars().skip(1).collect();
    let path = tail.split('?').next().unwrap_or_default();
    let query = tail.split_once('?').map_or("", |(_, query)| query);
    let clear = |pair: &str| pair.split_once('=').is_some_and(|(key, value)| is_password_key(key) && has_text(value));
    if tail.contains('@') || path.contains(':') || !(tail.is_empty() || tail.starts_with(['/', '?'])) {
        return Err(Fault::url("behind a reference at its beginning only /path and ?key=value may follow"));
    }
    if query.split('&').any(clear) {
        return Err(Fault::url("behind a reference at its beginning a password must be a reference as well"));
    }
    Ok(())
}

fn parse(text: &str, columns: Columns) -> Result<Masked, Fault> {
    match text.len() {
        0 => Err(Fault::url("it is empty")),
        1..=URL_BYTES_MAX => Masked::parse(text, columns),
        _ => Err(Fault::url(format!("it is longer than {URL_BYTES_MAX} bytes"))),
    }
}

/// The one schema that the URL and the source's column agree on.
fn one_schema(engine: Engine, in_url: Option<String>, given: Option<&str>) -> Result<Option<String>, Fault> {
    let schema = match (in_url, given) {
        (Some(url), Some(given)) if url != given => {
            return Err(Fault::url(format!("it names the schema {url:?}, and the source the schema {given:?}")));
        }
        (Some(url), _) => url,
        (None, Some(given)) => given.to_owned(),
        (None, None) => return Ok(None),
    };
    if engine != Engine::Postgres {
        return Err(Fault::url(format!("a schema is named, and {engine} has none")));
    }
    if schema.is_empty() || schema.len() > SCHEMA_BYTES_MAX || schema.chars().any(char::is_control) {
        let rule = format!("1 to {SCHEMA_BYTES_MAX} bytes without control characters");
        return Err(Fault::url(format!("a schema's name has {rule}, which {schema:?} has not")));
    }
    Ok(Some(schema))
}

/// A URL with its secrets in place: for a driver, at once, and then to be dropped.
///
/// Hidden are all passwords, the whole URL, and the value of a reference that the URL begins with. References elsewhere
/// (`${env:HOST}`) are settings, and an error may name them.
#[derive(Debug, Clone)]
pub struct ResolvedUrl {
    engine: Engine,
    url: Secret,
    schema: Option<String>,
    place: DatabasePlace,
    hidden: Vec<Secret>,
}

/// Parameters that the PostgreSQL driver understands. It logs all others with their values, `sslpassword` among them, so they
/// are not handed to it.
const POSTGRES_KEYS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// Parameters that the MySQL driver is given. Not the others that it knows: the time zone and the character set are not a URL's to
/// choose, since a migration runs under the server's own settings and is always sent in UTF-8.
const MYSQL_KEYS: [&str; 10] =
    ["sslmode", "ssl-mode", "sslca", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key", "socket", "collation"];

impl ResolvedUrl {
    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The URL as the driver reads it. For SQLite `sqlite:///absolute/path`.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// The tenant's schema.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The physical server, for its budget.
    #[must_use]
    pub fn server(&self) -> ServerKey {
        self.place.server()
    }

    /// `text` without any secret of this URL: for whatever a driver says.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        redact(text, &self.hidden)
    }

    /// What a PostgreSQL connection is opened with.
    ///
    /// # Errors
    /// When the driver does not accept the URL. The error must go through [`ResolvedUrl::redact`] like all of its errors.
    pub fn postgres_options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let known = |key: &str| POSTGRES_KEYS.contains(&key) || key == "options" || key.starts_with("options[");
        PgConnectOptions::from_str(self.with_parameters(known)?.as_str())
    }

    /// What a MySQL or MariaDB connection is opened with: texts in UTF-8, and no mode or time zone but the server's.
    ///
    /// # Errors
    /// When the driver does not accept the URL. The error must go through [`ResolvedUrl::redact`] like all of its errors.
    pub fn mysql_options(&self) -> Result<MySqlConnectOptions, sqlx::Error> {
        let url = self.with_parameters(|key| MYSQL_KEYS.contains(&key))?;
        let options = MySqlConnectOptions::from_str(url.as_str())?;
        Ok(options.pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(true))
    }

    /// The URL with those of its parameters that a driver is to see.
    fn with_parameters(&self, known: impl Fn(&str) -> bool) -> Result<::url::Url, sqlx::Error> {
        let mut url = ::url::Url::parse(self.expose()).map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let pairs: Vec<_> =
            url.query_pairs().filter(|(key, _)| known(key)).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        url.set_query(None);
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }

    /// What a SQLite connection is opened with.
    ///
    /// # Errors
    /// When the driver does not accept the URL.
    pub fn sqlite_options(&self) -> Result<SqliteConnectOptions, sqlx::Error> {
        SqliteConnectOptions::from_str(self.expose())
    }
}
