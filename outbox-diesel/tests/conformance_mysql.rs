//! The store on MySQL through libmariadb passes the suite, with a database of its own for each clause.
#![cfg(feature = "mysql")]

#[path = "common/letter.rs"]
mod letter;
#[macro_use]
#[path = "common/mysql_suite.rs"]
mod suite;

suite_on!(mysql);
