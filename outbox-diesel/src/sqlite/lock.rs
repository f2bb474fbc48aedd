use diesel::SqliteConnection;
use outbox_core::StoreError;

use super::Sqlite;
use super::enqueue::inside_transaction;

impl Sqlite {
    /// Checks that there is a transaction, and locks nothing: a SQLite file has one writer at a time, and a message
    /// draws its number inside the transaction that writes it. So messages of every key are delivered in the order in
    /// which their transactions committed, without a lock. It is here so that code for several databases need not tell
    /// them apart. Costs nothing.
    ///
    /// # Errors
    /// `NotInTransaction`.
    pub fn lock_key(&self, conn: &mut SqliteConnection, key: impl ToString) -> Result<(), StoreError> {
        self.lock_keys(conn, [key])
    }

    /// As [`lock_key`](Self::lock_key), for many keys.
    ///
    /// # Errors
    /// `NotInTransaction`.
    pub fn lock_keys<K: ToString>(
        &self,
        conn: &mut SqliteConnection,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), StoreError> {
        drop(keys);
        inside_transaction(conn).map_err(|e| e.during("lock key"))
    }
}
