use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;
use outbox::sqlx::{RelayStatus, Replay};

use crate::database::Database;
use crate::{Tables, time};

/// Which messages are delivered again, and under which name.
#[derive(Debug, Args)]
pub(crate) struct Selected {
    /// The relay whose messages are meant: those of its topics.
    #[arg(required_unless_present = "name")]
    relay: Option<String>,
    /// The new relay name. Default: that of the relay, with "-replay" behind it.
    #[arg(long = "as")]
    name: Option<String>,
    /// Only messages of this time or later: a day in UTC, or RFC 3339. Default: from the first that is kept.
    #[arg(long, value_parser = time::parse)]
    from: Option<SystemTime>,
    /// Only messages before this time. Default: it goes on with new ones until the name is dropped.
    #[arg(long, value_parser = time::parse)]
    to: Option<SystemTime>,
    /// Only this topic, or a prefix that ends in one *; may be given more than once. Default: those of the relay.
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// Only messages of this key.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    tables: Tables,
}

impl Selected {
    pub(crate) async fn make(self) -> Result<()> {
        let databases = self.tables.databases()?;
        let (database, of) = match (&self.relay, &databases[..]) {
            (Some(relay), databases) => {
                let (database, status) = the_one(databases, relay).await?;
                (database, Some(status))
            }
            (None, [one]) => (one, None),
            (None, _) => bail!("the file has several outboxes: name a relay of the one that is meant, or give --url"),
        };
        let log = database.is_log();
        if !log && (self.name.is_some() || self.relay.is_none()) {
            bail!(
                "on MySQL and MariaDB what a relay delivered goes back into the outbox, for the same relay: name it, and leave --as \
                 out"
            );
        }
        let again = self.relay.clone().filter(|_| !log).or(self.name);
        let name = again.unwrap_or_else(|| format!("{}-replay", self.relay.as_deref().unwrap_or_default()));
        let topics = match &of {
            Some(status) if log && self.topics.is_empty() => status.topics.clone(),
            _ => self.topics,
        };
        let mut replay = Replay::new(&name).topics(topics)?;
        if let Some(from) = self.from {
            replay = replay.from(from);
        }
        if let Some(to) = self.to {
            replay = replay.to(to);
        }
        if let Some(key) = &self.key {
            replay = replay.key(key);
        }
        let covered = database.replay(replay).await?;
        if !log {
            println!("{covered} messages that {name} delivered wait in the outbox again");
            return Ok(());
        }
        let like = self.relay.map_or_else(|| "...".to_owned(), |relay| format!("... # as {relay}, or somewhere else"));
        println!(
            "{name} is there and covers {covered} messages of those that are kept. To deliver them, add it to the file \
             of `outbox relay` and start that anew:\n\n[[outbox.relay]]\nname = \"{name}\"\nto = {like}\n\nWhen `outbox \
             status` shows nothing waiting for it, take it out again and forget it: outbox relay drop {name}"
        );
        Ok(())
    }
}

/// The database that has a relay of this name.
pub(crate) async fn the_one<'d>(databases: &'d [Database], relay: &str) -> Result<(&'d Database, RelayStatus)> {
    let mut found = Vec::new();
    for database in databases {
        found.extend(database.status().await?.into_iter().find(|r| r.relay == relay).map(|status| (database, status)));
    }
    if found.len() > 1 {
        bail!("several outboxes have a relay named {relay:?}: give --url, or a file with one of them");
    }
    match found.pop() {
        Some(one) => Ok(one),
        None => bail!("there is no relay named {relay:?}: `outbox status` lists the names"),
    }
}

pub(crate) async fn drop_relay(databases: &[Database], relay: &str, force: bool) -> Result<()> {
    let (database, status) = the_one(databases, relay).await?;
    database.drop_relay(relay, force).await?;
    println!("{relay} is forgotten");
    if status.dead > 0 {
        println!("{} dead letters of it are kept", status.dead);
    }
    Ok(())
}

/// What a replay covers, in a few words.
pub(crate) fn describe(replay: &Replay) -> String {
    let mut parts = Vec::new();
    parts.extend(replay.starts_at().map(|at| format!("from {}", time::show(at))));
    parts.extend(replay.ends_at().map(|at| format!("to {}", time::show(at))));
    let topics = replay.covered_topics().patterns();
    if !topics.is_empty() {
        parts.push(format!("of {}", topics.join(", ")));
    }
    parts.extend(replay.covered_key().map(|key| format!("with key {key}")));
    if parts.is_empty() { "all".to_owned() } else { parts.join(" ") }
}
