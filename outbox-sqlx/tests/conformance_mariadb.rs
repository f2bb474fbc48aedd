//! The store on MariaDB passes the suite, with a database of its own for each clause.
#![cfg(feature = "mysql")]

mod mysql_harness;

suite_on!(mariadb);
