use crate::Result;
use crate::process::{cargo, output};

/// Clients of databases and brokers, and what is linked for them. Whoever uses `outbox` gets one only by naming its
/// feature.
const CLIENTS: &[&str] = &[
    "sqlx",
    "diesel",
    "pq-sys",
    "mysqlclient-sys",
    "libsqlite3-sys",
    "tokio-postgres",
    "postgres",
    "mysql_async",
    "mysql_common",
    "rdkafka",
    "lapin",
    "async-nats",
    "aws-sdk-sns",
    "aws-config",
];

/// Checks that `outbox` alone depends on no client.
pub(crate) fn check() -> Result {
    let tree = output(&mut cargo(["tree", "--package", "outbox", "--edges", "normal", "--prefix", "none"]))?;
    let found = clients(&tree);
    if found.is_empty() {
        println!("outbox without features depends on no client");
        return Ok(());
    }
    Err(format!("`outbox` without features depends on {}", found.join(", ")))
}

/// The crates in the tree that are a client or a part of one, such as `sqlx-core`.
fn clients(tree: &str) -> Vec<&str> {
    let crates = tree.lines().filter_map(|line| line.split_whitespace().next());
    let is_client = |name: &&str| {
        CLIENTS
            .iter()
            .any(|client| name.strip_prefix(client).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    crates.filter(is_client).collect()
}

#[cfg(test)]
mod tests {
    use super::clients;

    #[test]
    fn clients_and_their_parts_are_found_and_ours_are_not() {
        let tree = "outbox v0.1.0 (/x)\noutbox-sqlx v0.1.0\nsqlx v0.9.0\nsqlx-core v0.9.0 (*)\nsqlxy v1\ndiesel-async v0.9.0\n\
                    postgres-types v0.2.0\nmysql_async v0.36.0\n";
        assert_eq!(clients(tree), ["sqlx", "sqlx-core", "diesel-async", "postgres-types", "mysql_async"]);
    }
}
