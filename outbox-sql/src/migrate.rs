use outbox_core::{StoreError, StoreErrorKind};

use crate::statements::{Sql, fill};
use crate::{Connection, Dialect, Driver, Names, mysql, postgres, sqlite};

/// The version of the tables that this code works with.
pub const SCHEMA_VERSION: i64 = 4;

/// The migrations as SQL, oldest first, with these names: to be run by another tool, each one in one transaction. The
/// schema, where one is named, has to be there.
pub fn migrations(dialect: Dialect, names: &Names) -> Vec<String> {
    let texts = match dialect {
        Dialect::Postgres => postgres::MIGRATIONS,
        Dialect::Mysql => mysql::MIGRATIONS,
        Dialect::Sqlite => sqlite::MIGRATIONS,
    };
    let version = |n: usize| format!("\ninsert into outbox_schema (version) values ({n});\n");
    (1..).zip(texts).map(|(n, sql)| names.render_for(dialect, &format!("{sql}{}", version(n)))).collect()
}

/// Brings the tables to this version. Does nothing where they are; safe to run from many processes at once.
///
/// # Errors
/// `Schema` where the tables are newer than this code.
pub async fn migrate(driver: &dyn Driver, names: &Names) -> Result<(), StoreError> {
    let sql = Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    run(&mut *conn, driver.dialect(), names, &sql).await.map_err(|e| e.during("migrate"))
}

async fn run(conn: &mut dyn Connection, dialect: Dialect, names: &Names, sql: &Sql) -> Result<(), StoreError> {
    // A look without a lock first: most often there is nothing to do.
    match version(conn, sql).await {
        Ok(found) if found >= SCHEMA_VERSION => return fits(found),
        Ok(_) => {}
        // A schema that is not there yet is an unknown database to MySQL; what follows gives the real error.
        Err(e) if matches!(e.kind(), StoreErrorKind::Schema | StoreErrorKind::Unexpected) => {}
        Err(e) => return Err(e),
    }
    match dialect {
        Dialect::Postgres => {
            conn.script("begin").await?;
            conn.query(postgres::LOCK_MIGRATIONS, &[]).await?;
            if let Some(schema) = names.schema_name() {
                conn.script(&format!("create schema if not exists \"{schema}\"")).await?;
            }
        }
        Dialect::Mysql => {
            let locked = conn.query(mysql::LOCK_MIGRATIONS, &[]).await?;
            if locked.first().and_then(|row| row[0].int()) != Some(1) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "migrate")
                    .with_detail("another process migrates for more than 60 s: wait for it, then run this again"));
            }
            if let Some(schema) = names.schema_name() {
                conn.script(&format!("create schema if not exists `{schema}`")).await?;
            }
        }
        Dialect::Sqlite => {
            conn.script("pragma busy_timeout = 5000; pragma journal_mode = wal; begin immediate").await?
        }
    }
    let exists = conn.query(&exists(dialect, names), &[]).await?;
    let found = if exists.is_empty() { 0 } else { version(conn, sql).await? };
    if found > SCHEMA_VERSION {
        return fits(found);
    }
    for (n, text) in (1..).zip(migrations(dialect, names)) {
        if n > found {
            conn.script(&text).await?;
        }
    }
    conn.script("commit").await
}

/// A statement that returns a row where the version table is there; it must not fail inside the transaction.
fn exists(dialect: Dialect, names: &Names) -> String {
    let sql = match dialect {
        Dialect::Postgres => "select 1::int8 where to_regclass('outbox_schema') is not null",
        Dialect::Mysql => {
            "select 1 from information_schema.tables where table_schema = {SCHEMA} and \
             table_name = substring_index(replace('outbox_schema', '`', ''), '.', -1)"
        }
        Dialect::Sqlite => "select 1 from sqlite_master where name = replace('outbox_schema', '\"', '')",
    };
    fill(sql, &[], dialect, names)
}

async fn version(conn: &mut dyn Connection, sql: &Sql) -> Result<i64, StoreError> {
    let rows = conn.query(&sql.version, &[]).await?;
    Ok(rows.first().and_then(|row| row[0].int()).unwrap_or(0))
}

/// Checks that the tables are there, and of this version.
pub(crate) async fn check(conn: &mut dyn Connection, sql: &Sql) -> Result<(), StoreError> {
    let found = match version(conn, sql).await {
        Ok(found) => found,
        Err(e) if e.kind() == StoreErrorKind::Schema => 0,
        Err(e) => return Err(e),
    };
    fits(found)
}

fn fits(found: i64) -> Result<(), StoreError> {
    let detail = match found {
        SCHEMA_VERSION => return Ok(()),
        0 => "the outbox tables are missing: run `outbox migrate` or call `migrate()`, and check schema and table \
              names"
            .to_owned(),
        found if found < SCHEMA_VERSION => format!(
            "the outbox tables have version {found}, this code needs {SCHEMA_VERSION}: run `outbox migrate` or call \
             `migrate()`"
        ),
        found => format!(
            "the outbox tables have version {found}, this code knows {SCHEMA_VERSION}: upgrade this program, nothing \
             was changed"
        ),
    };
    Err(StoreError::new(StoreErrorKind::Schema, "check schema").with_detail(detail))
}
