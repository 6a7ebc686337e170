//! The migration folder in the fetched commit: first what is there, then the texts.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStdout;

use super::run::{Ran, exactly};
use super::{Reading, SourceError};
use crate::base::limits::GIT_LIST_BYTES_MAX;
use crate::release::{Files, Release, ReleaseError};

/// The file in the scratch folder that names the objects to read.
const WANTED: &str = "wanted";

/// How a file begins whose text is kept elsewhere.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// One line of `ls-tree -z -l`.
struct Entry<'a> {
    mode: &'a str,
    id: &'a str,
    /// Bytes, of a file.
    size: Option<u64>,
    name: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let (head, name) = (std::str::from_utf8(line.get(..tab)?).ok()?, line.get(tab + 1..)?);
        let mut words = head.split_ascii_whitespace();
        let (mode, _kind, id, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self { mode, id, size: size.parse().ok(), name })
    }

    /// What it is where it is neither a file nor a folder.
    fn oddity(&self) -> Option<&'static str> {
        match self.mode {
            "120000" => Some("is a symbolic link, and links are not followed"),
            "160000" => Some("is a submodule, and submodules are not fetched"),
            _ => None,
        }
    }

    fn is_folder(&self) -> bool {
        self.mode == "040000"
    }
}

/// A migration that is to be read.
struct Wanted {
    file: String,
    id: String,
    size: u64,
}

impl Reading<'_> {
    /// The id of the tree of the migration folder; none where there is no such folder.
    pub(super) async fn folder(&self, commit: &str) -> Result<Option<String>, SourceError> {
        let mut tree = format!("{commit}^{{tree}}");
        for (depth, part) in self.repository.path.iter().enumerate() {
            let listed = self.list(&["ls-tree", "-z", "-l", "--end-of-options", &tree, part]).await?;
            let mut entries = listed.split(|byte| *byte == 0).filter_map(Entry::parse);
            let Some(entry) = entries.find(|entry| entry.name == part.as_bytes()) else { return Ok(None) };
            let shown = || self.repository.path.iter().take(depth + 1).cloned().collect::<Vec<_>>().join("/");
            if let Some(what) = entry.oddity() {
                return Err(self.entry(shown(), what));
            }
            if !entry.is_folder() {
                return Err(self.entry(shown(), "is a file, and a folder is expected"));
            }
            tree = entry.id.to_owned();
        }
        Ok(Some(tree))
    }

    /// The release in this tree.
    pub(super) async fn read(&self, tree: &str, origin: &str) -> Result<Release, SourceError> {
        let mut files = Files::new(origin);
        let wanted = self.wanted(tree, &mut files).await.map_err(|fault| fault.of(self, origin))?;
        let ids: String = wanted.iter().flat_map(|one| [one.id.as_str(), "\n"]).collect();
        let list = self.git.folder().join(WANTED);
        tokio::fs::write(&list, ids).await.map_err(|error| self.git.broken(error))?;
        let args = ["cat-file", "--batch", "--buffer"];
        let read = async |out: BufReader<ChildStdout>| self.texts(out, &wanted, files).await;
        let Ran { answer, well, said } = self.git.run(&args, Some(WANTED), read).await?;
        match answer {
            Ok(files) => files.into_release(None).map_err(|error| Fault::from(error).of(self, origin)),
            // An answer that breaks off is what git's failure looks like from here.
            Err(Fault::Broken(_)) if !well => {
                let url = self.repository.remote.shown().to_owned();
                Err(SourceError::GitFailed { url, doing: "cat-file", said })
            }
            Err(fault) => Err(fault.of(self, origin)),
        }
    }

    /// What is to be read, which is found not to be too much before any of it is.
    async fn wanted(&self, tree: &str, files: &mut Files) -> Result<Vec<Wanted>, Fault> {
        let listed = self.list(&["ls-tree", "-z", "-l", "--end-of-options", tree]).await?;
        let mut wanted = Vec::new();
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let entry = Entry::parse(line).ok_or_else(|| Fault::Broken(io::ErrorKind::InvalidData.into()))?;
            let file = String::from_utf8_lossy(entry.name);
            if let Some(what) = entry.oddity() {
                return Err(Fault::Entry(file.into_owned(), what));
            }
            if entry.is_folder() || !Files::wants(&file) {
                continue;
            }
            if std::str::from_utf8(entry.name).is_err() {
                return Err(Fault::Entry(file.into_owned(), "has a name that is not UTF-8 text"));
            }
            let Some(size) = entry.size else { return Err(Fault::Entry(file.into_owned(), "has no size")) };
            files.announce(&file, size)?;
            wanted.push(Wanted { file: file.into_owned(), id: entry.id.to_owned(), size });
        }
        Ok(wanted)
    }

    /// Reads the answer of `cat-file --batch`: for each object a line, its bytes, and a line feed.
    async fn texts(
        &self,
        mut out: BufReader<ChildStdout>,
        wanted: &[Wanted],
        mut files: Files,
    ) -> Result<Result<Files, Fault>, SourceError> {
        for Wanted { file, id, size } in wanted {
            let bytes = match text(&mut out, id, *size).await {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(Fault::Broken(error))),
            };
            if bytes.starts_with(LFS) {
                let what = "is kept by Git LFS, of which only the pointer is in the repository";
                return Ok(Err(Fault::Entry(file.clone(), what)));
            }
            if let Err(error) = files.add(file, bytes) {
                return Ok(Err(error.into()));
            }
        }
        Ok(Ok(files))
    }

    async fn list(&self, args: &[&str]) -> Result<Vec<u8>, SourceError> {
        let Ran { answer, well, said } = self.git.text(args, GIT_LIST_BYTES_MAX).await?;
        match answer {
            Some(answer) if well => Ok(answer),
            Some(_) => {
                let url = self.repository.remote.shown().to_owned();
                Err(SourceError::GitFailed { url, doing: "ls-tree", said })
            }
            None => Err(self.too_long()),
        }
    }

    fn entry(&self, entry: String, what: &'static str) -> SourceError {
        let (url, revision) = (self.repository.remote.shown().to_owned(), self.revision.clone());
        SourceError::GitEntry { url, revision, entry, what }
    }
}

/// The bytes of one object, which must be the one that was listed.
async fn text(out: &mut BufReader<ChildStdout>, id: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let expected = format!("{id} blob {size}\n");
    let longest = expected.len() as u64 + 1;
    (&mut *out).take(longest).read_until(b'\n', &mut line).await?;
    if line != expected.as_bytes() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let bytes = exactly(out, size).await?;
    if out.read_u8().await? != b'\n' {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}

/// What is wrong with a folder, before it is said of which revision.
enum Fault {
    /// This file, and what it is.
    Entry(String, &'static str),
    Release(ReleaseError),
    /// Git's answer is not in the form that it has.
    Broken(io::Error),
    Source(SourceError),
}

impl From<ReleaseError> for Fault {
    fn from(error: ReleaseError) -> Self {
        Self::Release(error)
    }
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl Fault {
    fn of(self, reading: &Reading<'_>, origin: &str) -> SourceError {
        match self {
            Self::Entry(file, what) => {
                let path = reading.repository.path.iter().map(String::as_str).chain([file.as_str()]);
                reading.entry(path.collect::<Vec<_>>().join("/"), what)
            }
            Self::Release(error) => SourceError::Unusable {
                revision: reading.revision.clone(),
                origin: origin.to_owned(),
                source: Box::new(error),
            },
            Self::Broken(error) => reading.git.broken(error),
            Self::Source(error) => error,
        }
    }
}
