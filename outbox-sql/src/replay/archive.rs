use outbox_core::{StoreError, TopicFilter};

use super::{Replay, config};
use crate::migrate::check;
use crate::queue::changed;
use crate::statements::Sql;
use crate::{Dialect, Driver, Names, Value, literals};

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

/// A condition for exactly these topics; `None` for all.
pub(crate) fn of_topics(topics: &TopicFilter) -> Option<String> {
    let like = |pattern: &String| literals("topic like $1 escape '!'", &[Value::from(escaped(pattern))]);
    let any: Vec<String> = topics.patterns().iter().map(like).collect();
    (!any.is_empty()).then(|| format!("({})", any.join(" or ")))
}

/// A topic or a prefix as a pattern of LIKE.
fn escaped(pattern: &str) -> String {
    let (text, rest) = pattern.strip_suffix('*').map_or((pattern, ""), |prefix| (prefix, "%"));
    exactly(text) + rest
}

/// A text as a pattern of LIKE that only it matches; = would ignore spaces at its end.
pub(crate) fn exactly(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
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
            "relay = _utf8mb4 x'72' and `key` like _utf8mb4 x'6b' escape '!' and (topic like _utf8mb4 x'61' escape '!' or topic like \
             _utf8mb4 x'62215f25' escape '!')"
        );
    }
}
