//! `demo`: a fleet that anybody has, in a folder; and the commands that anybody would type, carried out by the code that carries
//! them out for anybody. What is made up is the data alone.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::context::Context;
use super::deploy::{DeployArgs, deploy};
use super::output::{Exit, Failure, Output};
use super::{Selection, audit, plan, show};
use crate::base::Code;
use crate::config::FILE_NAME;
use crate::step::Kinds;

/// Franchises in the demo.
const TENANTS: u32 = 24;

/// The first so many were founded with release 1, the others with release 2.
const FOUNDED_FIRST: u32 = 8;

/// The one whose data release 3 cannot accept.
const TROUBLED: u32 = 17;

/// What tells a folder of ours from any other.
const MARKER: &str = ".windlass-demo";

const CONFIG: &str = r#"name = "franchises"

[log]
url = "sqlite://windlass.db"

[release]
dir = "migrations"

[fleet]
source = { glob = "tenants/*.db" }

[deploy]
workflow = "all-or-nothing"
"#;

macro_rules! files {
    ($($release:literal / $file:literal),* $(,)?) => {
        [$(($release, $file, include_str!(concat!("demo/release-", $release, "/", $file)))),*]
    };
}

/// Release, file name, text.
const MIGRATIONS: [(&str, &str, &str); 10] = files![
    "1" / "0001_customers.up.sql",
    "1" / "0001_customers.down.sql",
    "1" / "0002_invoices.up.sql",
    "1" / "0002_invoices.down.sql",
    "2" / "0003_order_status.up.sql",
    "2" / "0003_order_status.down.sql",
    "3" / "0004_loyalty.up.sql",
    "3" / "0004_loyalty.down.sql",
    "3" / "0005_unique_invoice_number.up.sql",
    "3" / "0005_unique_invoice_number.down.sql",
];

pub(super) async fn demo(dir: &Path, output: Output) -> Result<Exit, Failure> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let demo = Demo { tenants: dir.join("tenants"), dir, output };
    demo.clear_folder()?;
    let context = demo.found().await?;
    demo.scene("Release 3 comes: two migrations for some, three for others");
    demo.typed("windlass plan");
    plan::plan(&context, &Selection::default()).await?;
    demo.typed("windlass deploy");
    let turned = deploy(&context, &DeployArgs::default()).await?;
    demo.exit(turned);
    demo.expect(turned, Exit::Unwound)?;
    let troubled = name(TROUBLED);
    demo.scene(&format!("What happened to {troubled}, and whether the log still says so"));
    demo.typed(&format!("windlass audit show --tenant {troubled}"));
    audit::audit(&context, audit::AuditCommand::Show { deploy: None, tenant: Some(troubled.clone()) }).await?;
    demo.typed("windlass audit verify");
    audit::audit(&context, audit::AuditCommand::Verify { deploy: None, export: None, key: Vec::new() }).await?;
    demo.scene("The second of the two invoices gets a number of its own, and the release is deployed again");
    let repair = "UPDATE invoices SET number = number || 'b' WHERE id = 2";
    demo.typed(&format!("sqlite3 tenants/{troubled}.db \"{repair}\""));
    demo.sql(TROUBLED, repair).await?;
    demo.typed("windlass deploy");
    let done = deploy(&context, &DeployArgs::default()).await?;
    demo.exit(done);
    demo.expect(done, Exit::Done)?;
    demo.typed("windlass tenants list");
    show::tenants(&context, None).await?;
    demo.typed("windlass deploy");
    demo.exit(deploy(&context, &DeployArgs::default()).await?);
    demo.farewell();
    Ok(Exit::Done)
}

struct Demo {
    dir: PathBuf,
    tenants: PathBuf,
    output: Output,
}

