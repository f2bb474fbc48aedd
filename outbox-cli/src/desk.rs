//! What people do about messages that are stuck.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use outbox::MessageId;
use outbox::admin::{Admin, DeadLetterFilter, DeadMessage, WaitingMessage};

use crate::database::Database;
use crate::replay::the_one;
use crate::{Tables, time};

/// Messages of one page that is read.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List dead letters.
    List {
        #[command(flatten)]
        named: Named,
        /// At most so many of each outbox.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one dead letter whole: headers, payload, reason, history.
    Show {
        /// The message id.
        id: uuid::Uuid,
        #[command(flatten)]
        tables: Tables,
    },
    /// Have dead letters delivered again, by the relay that gave them up; those of a key in their order.
    Replay {
        #[command(flatten)]
        named: Named,
        /// At most so many a second of each relay. Default: as fast as it goes.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        per_second: Option<u32>,
    },
    /// Delete dead letters.
    Discard {
        #[command(flatten)]
        named: Named,
    },
}

/// Which dead letters: everything that is given has to fit.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Given up by this relay.
    #[arg(long)]
    relay: Option<String>,
    /// Of this message id.
    #[arg(long)]
    id: Option<uuid::Uuid>,
    /// Of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Of this key.
    #[arg(long)]
    key: Option<String>,
    /// Of this event type.
    #[arg(long)]
    event_type: Option<String>,
    /// Whose reason holds this text.
    #[arg(long)]
    reason: Option<String>,
    /// Given up at this time or later: a day in UTC, or RFC 3339.
    #[arg(long, value_parser = time::parse)]
    since: Option<SystemTime>,
    /// Given up before this time.
    #[arg(long, value_parser = time::parse)]
    until: Option<SystemTime>,
    /// All of them, where nothing else is given.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    tables: Tables,
}

impl Named {
    fn filter(&self) -> DeadLetterFilter {
        let mut filter = DeadLetterFilter::all();
        filter.relay.clone_from(&self.relay);
        filter.id = self.id.map(MessageId::from);
        filter.topic.clone_from(&self.topic);
        filter.key.clone_from(&self.key);
        filter.event_type.clone_from(&self.event_type);
        filter.reason.clone_from(&self.reason);
        (filter.since, filter.until) = (self.since, self.until);
        filter
    }

    /// For what changes something: no filter is most often a mistake.
    fn meant(&self) -> Result<DeadLetterFilter> {
        let filter = self.filter();
        if filter == DeadLetterFilter::all() && !self.all {
            bail!("which dead letters? Give --relay, --key, --id or another filter, or --all for all of them");
        }
        Ok(filter)
    }
}

pub(crate) fn admin(database: &Database) -> Result<Arc<dyn Admin>> {
    database.store().admin().context("this store has no dead letters to work with")
}

impl Dead {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::List { named, limit } => {
                let filter = named.filter();
                let mut shown = 0;
                for database in named.tables.databases()? {
                    shown += list(&*admin(&database)?, &filter, limit).await?;
                }
                if shown == 0 {
                    println!("no dead letters");
                }
            }
            Self::Show { id, tables } => show(&tables.databases()?, id.into()).await?,
            Self::Replay { named, per_second } => {
                let (filter, mut count) = (named.meant()?, 0);
                for database in named.tables.databases()? {
                    count += admin(&database)?.replay(&filter, per_second).await?;
                }
                println!("{count} dead letters are delivered again when their relay runs");
            }
            Self::Discard { named } => {
                let (filter, mut count) = (named.meant()?, 0);
                for database in named.tables.databases()? {
                    count += admin(&database)?.discard(&filter).await?;
                }
                println!("{count} dead letters are deleted");
            }
        }
        Ok(())
    }
}

async fn list(desk: &dyn Admin, filter: &DeadLetterFilter, limit: usize) -> Result<usize> {
    let (mut shown, mut last): (usize, Option<DeadMessage>) = (0, None);
    while shown < limit {
        let page = desk.dead_letters(filter, last.as_ref(), PAGE.min(limit - shown)).await?;
        for dead in &page {
            let m = &dead.message;
            let key = m.key.as_deref().unwrap_or("-");
            println!(
                "{}  {}  {}  {}  {}  key {key}  attempts {}  {}",
                time::show(dead.died_at),
                m.id,
                dead.relay,
                m.topic,
                m.event_type,
                dead.attempts,
                dead.reason
            );
        }
        shown += page.len();
        match page.into_iter().next_back() {
            Some(dead) => last = Some(dead),
            None => break,
        }
    }
    Ok(shown)
}

