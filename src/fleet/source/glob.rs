//! Tenants that are files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::row::Row;
use crate::base::TenantId;
use crate::base::limits::FLEET_TENANTS_MAX;
use crate::fleet::url::{SourceUrl, encode_path};

/// What SQLite puts beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

pub(super) async fn rows(pattern: &str, template: Option<&SourceUrl>, base_dir: &Path) -> Result<Vec<Row>, String> {
    let base = glob::Pattern::escape(&base_dir.to_string_lossy());
    let absolute = if Path::new(pattern).is_absolute() { pattern.to_owned() } else { format!("{base}/{pattern}") };
    let files = tokio::task::spawn_blocking(move || files(&absolute)).await.map_err(|error| error.to_string())??;
    files.iter().map(|path| row(path, template)).collect()
}

fn files(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in glob::glob(pattern).map_err(|error| error.to_string())? {
        let path = path.map_err(|error| format!("{}: {}", error.path().display(), error.error()))?;
        let name = path.as_os_str().to_string_lossy();
        if COMPANIONS.iter().any(|end| name.ends_with(end)) || !path.is_file() {
            continue;
        }
        if files.len() >= FLEET_TENANTS_MAX {
            return Err(format!("there are more than {FLEET_TENANTS_MAX} files"));
        }
        files.push(path);
    }
    Ok(files)
}

fn row(path: &Path, template: Option<&SourceUrl>) -> Result<Row, String> {
    let origin = path.display().to_string();
    let text = path.to_str().ok_or_else(|| format!("{origin}: its name is not UTF-8"))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id = TenantId::new(stem).map_err(|error| format!("{origin}: {error}"))?;
    let url = match template {
        Some(template) => {
            let columns = BTreeMap::from([("path".to_owned(), text.to_owned()), ("stem".to_owned(), stem.to_owned())]);
            template.with_columns(&columns).map_err(|reason| format!("{origin}: {reason}"))?
        }
        None => SourceUrl::from(format!("sqlite://{}", encode_path(text))),
    };
    Ok(Row { origin, id, url, schema: None, labels: BTreeMap::new() })
}
