//! Where a fleet's tenants are, and how one is made, copied, seen and removed there.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::project::Project;
use crate::support::{mariadb, oracle, postgres};

/// What the tenants are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
    MariaDb,
}

/// Files in the project's folder, or databases on the server of a port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home {
    Files,
    Postgres(u16),
    MariaDb(u16),
}

/// One tenant's place: its own name, and that of its database where it is on a server.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a str,
    pub(super) database: String,
}

impl Place<'_> {
    fn file(&self) -> String {
        format!("tenants/{}.db", self.tenant)
    }
}

/// What a copy of a tenant is made from.
pub(super) enum Seed {
    /// It comes with the project's folder.
    Folder,
    /// This database.
    Database(String),
    /// What a dump says.
    Dump(String),
}

impl Home {
    /// With the server that all tests share.
    pub(super) async fn of(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Files,
            Engine::Postgres => Self::Postgres(postgres::shared().await.port()),
            Engine::MariaDb => Self::MariaDb(mariadb::shared().await.port()),
        }
    }

    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Files => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
            Self::MariaDb(_) => Engine::MariaDb,
        }
    }

    /// The tenant's URL, as a configuration has it.
    pub(super) fn url(self, place: &Place<'_>) -> String {
        let database = &place.database;
        match self {
            Self::Files => format!("sqlite://{}", place.file()),
            Self::Postgres(port) => {
                format!("postgres://app:${{env:APP_PASSWORD}}@127.0.0.1:{port}/{database}?sslmode=disable")
            }
            Self::MariaDb(port) => {
                format!("mysql://app:${{env:APP_PASSWORD}}@127.0.0.1:{port}/{database}?ssl-mode=disabled")
            }
        }
    }

    /// Makes an empty database.
    async fn make(self, database: &str) {
        match self {
            Self::Files => {}
            Self::Postgres(port) => {
                let make = format!("CREATE DATABASE {database} OWNER app");
                postgres::Admin::at(port, "postgres").await.execute_all(&make).await;
            }
            Self::MariaDb(port) => {
                let make =
                    format!("CREATE DATABASE {database} CHARACTER SET utf8mb4; GRANT ALL ON {database}.* TO app@'%'");
                mariadb::Admin::at(port, "").await.execute_all(&make).await;
            }
        }
    }

    /// Makes a tenant that holds what this SQL makes.
    pub(super) async fn found(self, project: &Project, place: &Place<'_>, sql: &str) {
        self.make(&place.database).await;
        match self {
            Self::Files => drop(project.sql(&place.file(), sql).await.unwrap()),
            Self::Postgres(port) => {
                let url = postgres::url_at(port, &place.database);
                let mut connection = PgConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::MariaDb(port) => mariadb::Admin::at(port, &place.database).await.execute_all(sql).await,
        }
    }

    /// What copies of a tenant can be made from, as it is now.
    pub(super) fn seed(self, place: &Place<'_>) -> Seed {
        match self {
            Self::Files => Seed::Folder,
            Self::Postgres(_) => Seed::Database(place.database.clone()),
            Self::MariaDb(port) => Seed::Dump(mariadb::dump_at(port, &place.database, &[])),
        }
    }

    /// Makes a copy.
    pub(super) async fn copy(self, seed: &Seed, place: &Place<'_>) {
        match (self, seed) {
            (Self::Postgres(port), Seed::Database(old)) => {
                let copy = format!("CREATE DATABASE {} OWNER app TEMPLATE {old}", place.database);
                postgres::Admin::at(port, "postgres").await.execute_all(&copy).await;
            }
            (Self::MariaDb(port), Seed::Dump(dump)) => {
                self.make(&place.database).await;
                mariadb::Admin::at(port, &place.database).await.execute_all(dump).await;
            }
            _ => {}
        }
    }

    /// What a tenant holds.
    pub(super) async fn sight(self, project: &Project, place: &Place<'_>) -> Vec<String> {
        match self {
            Self::Files => oracle::of_sqlite(&project.at(&place.file())).await,
            Self::Postgres(port) => oracle::of_postgres(&postgres::url_at(port, &place.database)).await,
            Self::MariaDb(port) => oracle::of_mariadb(port, &place.database).await,
        }
    }

    /// Removes what is not in the folder.
    pub(super) async fn remove(self, place: &Place<'_>) {
        let database = &place.database;
        match self {
            Self::Files => {}
            Self::Postgres(port) => {
                let drop = format!("DROP DATABASE {database} WITH (FORCE)");
                postgres::Admin::at(port, "postgres").await.execute_all(&drop).await;
            }
            Self::MariaDb(port) => {
                let drop = format!("DROP DATABASE {database}; REVOKE ALL ON {database}.* FROM app@'%'");
                mariadb::Admin::at(port, "").await.execute_all(&drop).await;
            }
        }
    }
}
