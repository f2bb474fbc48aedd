//! Other writers: the guide's page, the Python programs, and rows that writers get wrong.

mod db;
mod guide;
mod python;
mod rules;
