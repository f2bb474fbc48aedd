use outbox_core::StoreError;

use super::{Replay, config};
use crate::like::{exactly, of_topics};
use crate::migrate::check;
use crate::queue::changed;
use crate::statements::Sql;
use crate::{Dialect, Driver, Names, literals};

const RESTORE: &str = "insert into outbox_message \
        (id, topic, `key`, event_type, payload, content_type, headers, created_at) \
    select id, topic, `key`, event_type, payload, content_type, headers, created_at from outbox_delivered where ";

/// Puts messages that a relay delivered, and that are kept, back into the outbox, behind what waits and in their order.
/// They keep id and `created_at`, and are delivered again by whoever covers their topics. Gives how many they are. For
/// MySQL and MariaDB, where delivered messages leave the outbox.
///
/// What is kept stays where it is: doing it twice delivers twice.
///
/// # Errors
/// `Config` where nothing that is kept is covered, and on a database that keeps a log. `Schema` where the tables are
/// missing or of another version.
///
/// # Cancel safety
/// All of them were put back, or none.
pub async fn restore(driver: &dyn Driver, names: &Names, replay: &Replay) -> Result<u64, StoreError> {
    if driver.dialect() != Dialect::Mysql {
        return Err(config("this database keeps a log: replay it under a new relay name"));
    }
    let sql = Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &sql).await?;
    conn.script(&sql.setup_settle).await?;
    let restore = names.render_for(Dialect::Mysql, RESTORE) + &covered(replay) + " order by seq";
    match changed(&mut *conn, &restore).await.map_err(|e| e.during("restore"))? {
        0 => Err(config(format!(
            "nothing that is kept of relay {:?} is covered: messages are kept only where `keep_for` is set, and for as long",
            replay.relay
        ))),
        restored => Ok(restored.unsigned_abs()),
    }
}

/// The condition for what is covered.
fn covered(replay: &Replay) -> String {
    let selection = &replay.selection;
    let mut all = vec![literals("relay = $1", &[replay.relay.as_str().into()])];
    let at = "cast(unix_timestamp(created_at) * 1000000 as signed)";
    all.extend(selection.from.map(|from| format!("{at} >= {from}")));
    all.extend(selection.to.map(|to| format!("{at} < {to}")));
    // LIKE, because = ignores spaces at the end.
    all.extend(selection.key.as_deref().map(|key| literals("`key` like $1 escape '!'", &[exactly(key).into()])));
    all.extend(of_topics(&selection.topics));
    all.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered_becomes_a_condition() {
        let all = covered(&Replay::new("r"));
        assert_eq!(all, "relay = _utf8mb4 x'72'");
        let some = covered(&Replay::new("r").key("k").topics(["a", "b_*"]).expect("valid"));
        assert_eq!(
            some,
            "relay = _utf8mb4 x'72' and `key` like _utf8mb4 x'6b' escape '!' and (topic like _utf8mb4 x'61' \
             collate utf8mb4_bin escape '!' or topic like _utf8mb4 x'62215f25' collate utf8mb4_bin escape '!')"
        );
    }
}
