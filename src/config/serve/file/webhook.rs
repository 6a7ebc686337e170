//! `[[serve.webhook]]` as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{at_most, http_url, invalid, secret, texts};
use crate::base::limits::{
    CONDITION_VALUES_MAX, DELIVERY_ID_BYTES_MAX, RULE_CONDITIONS_MAX, TEMPLATE_BYTES_MAX, WEBHOOK_NAME_BYTES_MAX,
    WEBHOOK_RULES_MAX, WEBHOOK_SECRETS_MAX,
};
use crate::config::ConfigError;
use crate::config::serve::url::Query;
use crate::config::serve::{Accepted, Condition, FieldPath, Purpose, ReportBack, Rule, Sender, Template, Webhook};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    name: String,
    sender: Sender,
    #[serde(deserialize_with = "texts")]
    secrets: Vec<String>,
    report: Option<WrittenReport>,
    #[serde(default)]
    rule: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReport {
    api: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    event: String,
    #[serde(default)]
    when: BTreeMap<String, toml::Value>,
    revision: String,
    environment: Option<String>,
    workflow: Option<String>,
    fleet: Option<String>,
}

impl Written {
    /// `at`: its place in the file, from 0.
    pub(super) fn into_webhook(self, at: usize, base_dir: &Path) -> Result<Webhook, ConfigError> {
        let is_name = (1..=WEBHOOK_NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !is_name {
            let reason = format!("it must be 1 to {WEBHOOK_NAME_BYTES_MAX} of a-z, 0-9 and -: it is a part of a URL");
            return Err(invalid(&format!("serve.webhook {}, name", at + 1), reason));
        }
        let key = |name: &str| format!("serve.webhook {}, {name}", self.name);
        at_most(&key("secrets"), self.secrets.len(), WEBHOOK_SECRETS_MAX)?;
        at_most(&key("rule"), self.rule.len(), WEBHOOK_RULES_MAX)?;
        if self.secrets.is_empty() {
            return Err(invalid(&key("secrets"), "without a secret nobody could prove where a delivery comes from"));
        }
        if self.rule.is_empty() {
            return Err(invalid(
                &key("rule"),
                "without a rule no delivery means anything: write [[serve.webhook.rule]]",
            ));
        }
        if self.report.is_some() && self.sender == Sender::Standard {
            let reason = "Standard Webhooks have no way back: write [[serve.notify]]";
            return Err(invalid(&key("report"), reason));
        }
        let secrets = self.secrets.iter().map(|text| secret(&key("secrets"), text, base_dir));
        let report = self.report.as_ref().map(|report| {
            Ok(ReportBack {
                api: http_url(&key("report.api"), &report.api, Query::Refused)?,
                token: secret(&key("report.token"), &report.token, base_dir)?,
            })
        });
        let rules = self.rule.iter().enumerate().map(|(at, rule)| rule.to_rule(&key(&format!("rule {}", at + 1))));
        Ok(Webhook {
            sender: self.sender,
            secrets: secrets.collect::<Result<_, _>>()?,
            report: report.transpose()?,
            rules: rules.collect::<Result<_, _>>()?,
            name: self.name.clone(),
        })
    }
}

impl WrittenRule {
    fn to_rule(&self, key: &str) -> Result<Rule, ConfigError> {
        let template = |name: &str, text: &str, purpose| {
            Template::new(text, purpose).map_err(|error| invalid(&format!("{key}, {name}"), error.to_string()))
        };
        let named = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| template(name, text, Purpose::Name)).transpose()
        };
        let is_event = (1..=DELIVERY_ID_BYTES_MAX).contains(&self.event.len());
        if !is_event || self.event.chars().any(char::is_control) {
            let reason = format!("it must be the name of an event, of 1 to {DELIVERY_ID_BYTES_MAX} bytes");
            return Err(invalid(&format!("{key}, event"), reason));
        }
        at_most(&format!("{key}, when"), self.when.len(), RULE_CONDITIONS_MAX)?;
        let when = self.when.iter().map(|(field, value)| condition(key, field, value));
        Ok(Rule {
            event: self.event.clone(),
            when: when.collect::<Result<_, _>>()?,
            revision: template("revision", &self.revision, Purpose::Revision)?,
            environment: named("environment", &self.environment)?,
            workflow: named("workflow", &self.workflow)?,
            fleet: named("fleet", &self.fleet)?,
        })
    }
}

fn condition(key: &str, field: &str, value: &toml::Value) -> Result<Condition, ConfigError> {
    let path = FieldPath::new(field).map_err(|error| invalid(&format!("{key}, when"), error.to_string()))?;
    let key = format!("{key}, when {field}");
    let values = match value {
        toml::Value::Array(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    at_most(&key, values.len(), CONDITION_VALUES_MAX)?;
    if values.is_empty() {
        return Err(invalid(&key, "no value is accepted, so the rule could never match"));
    }
    let accepts = values.iter().map(|value| accepted(&key, value));
    Ok(Condition { field: path, accepts: accepts.collect::<Result<_, _>>()? })
}

fn accepted(key: &str, value: &toml::Value) -> Result<Accepted, ConfigError> {
    match value {
        toml::Value::String(text) if text.len() > TEMPLATE_BYTES_MAX => {
            Err(invalid(key, format!("a text is longer than {TEMPLATE_BYTES_MAX} bytes")))
        }
        toml::Value::String(text) => Ok(match text.strip_suffix('*') {
            Some(prefix) => Accepted::Prefix(prefix.to_owned()),
            None => Accepted::Text(text.clone()),
        }),
        toml::Value::Integer(number) => Ok(Accepted::Number(*number)),
        toml::Value::Boolean(flag) => Ok(Accepted::Flag(*flag)),
        toml::Value::Table(_) => {
            Err(invalid(key, "it must be a value or a list of them; write the way to a field in quotes: \"a.b\" = …"))
        }
        _ => Err(invalid(key, "a field is compared with a text, a whole number, true or false, or a list of these")),
    }
}
