//! Each server starts, takes statements, and what is committed survives a kill.

use std::time::Duration;

use sqlx::{Connection, Executor, MySqlConnection, PgConnection};
use testkit::{Mysql, Postgres, Server, eventually};

#[tokio::test]
async fn each_postgres_version_is_the_one_asked_for() {
    for (major, number) in [("14", 14), ("17", 17), ("18", 18)] {
        let url = Postgres::version(major).await.database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let version: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut connection).await.unwrap();
        assert_eq!(version.parse::<u32>().unwrap() / 10_000, number, "{version}");
        // Two phases, as the resolvers of in-doubt transactions need them.
        connection.execute("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'x'").await.unwrap();
        connection.execute("COMMIT PREPARED 'x'").await.unwrap();
        connection.execute("INSERT INTO t VALUES (1)").await.unwrap();
    }
}

#[tokio::test]
async fn mysql_and_mariadb_are_what_they_say() {
    for (server, name) in [(Mysql::mysql().await, "mysql"), (Mysql::mariadb().await, "mariadb")] {
        let (one, other) = tokio::join!(server.database(), server.database());
        assert_ne!(one, other);
        let mut connection = MySqlConnection::connect(&one).await.unwrap();
        let (version, database, most): (String, String, i64) =
            sqlx::query_as("SELECT LOWER(VERSION()), CAST(DATABASE() AS CHAR), CAST(@@max_connections AS SIGNED)")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!(version.contains("mariadb"), name == "mariadb", "{version}");
        assert!(one.ends_with(&format!("/{database}")), "{one} {database}");
        assert!(most >= 400, "{most}");
        connection.execute("CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB").await.unwrap();
        connection.execute("INSERT INTO t VALUES (1)").await.unwrap();
    }
}

#[tokio::test]
async fn an_own_postgres_survives_a_kill() {
    let server = Postgres::own().await;
    let url = server.database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await.unwrap();
    kill_and_start(&server).await;
    assert!(connection.execute("SELECT 1").await.is_err(), "a connection to a killed server");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i32>("SELECT n FROM t").fetch_one(&mut connection).await.unwrap(), 7);
    assert_eq!(server.exec(&["psql", "-U", "postgres", "-Atc", "SHOW fsync"]).await.trim(), "on");
}

#[tokio::test]
async fn an_own_mysql_survives_a_kill() {
    survives_a_kill(Mysql::own_mysql().await).await;
}

#[tokio::test]
async fn an_own_mariadb_survives_a_kill() {
    survives_a_kill(Mysql::own_mariadb().await).await;
}

async fn survives_a_kill(server: Mysql) {
    let url = server.database().await;
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    connection.execute("CREATE TABLE t (n INT) ENGINE=InnoDB").await.unwrap();
    connection.execute("INSERT INTO t VALUES (7)").await.unwrap();
    kill_and_start(&server).await;
    assert!(connection.execute("SELECT 1").await.is_err(), "a connection to a killed server");
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i32>("SELECT n FROM t").fetch_one(&mut connection).await.unwrap(), 7);
    let flush = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)";
    assert_eq!(sqlx::query_scalar::<_, i64>(flush).fetch_one(&mut connection).await.unwrap(), 1);
}

/// Refused while it is down, silent while it is paused, and at the same port afterwards.
async fn kill_and_start(server: &Server) {
    let address = ("127.0.0.1", server.port());
    server.kill().await;
    eventually("connections are refused", Duration::from_secs(5), async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    server.start().await;
    server.pause().await;
    tokio::net::TcpStream::connect(address).await.expect("a paused server accepts");
    server.unpause().await;
    assert_eq!(server.port(), address.1);
}

#[tokio::test]
#[should_panic(expected = "other tests use the shared server too")]
async fn a_shared_server_is_not_killed() {
    Mysql::mysql().await.kill().await;
}

#[tokio::test]
#[should_panic(expected = "none of the versions")]
async fn an_unknown_version_is_refused() {
    Postgres::version("9").await;
}
