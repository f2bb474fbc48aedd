//! Messages that no Rust wrote: plain SQL, a trigger on a business table, and Python.
//!
//! The programs are in `python`, the SQL is in the guide's page "Write from anything". The tests run both, and read
//! back with a relay what they wrote.
