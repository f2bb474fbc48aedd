use crate::{Dialect, Names, literals};

/// The statement that locks ordering keys until the transaction ends, for a client that this project has no crate for;
/// `None` where the database needs no such lock.
///
/// Its one parameter is the list of keys: `text[]` on Postgres. Run it inside the transaction, before the first message
/// of these keys is written: writers of one key then follow each other, so the order in which they commit is the order
/// in which the key is delivered. Keys are locked in one order everywhere, so that two statements never deadlock; two
/// statements in one transaction may.
///
/// - Postgres: advisory transaction locks on a 64-bit hash of the message table and the key. Two keys of one hash
///   (1 in 2^64) wait for each other, and so may an application's own advisory locks on 64-bit numbers.
/// - MySQL and MariaDB: `None` too, but a lock **is** needed: [`lock_keys_mysql`].
/// - SQLite: `None`. A file has one writer at a time, and draws its numbers inside the transaction that writes.
pub fn lock_keys(dialect: Dialect, names: &Names) -> Option<String> {
    match dialect {
        // The inner order is kept: the locks are taken row by row above it. The table's oid is the same however its
        // name is written.
        Dialect::Postgres => Some(names.render(
            "select pg_advisory_xact_lock(hash) from (select distinct hashtextextended(key, \
             'outbox_message'::regclass::oid::int8) hash from unnest($1::text[]) key order by hash) keys",
        )),
        _ => None,
    }
}

/// The statement that locks these ordering keys on MySQL and MariaDB, without parameters: rows of `outbox_lock`, which
/// stand for groups of keys, in the order of their numbers. Run it inside the transaction, before the first message of
/// these keys is written. Two keys of one group (1 in 4,096) wait for each other.
pub fn lock_keys_mysql(names: &Names, keys: &[String]) -> String {
    let slots: Vec<String> = keys.iter().map(|key| literals("crc32($1) % 4096", &[key.as_str().into()])).collect();
    let among = if slots.is_empty() { "null".into() } else { slots.join(", ") };
    names.render_for(
        Dialect::Mysql,
        &format!("select slot from outbox_lock where slot in ({among}) order by slot for update"),
    )
}