impl Demo {
    /// Makes the folder anew; one that is not an earlier demo's is left alone.
    fn clear_folder(&self) -> Result<(), Failure> {
        let shown = self.dir.display();
        if self.dir.exists() {
            let empty = fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_none());
            if !empty && !self.dir.join(MARKER).is_file() {
                let message = format!("{shown} exists and is no earlier demo's; nothing was changed");
                return Err(Failure::new(Code::AlreadyInitialised, message, "windlass demo --dir ANOTHER"));
            }
            if !empty {
                fs::remove_dir_all(&self.dir).map_err(|error| self.cannot("be cleared", &error))?;
            }
        }
        fs::create_dir_all(&self.tenants).map_err(|error| self.cannot("be made", &error))?;
        fs::create_dir_all(self.dir.join("migrations")).map_err(|error| self.cannot("be made", &error))?;
        self.write(MARKER, "made by `windlass demo`, which may delete this folder\n")?;
        self.write(FILE_NAME, CONFIG)
    }

    /// Founds the franchises, by deploys like any other; only the rows are put in by hand.
    async fn found(&self) -> Result<Context, Failure> {
        self.scene(&format!("{TENANTS} franchises, one SQLite database each, founded with release 1 or 2"));
        for number in 1..=TENANTS {
            let path = self.tenants.join(format!("{}.db", name(number)));
            fs::write(path, b"").map_err(|error| self.cannot("take a tenant's file", &error))?;
        }
        let quiet = Context::find(Some(&self.dir.join(FILE_NAME)), self.output.quiet(), Kinds::default())?;
        self.release("1")?;
        self.expect(deploy(&quiet, &DeployArgs::default()).await?, Exit::Done)?;
        self.release("2")?;
        let later = (FOUNDED_FIRST + 1..=TENANTS).map(name).collect::<Vec<_>>().join(",");
        let only = Selection { only: Some(later), ..Selection::default() };
        self.expect(deploy(&quiet, &DeployArgs { selection: only, ..DeployArgs::default() }).await?, Exit::Done)?;
        for number in 1..=TENANTS {
            self.sql(number, &rows(number)).await?;
        }
        self.release("3")?;
        self.output.line(format!("  in {}", self.dir.display()));
        Context::find(Some(&self.dir.join(FILE_NAME)), self.output, Kinds::default())
    }

    /// Puts a release's files into the migration folder, beside those of the releases before.
    fn release(&self, release: &str) -> Result<(), Failure> {
        let of_release = MIGRATIONS.iter().filter(|(of, _, _)| *of == release);
        of_release.into_iter().try_for_each(|(_, file, text)| self.write(&format!("migrations/{file}"), text))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Failure> {
        fs::write(self.dir.join(file), text).map_err(|error| self.cannot("be written to", &error))
    }

    fn cannot(&self, what: &str, error: &std::io::Error) -> Failure {
        let message = format!("{} cannot {what}: {error}", self.dir.display());
        Failure::new(Code::BadArgument, message, "windlass demo --dir ANOTHER")
    }

    /// What the franchise's own application would do to its database.
    async fn sql(&self, number: u32, sql: &str) -> Result<(), Failure> {
        let path = self.tenants.join(format!("{}.db", name(number)));
        let run = async {
            let mut db: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await?;
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await?;
            db.close().await
        };
        run.await.map_err(|error: sqlx::Error| {
            Failure::new(Code::StepFailed, format!("{}: {error}", path.display()), "windlass demo")
        })
    }

    fn scene(&self, text: &str) {
        self.output.line(format!("\n── {text}"));
    }

    fn typed(&self, command: &str) {
        self.output.line(format!("\n$ {command}"));
    }

    fn exit(&self, exit: Exit) {
        self.output.line(format!("(exit code {})", exit as u8));
    }

    /// A demo that goes another way than it says is worse than none.
    fn expect(&self, is: Exit, should: Exit) -> Result<(), Failure> {
        if is == should {
            return Ok(());
        }
        let message =
            format!("this demo in {} should have ended with {should:?} here, not with {is:?}", self.dir.display());
        Err(Failure::new(Code::StepFailed, message, "windlass status"))
    }

    fn farewell(&self) {
        self.scene("Your turn");
        self.output.line(format!(
            "  cd {}\n  windlass status --all                 every deploy of this fleet\n  windlass rollback latest              \
             undo the finished release, on every tenant\n  windlass audit show                   every event, in order\n  \
             kill -9 a deploy in the middle, then: windlass resume",
            self.dir.display()
        ));
    }
}

fn name(number: u32) -> String {
    format!("franchise-{number:02}")
}

/// A franchise's rows: as many as its number suggests, and one number twice where trouble is wanted.
fn rows(number: u32) -> String {
    let customers = 20 + number * 3;
    let mut sql = String::from("BEGIN;");
    for id in 1..=customers {
        let cents = 500 + (id * 137 + number * 71) % 9_500;
        let day = 1 + (id + number) % 28;
        sql.push_str(&format!(
            "INSERT INTO customers (id, name, email) VALUES ({id}, 'Customer {id}', 'c{id}@franchise-{number:02}.example');\
             INSERT INTO orders (id, customer, placed_on, cents) VALUES ({id}, {id}, '2026-10-{day:02}', {cents});\
             INSERT INTO invoices (id, \"order\", number, cents) VALUES ({id}, {id}, 'F{number:02}-{id:04}', {cents});"
        ));
    }
    if number == TROUBLED {
        sql.push_str(&format!("UPDATE invoices SET number = 'F{number:02}-0001' WHERE id = 2;"));
    }
    sql + "COMMIT;"
}
