//! Step kinds of somebody's own.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use windlass::base::Digest;
use windlass::saga::event::{Evidence, Half};
use windlass::saga::plan::{PlannedStep, UndoSource};
use windlass::saga::workflow::StepDef;
use windlass::step::{Afterwards, Expand, Kinds, Seen, StepContext, StepError, StepKind, Trouble};
use windlass::testing::{Place, SqliteFiles, Trial, World, WorldError};
use windlass::testing::{fails_cleanly_at_every_step, repeats_safely, undo_repeats_safely};

use super::{Folder, ORDERS, SETUP, all};

/// A line in a file that is no part of the tenant: a flag, a DNS entry, a call to another service.
struct Flag {
    dir: PathBuf,
    /// Whether it looks for its own traces, and so knows what it has done.
    looks: bool,
    /// Whether a second act is a second line.
    adds: bool,
    /// Whether the undo of what is not there is an error.
    strict: bool,
}

impl Flag {
    fn file(&self, cx: &StepContext<'_>) -> PathBuf {
        self.dir.join(format!("{}.flags", cx.deploy))
    }
}

#[async_trait]
impl StepKind for Flag {
    fn name(&self) -> &'static str {
        "flag"
    }

    fn summary(&self) -> &'static str {
        "raises a flag"
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        Ok(vec![PlannedStep {
            id: def.id.clone(),
            uses: self.name().to_owned(),
            stage: cx.stage,
            needs: Vec::new(),
            digest: Some(Digest::of(b"flag")),
            undo: UndoSource::Written,
            with: json!({}),
        }])
    }

    async fn act(&self, _step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let file = self.file(cx);
        let before = if self.adds { std::fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
        std::fs::write(file, before + "raised\n").unwrap();
        Ok(Evidence::default())
    }

    async fn undo(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let gone = std::fs::remove_file(self.file(cx));
        match gone {
            Err(error) if self.strict => {
                let message = format!("step {}: {error}", step.id);
                let class = windlass::saga::failure::ErrorClass::Permanent;
                Err(windlass::saga::failure::Failure::new(class, windlass::base::Code::StepFailed, message).into())
            }
            _ => Ok(Evidence::default()),
        }
    }

    async fn probe(
        &self,
        _step: &PlannedStep,
        half: Half,
        _afterwards: Afterwards,
        cx: &mut StepContext<'_>,
    ) -> Result<Seen, Trouble> {
        let raised = self.file(cx).exists();
        let done = self.looks && raised == (half == Half::Act);
        Ok(if done { Seen::Applied } else { Seen::NotApplied })
    }
}

/// Files, and beside each deploy's its flags: a look at a tenant is a look at all that is there.
struct Flags {
    files: SqliteFiles,
    dir: PathBuf,
}

#[async_trait]
impl World for Flags {
    async fn fresh(&self) -> Result<Place, WorldError> {
        for entry in std::fs::read_dir(&self.dir)? {
            std::fs::remove_file(entry?.path())?;
        }
        self.files.fresh().await
    }

    async fn look(&self, at: &Place) -> Result<String, WorldError> {
        let mut seen = self.files.look(at).await?;
        for entry in std::fs::read_dir(&self.dir)? {
            seen.push_str(&std::fs::read_to_string(entry?.path())?);
        }
        Ok(seen)
    }
}

/// A trial of the kind as it is said to be, and the folder that it needs.
fn trial(looks: bool, adds: bool, strict: bool) -> (tempfile::TempDir, Trial) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("flags");
    std::fs::create_dir(&dir).unwrap();
    let world = Flags { files: SqliteFiles::new(folder.path().join("tenants"), SETUP), dir: dir.clone() };
    let kind = Arc::new(Flag { dir, looks, adds, strict });
    let trial = Trial::of_step(kind, toml::Table::new(), world).unwrap();
    (folder, trial)
}

#[tokio::test]
async fn a_step_that_knows_what_it_has_done_is_let_through_and_so_is_one_that_may_be_repeated() {
    for (looks, adds, strict) in [(true, true, true), (true, false, false), (false, false, false)] {
        let (_folder, trial) = trial(looks, adds, strict);
        let [fails, repeats, undo] = all(&trial).await.unwrap();
        assert_eq!(fails.moments, ["before step flag"]);
        assert_eq!(repeats.moments, ["before step flag", "after step flag"]);
        assert_eq!(undo.moments, ["before the undo of step flag", "after the undo of step flag"]);
    }
}

#[tokio::test]
async fn a_step_that_does_it_twice_is_named() {
    let (_folder, trial) = trial(false, true, false);
    fails_cleanly_at_every_step(&trial).await.unwrap();
    let broken = repeats_safely(&trial).await.unwrap_err();
    assert_eq!(broken.moment.as_deref(), Some("after step flag"), "{broken}");
    assert!(broken.what.contains("where nothing should be seen there is \"raised\""), "{broken}");
    assert!(broken.history.iter().any(|line| line.ends_with("tenant: flag started, try 1")), "{broken}");
}

#[tokio::test]
async fn an_undo_that_cannot_be_repeated_is_named() {
    let (_folder, trial) = trial(false, false, true);
    repeats_safely(&trial).await.unwrap();
    let broken = undo_repeats_safely(&trial).await.unwrap_err();
    assert_eq!(broken.moment.as_deref(), Some("after the undo of step flag"), "{broken}");
    assert!(broken.what.ends_with("and it is stuck and waits for a human"), "{broken}");
}

#[tokio::test]
async fn a_step_of_ones_own_is_tried_in_a_workflow_with_others() {
    const WORKFLOW: &str = r#"
name = "flagged"
[on_failure]
then = "unwind"
[[stage]]
name = "all"
  [[stage.step]]
  id = "migrate"
  uses = "migrate"
  [[stage.step]]
  id = "raise"
  uses = "flag"
  needs = ["migrate"]
"#;
    let folder = Folder::new(&[ORDERS]);
    let dir = folder.0.path().join("flags");
    std::fs::create_dir(&dir).unwrap();
    let flag = |looks| Arc::new(Flag { dir: dir.clone(), looks, adds: true, strict: true });
    let of = |looks| {
        let world = Flags { files: folder.files(), dir: dir.clone() };
        Trial::of_workflow(WORKFLOW, folder.release(), world).unwrap().knowing(Kinds::default().with(flag(looks)))
    };
    let [fails, repeats, undo] = all(&of(true)).await.unwrap();
    assert_eq!((fails.steps.len(), repeats.steps.len()), (2, 2));
    assert_eq!(undo.steps, ["raise", "migrate:0001_m"]);
    let broken = repeats_safely(&of(false)).await.unwrap_err();
    assert_eq!(broken.step.as_deref(), Some("raise"), "{broken}");
    // A workflow whose kind nobody has given.
    let stranger = Trial::of_workflow(WORKFLOW, folder.release(), folder.files()).unwrap();
    let broken = repeats_safely(&stranger).await.unwrap_err();
    assert!(broken.to_string().contains("flag"), "{broken}");
}