async fn show(databases: &[Database], id: MessageId) -> Result<()> {
    let mut found = false;
    for database in databases {
        for dead in admin(database)?.dead_letters(&DeadLetterFilter::all().id(id), None, PAGE).await? {
            found = true;
            let m = &dead.message;
            println!("id            {}", m.id);
            println!("relay         {}", dead.relay);
            println!("topic         {}", m.topic);
            println!("key           {}", m.key.as_deref().unwrap_or("-"));
            println!("event type    {}", m.event_type);
            println!("content type  {}", m.content_type.as_deref().unwrap_or("-"));
            m.headers.iter().for_each(|(name, value)| println!("header        {name}: {value}"));
            println!("created       {}", time::show(dead.created_at));
            println!("given up      {}, after {} attempts", time::show(dead.died_at), dead.attempts);
            println!("reason        {}", dead.reason);
            dead.history.iter().for_each(|error| println!("attempt       {error}"));
            println!("payload       {} bytes", m.payload.len());
            match std::str::from_utf8(&m.payload) {
                Ok(text) => println!("{text}"),
                Err(_) => println!("{}", m.payload.iter().map(|b| format!("{b:02x}")).collect::<String>()),
            }
        }
    }
    if !found {
        bail!("there is no dead letter {id}: `outbox dead list` shows them");
    }
    Ok(())
}

/// Messages that failed, and those that wait behind them or for their topic.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// The relay's name.
    relay: String,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    tables: Tables,
}

impl Waiting {
    pub(crate) async fn run(self) -> Result<()> {
        let databases = self.tables.databases()?;
        let desk = admin(the_one(&databases, &self.relay).await?.0)?;
        let (mut shown, mut last): (usize, Option<WaitingMessage>) = (0, None);
        while shown < self.limit {
            let page = desk.waiting(&self.relay, last.as_ref(), PAGE.min(self.limit - shown)).await?;
            for w in &page {
                let (key, error) = (w.key.as_deref().unwrap_or("-"), w.last_error.as_deref().unwrap_or("waits"));
                let due = w.due_in.as_secs();
                println!(
                    "{}  {}  {}  key {key}  attempts {}  due in {due} s  {error}",
                    w.id, w.topic, w.event_type, w.attempts
                );
            }
            shown += page.len();
            match page.into_iter().next_back() {
                Some(w) => last = Some(w),
                None => break,
            }
        }
        if shown == 0 {
            println!("nothing waits");
        }
        Ok(())
    }
}

/// A relay, or a key of it.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The relay's name.
    relay: String,
    /// Only this key.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    tables: Tables,
}

impl Which {
    async fn desk(&self, databases: &[Database]) -> Result<Arc<dyn Admin>> {
        admin(the_one(databases, &self.relay).await?.0)
    }

    fn shown(&self) -> String {
        self.key.as_ref().map_or_else(|| self.relay.clone(), |key| format!("key {key} of {}", self.relay))
    }

    pub(crate) async fn pause(self) -> Result<()> {
        let shown = self.shown();
        let databases = self.tables.clone().databases()?;
        let desk = self.desk(&databases).await?;
        match &self.key {
            Some(key) => desk.pause_key(&self.relay, key).await?,
            None => desk.pause(&self.relay).await?,
        }
        println!("{shown} is paused: its messages wait");
        Ok(())
    }

    pub(crate) async fn resume(self) -> Result<()> {
        let shown = self.shown();
        let databases = self.tables.clone().databases()?;
        let desk = self.desk(&databases).await?;
        match &self.key {
            Some(key) => desk.resume_key(&self.relay, key).await?,
            None => desk.resume(&self.relay).await?,
        }
        println!("{shown} goes on");
        Ok(())
    }

    pub(crate) async fn retry(self) -> Result<()> {
        let databases = self.tables.clone().databases()?;
        let count = self.desk(&databases).await?.retry(&self.relay, self.key.as_deref()).await?;
        println!("{count} messages have all their attempts again");
        Ok(())
    }
}

/// A message that waits.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The relay's name.
    relay: String,
    /// The message id.
    id: uuid::Uuid,
    #[command(flatten)]
    tables: Tables,
}

impl One {
    pub(crate) async fn give_up(self) -> Result<()> {
        let databases = self.tables.databases()?;
        if !admin(the_one(&databases, &self.relay).await?.0)?.give_up(&self.relay, self.id.into()).await? {
            bail!("{} does not wait: `outbox waiting {}` lists what does", self.id, self.relay);
        }
        println!("{} is a dead letter", self.id);
        Ok(())
    }
}
