//! The defects that `run.sh` plants are patches: one that does not fit the code any more tries nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are: those of the simulator, and those of the sweep.
const FOLDERS: [&str; 2] = ["tests/sim/mutations", "tests/sweep/mutations"];

fn patches(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let before = found.len();
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of patches");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch")));
        assert!(found.len() > before, "no patch is in {folder}");
    }
    found.sort();
    found
}

/// Skipped only where there is no git, and then it says so.
#[test]
fn every_defect_that_is_planted_fits_the_code() {
    if let Err(error) = Command::new("git").arg("--version").output() {
        println!("skipped: git cannot be run, which tells whether a patch fits: {error}");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fits = |patch: &Path| {
        let output = Command::new("git").args(["apply", "--check"]).arg(patch).current_dir(root).output();
        let output = output.expect("git runs");
        if output.status.success() { None } else { Some(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let misfits: Vec<String> = patches(root).iter().filter_map(|patch| fits(patch)).collect();
    assert!(misfits.is_empty(), "take these up again on the code as it is:\n{}", misfits.concat());
}
