use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use url::Url;

use crate::names;

/// What the names of the tests' databases begin with.
pub(crate) const PREFIX: &str = "outbox_test";
/// A database of a test that ran so long ago is dropped, if nobody is connected to it.
const STALE: Duration = Duration::from_secs(3600);

/// Runs one statement on a connection of its own.
pub(crate) async fn execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql.to_owned());
    if is_postgres(url) {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        PgConnection::connect_with(&options).await?.execute(sql).await?;
    } else {
        let options = MySqlConnectOptions::from_str(url)?.disable_statement_logging();
        MySqlConnection::connect_with(&options).await?.execute(sql).await?;
    }
    Ok(())
}

/// The one text that the query gives.
pub(crate) async fn ask_postgres(url: &str, sql: &str) -> Result<String, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await
}

/// The port in the URL, or the usual one.
pub(crate) fn port(url: &str) -> u16 {
    parsed(url).port().unwrap_or(if is_postgres(url) { 5432 } else { 3306 })
}

/// The URL of another database of the same server.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let mut url = parsed(url);
    url.set_path(name);
    url.into()
}

pub(crate) fn parsed(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|e| panic!("{url} is not a URL: {e}"))
}

/// Drops the databases of long past tests; one that is in use stays.
pub(crate) async fn drop_stale(url: &str) {
    for name in databases(url).await.unwrap_or_default() {
        if names::age(&name, '_').is_some_and(|age| age > STALE) {
            drop(execute(url, &format!("DROP DATABASE IF EXISTS {name}")).await);
        }
    }
}

/// The tests' databases that nobody is connected to.
async fn databases(url: &str) -> Result<Vec<String>, sqlx::Error> {
    if is_postgres(url) {
        let mut connection = PgConnection::connect_with(&PgConnectOptions::from_str(url)?).await?;
        let listed = "SELECT datname::text FROM pg_database WHERE datname LIKE 'outbox\\_test\\_%' \
                      AND datname NOT IN (SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL)";
        sqlx::query_scalar(listed).fetch_all(&mut connection).await
    } else {
        let mut connection = MySqlConnection::connect_with(&MySqlConnectOptions::from_str(url)?).await?;
        let listed = "SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata \
                      WHERE schema_name LIKE 'outbox\\_test\\_%' \
                      AND schema_name NOT IN (SELECT db FROM information_schema.processlist WHERE db IS NOT NULL)";
        sqlx::query_scalar(listed).fetch_all(&mut connection).await
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_put_into_the_url() {
        let at = |url| with_database(url, "shop");
        assert_eq!(
            at("postgres://u:p%40@127.0.0.1:5433/postgres?sslmode=disable"),
            "postgres://u:p%40@127.0.0.1:5433/shop?sslmode=disable"
        );
        assert_eq!(at("mysql://root@db"), "mysql://root@db/shop");
        assert_eq!((port("mysql://root@db/x"), port("postgres://db"), port("mysql://db:7/x")), (3306, 5432, 7));
    }
}
