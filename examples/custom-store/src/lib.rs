//! A store of one's own: one append-only file, for one process. What was settled, parked and given up is a line too, so
//! opening the file is reading it.

mod book;
mod file;
mod store;

pub use file::{FileStore, FileTransaction};
