use std::fmt;

use stores::Client;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// SQLite.
    Sqlite,
}

/// A client on a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Who writes and reads.
    pub client: Client,
    /// Where.
    pub database: Database,
}

/// All there are.
pub const STORES: [Store; 11] = [
    Store { client: Client::Sqlx, database: Database::Postgres },
    Store { client: Client::Sqlx, database: Database::Mysql },
    Store { client: Client::Sqlx, database: Database::Mariadb },
    Store { client: Client::Sqlx, database: Database::Sqlite },
    Store { client: Client::Diesel, database: Database::Postgres },
    Store { client: Client::Diesel, database: Database::Mysql },
    Store { client: Client::Diesel, database: Database::Mariadb },
    Store { client: Client::Diesel, database: Database::Sqlite },
    Store { client: Client::DieselAsync, database: Database::Postgres },
    Store { client: Client::DieselAsync, database: Database::Mysql },
    Store { client: Client::DieselAsync, database: Database::Mariadb },
];

impl Store {
    /// For names of topics: `sqlx-postgres`.
    #[must_use]
    pub fn slug(self) -> String {
        self.to_string().to_lowercase().replace(' ', "-")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = match self.client {
            Client::Sqlx => "sqlx",
            Client::Diesel => "diesel",
            Client::DieselAsync => "diesel-async",
        };
        let database = match self.database {
            Database::Postgres => "Postgres",
            Database::Mysql => "MySQL",
            Database::Mariadb => "MariaDB",
            Database::Sqlite => "SQLite",
        };
        f.pad(&format!("{client} {database}"))
    }
}
