//! Finding a workflow by name: the project's own first, then those that ship with Windlass.

use super::Config;
use crate::base::limits::TOML_BYTES_MAX;
use crate::base::{Code, Coded};
use crate::saga::workflow::{Workflow, WorkflowError};

/// The workflows that ship with Windlass: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[("all-or-nothing", include_str!("../../workflows/all-or-nothing.toml"))];

/// A workflow with the text it was read from, which is what the log keeps.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name it was asked for by.
    pub name: String,
    /// The workflow.
    pub workflow: Workflow,
    /// Its text.
    pub text: String,
    /// Where it came from: a file, or `built in`.
    pub origin: String,
}

/// A workflow cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither the project nor Windlass has one of this name.
    #[error("there is no workflow {name:?}; there are: {}", .known.join(", "))]
    Unknown {
        /// As asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Its file cannot be read.
    #[error("the workflow {file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] WorkflowError),
}

impl Coded for FindError {
    fn code(&self) -> Code {
        match self {
            FindError::Unknown { .. } | FindError::Unreadable { .. } => Code::UnknownWorkflow,
            FindError::Invalid(error) => error.code(),
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            FindError::Unknown { .. } | FindError::Unreadable { .. } => Some("windlass workflow list".to_owned()),
            FindError::Invalid(error) => error.next(),
        }
    }
}

impl Config {
    /// The workflow of this name: `<workflows_dir>/<name>.toml`, else a built-in one.
    pub fn workflow(&self, name: &str) -> Result<Found, FindError> {
        let file = self.workflows_dir.join(format!("{name}.toml"));
        let shown = file.display().to_string();
        // A name is one, and not a path out of the folder.
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if plain && file.is_file() {
            let unreadable = |reason: String| FindError::Unreadable { file: shown.clone(), reason };
            let size = std::fs::metadata(&file).map_err(|error| unreadable(error.to_string()))?.len();
            if size > TOML_BYTES_MAX {
                return Err(unreadable(format!("it is larger than {TOML_BYTES_MAX} bytes")));
            }
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
            return Ok(Found { name: name.to_owned(), workflow: Workflow::parse(&shown, &text)?, text, origin: shown });
        }
        match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            Some((name, text)) => {
                let (text, origin) = ((*text).to_owned(), "built in".to_owned());
                Ok(Found { name: (*name).to_owned(), workflow: Workflow::parse(name, &text)?, text, origin })
            }
            None => Err(FindError::Unknown { name: name.to_owned(), known: self.workflow_names() }),
        }
    }

    /// The names of all workflows, in order.
    #[must_use]
    pub fn workflow_names(&self) -> Vec<String> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        let files = std::fs::read_dir(&self.workflows_dir).into_iter().flatten().flatten();
        names.extend(files.filter_map(|entry| {
            let path = entry.path();
            let is_toml = path.extension().is_some_and(|extension| extension == "toml");
            path.file_stem().filter(|_| is_toml).map(|stem| stem.to_string_lossy().into_owned())
        }));
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_workflow_is_valid_and_carried_out() {
        for (name, text) in BUILT_IN {
            let workflow = Workflow::parse(name, text).unwrap();
            assert_eq!(workflow.name, *name);
            workflow.supported().unwrap();
        }
    }
}
