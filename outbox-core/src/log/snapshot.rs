/// A Postgres snapshot together with the next transaction id at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    text: String,
    xmin: u64,
    next_xid: u64,
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not of the form `xmin:xmax:list`.
    #[error("{0:?} is not a snapshot")]
    Malformed(String),
    /// `age()` was computed earlier than the snapshot: the statement ran inside a transaction.
    #[error("the next transaction id lies below the snapshot {0}: the statement must not run inside a transaction")]
    Stale(String),
}

impl Snapshot {
    /// `text` is `pg_current_snapshot()`, `age` is `age('3'::xid)` of the same statement.
    ///
    /// # Errors
    /// When the two do not belong together. A fence that is too low would lose messages.
    pub fn new(text: &str, age: i64) -> Result<Self, SnapshotError> {
        let malformed = || SnapshotError::Malformed(text.to_owned());
        let mut parts = text.splitn(3, ':').map(str::parse::<u64>);
        let (Some(Ok(xmin)), Some(Ok(xmax))) = (parts.next(), parts.next()) else { return Err(malformed()) };
        // age() knows the low 32 bits of the next transaction id; the snapshot knows the epoch.
        let ahead = ((age + 3) as u32).wrapping_sub(xmax as u32).cast_signed();
        let ahead = u64::try_from(ahead).map_err(|_| SnapshotError::Stale(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), xmin, next_xid: xmax + ahead })
    }

    /// As the database wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every transaction below this had ended.
    pub fn xmin(&self) -> u64 {
        self.xmin
    }

    /// Above every transaction id that was assigned: the fence of a hole seen now.
    pub fn next_xid(&self) -> u64 {
        self.next_xid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, age: i64) -> Result<u64, SnapshotError> {
        Snapshot::new(text, age).map(|s| s.next_xid())
    }

    #[test]
    fn the_next_id_is_widened_by_the_snapshots_epoch() {
        assert_eq!(next("750:752:750", 752 - 3), Ok(752));
        assert_eq!(next("750:752:750", 755 - 3), Ok(755));
        let epoch = 5u64 << 32;
        assert_eq!(next(&format!("{}:{}:", epoch - 2, epoch - 1), (1 << 32) - 1 - 3), Ok(epoch - 1));
        // The low bits have wrapped between xmax and the next id; age() is signed there.
        assert_eq!(next(&format!("{}:{}:", epoch - 2, epoch - 1), 4 - 3), Ok(epoch + 4));
        assert_eq!(next(&format!("{}:{}:", epoch + 7, epoch + 9), 9 - 3), Ok(epoch + 9));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        assert!(matches!(Snapshot::new("750:752:750", 740), Err(SnapshotError::Stale(_))));
        assert!(matches!(Snapshot::new("750", 740), Err(SnapshotError::Malformed(_))));
        assert!(matches!(Snapshot::new("a:b:", 740), Err(SnapshotError::Malformed(_))));
    }
}
