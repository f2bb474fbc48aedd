//! How a set of sequence numbers is written in a database.

use outbox_core::SeqSet;

use crate::Dialect;

/// As `{[1,5],[7,7]}` for Postgres and `[[1,5],[7,7]]` for SQLite, inclusive at both ends.
pub(crate) fn write(set: &SeqSet, dialect: Dialect) -> String {
    let ranges: Vec<String> = set.ranges().iter().map(|(lo, hi)| format!("[{lo},{hi}]")).collect();
    match dialect {
        Dialect::Postgres => format!("{{{}}}", ranges.join(",")),
        Dialect::Mysql | Dialect::Sqlite => format!("[{}]", ranges.join(",")),
    }
}

/// As written above; Postgres gives it back as `{[1,6),[7,8)}`.
pub(crate) fn read(text: &str) -> Option<SeqSet> {
    let mut set = SeqSet::new();
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    for range in inner.split_inclusive([']', ')']) {
        let range = range.trim_start_matches([',', ' ']);
        let (lo, hi) = range.get(1..range.len().checked_sub(1)?)?.split_once(',')?;
        let open = i64::from(range.ends_with(')'));
        set.insert_range(lo.trim().parse().ok()?, hi.trim().parse::<i64>().ok()? - open);
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let set: SeqSet = [1, 2, 3, 7, 9, 10].into_iter().collect();
        assert_eq!(write(&set, Dialect::Postgres), "{[1,3],[7,7],[9,10]}");
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            assert_eq!(read(&write(&set, dialect)), Some(set.clone()));
            assert_eq!(read(&write(&SeqSet::new(), dialect)), Some(SeqSet::new()));
        }
        assert_eq!(read("{[1,4),[7,8),[9,11)}"), Some(set));
        assert_eq!(read("{[1,4"), None);
        assert_eq!(read(""), None);
    }
}
