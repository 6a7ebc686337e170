//! A folder per revision: `/srv/app/releases/{revision}/migrations`, as Capistrano and its kin lay releases out.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::{Found, Look, Revision, SourceError, SourceKind};
use crate::release::{Files, load};

/// What stands for the revision.
const PLACE: &str = "{revision}";

/// A checked template.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    template: String,
    /// What stands before the part that names the revision: no link may lead out of it.
    within: PathBuf,
}

impl Folder {
    /// Checks the template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(template: &str) -> Result<Self, String> {
        let Some((before, after)) = template.split_once(PLACE) else {
            return Err(format!("the folder has no {PLACE} in it"));
        };
        if after.contains(PLACE) {
            return Err(format!("the folder has {PLACE} in it more than once"));
        }
        if Path::new(template).components().any(|part| part == Component::ParentDir) {
            return Err("the folder has a part `..` in it".to_owned());
        }
        let within = before.rsplit_once('/').map(|(within, _)| PathBuf::from(within)).unwrap_or_default();
        if !within.is_absolute() || within.parent().is_none() {
            return Err(format!("the folder is not an absolute path that has a folder of its own before {PLACE}"));
        }
        Ok(Self { template: template.to_owned(), within })
    }

    pub(super) async fn look(&self, revision: &Revision) -> Result<Look, SourceError> {
        let (folder, wanted) = (self.clone(), revision.clone());
        // A file system may be slow, or far away.
        tokio::task::spawn_blocking(move || folder.look_now(&wanted)).await.unwrap_or_else(|died| {
            let (path, source) = (self.within.clone(), io::Error::other(died));
            Err(SourceError::FolderUnreadable { revision: revision.clone(), path, source })
        })
    }

    fn look_now(&self, revision: &Revision) -> Result<Look, SourceError> {
        let path = PathBuf::from(self.template.replace(PLACE, revision.as_str()));
        let not = |why: &str| Ok(Look::Not(format!("{} ({why})", path.display())));
        if revision.as_str().contains('/') {
            return not("a revision with a / in it has no folder");
        }
        let failed = |path: &Path, source| {
            Err(SourceError::FolderUnreadable { revision: revision.clone(), path: path.to_owned(), source })
        };
        let within = match fs::canonicalize(&self.within) {
            Ok(within) => within,
            Err(error) if is_absent(&error) => return not("the folder before the revision is not there"),
            Err(error) => return failed(&self.within, error),
        };
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if is_absent(&error) => return not("there is no such folder"),
            Err(error) => return failed(&path, error),
        };
        let leads_out = |path: &Path, to: PathBuf| {
            let (revision, path, within) = (revision.clone(), path.to_owned(), within.clone());
            Err(SourceError::LeadsOut { revision, path, to, within })
        };
        if real == within || !real.starts_with(&within) {
            return leads_out(&path, real);
        }
        if !real.is_dir() {
            return not("it is not a folder");
        }
        match first_link_out(&real, &within) {
            Ok(None) => {}
            Ok(Some((link, to))) => return leads_out(&link, to),
            Err(error) => return failed(&path, error),
        }
        let origin = format!("folder {}", path.display());
        // The real path has no link in it any more that could be turned meanwhile.
        match load(&real, None) {
            Ok(release) => Ok(Look::Found(Box::new(Found { release, source: SourceKind::Folder, origin }))),
            Err(error) => Err(SourceError::Unusable { revision: revision.clone(), origin, source: Box::new(error) }),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A migration in `dir` that is a link to outside of `within`, and where it leads. One that leads nowhere is left to the loader.
fn first_link_out(dir: &Path, within: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !Files::wants(&entry.file_name().to_string_lossy()) || !entry.file_type()?.is_symlink() {
            continue;
        }
        match fs::canonicalize(entry.path()) {
            Ok(to) if !to.starts_with(within) => return Ok(Some((entry.path(), to))),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_revision_once_below_a_folder_of_its_own() {
        for good in ["/srv/app/releases/{revision}/migrations", "/srv/app-{revision}", "/srv/{revision}"] {
            Folder::new(good).unwrap();
        }
        assert_eq!(Folder::new("/srv/app/r-{revision}/m").unwrap().within, Path::new("/srv/app"));
        for bad in [
            "/srv/app",
            "/srv/{revision}/{revision}",
            "srv/{revision}",
            "{revision}",
            "/{revision}",
            "/a/../{revision}",
        ] {
            Folder::new(bad).unwrap_err();
        }
    }
}
