//! `init`: a project to begin with.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::base::Code;
use crate::config::FILE_NAME;

const CONFIG: &str = r#"# What Windlass knows of this project. Every key, with its default: see README.md of Windlass.

[log]
# The record of all deploys. Keep it where it outlives the machine that deploys: a CI runner's own disk does not.
url = "sqlite://windlass.db"

[release]
dir = "migrations"

[fleet]
# Where the tenants are. One of:
#   source = { glob = "tenants/*.db" }
#   source = { sql = "SELECT id, database_url AS url, plan FROM tenants WHERE active", on = "${env:CATALOG_URL}" }
# or a list:
#   [[fleet.tenant]]
#   id = "acme"
#   url = "postgres://app:${env:TENANT_PASSWORD}@db-1/acme"
source = { glob = "tenants/*.db" }

[server.default]
# Connections to one physical server, over all tenants.
connections = 8

[deploy]
workflow = "all-or-nothing"
"#;

pub(super) fn init(output: Output) -> Result<Exit, Failure> {
    let folder = "migrations";
    if Path::new(FILE_NAME).exists() {
        let message = format!("there is a {FILE_NAME} here already; nothing was changed");
        return Err(Failure::new(Code::AlreadyInitialised, message, "windlass doctor"));
    }
    let failed = |what: &str, error: &std::io::Error| {
        Failure::new(
            Code::ConfigInvalid,
            format!("{what} cannot be written: {error}"),
            "windlass init, in a folder you may write to",
        )
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    // Made only where nothing is: whoever was quicker keeps theirs.
    let mut file = fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).open(FILE_NAME).map_err(|error| failed(FILE_NAME, &error))?;
    std::io::Write::write_all(&mut file, CONFIG.as_bytes()).map_err(|error| failed(FILE_NAME, &error))?;
    output.answer(&json!({ "written": [FILE_NAME, folder] }), || {
        format!(
            "wrote {FILE_NAME} and {folder}/\nnext: say in {FILE_NAME} where the tenants are, write \
             {folder}/0001_NAME.up.sql and .down.sql, then: windlass plan"
        )
    });
    Ok(Exit::Done)
}
