//! The store on MySQL through diesel-async passes the suite, with a database of its own for each clause.
#![cfg(feature = "async-mysql")]

#[path = "common/letter.rs"]
mod letter;
#[macro_use]
#[path = "common/async_mysql_suite.rs"]
mod suite;

suite_on!(mysql);
