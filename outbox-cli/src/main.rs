//! The `outbox` command: brings tables to this version, carries messages, and says how the relays stand.

mod config;
mod database;
mod desk;
mod relay;
mod replay;
mod retry;
mod status;
mod target;
mod time;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

use config::{Config, OutboxConfig};
use database::Database;

/// The transactional outbox.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the outbox tables, or bring them to this version.
    Migrate {
        #[command(flatten)]
        tables: Tables,
        /// Print the SQL instead of running it.
        #[arg(long)]
        sql: bool,
    },
    /// Carry messages to the broker until SIGTERM or Ctrl-C, then drain.
    #[command(args_conflicts_with_subcommands = true)]
    Relay {
        /// Which outboxes and relays there are.
        #[arg(long, default_value = "outbox.toml")]
        config: PathBuf,
        #[command(subcommand)]
        command: Option<RelayCommand>,
    },
    /// Deliver messages that are kept once more: those of a time, of topics, of a key. Under a new relay name; on MySQL
    /// and MariaDB they are put back into the outbox.
    Replay(replay::Selected),
    /// Show how every relay stands.
    Status {
        #[command(flatten)]
        tables: Tables,
    },
    /// Dead letters: messages that were given up on.
    #[command(subcommand)]
    Dead(desk::Dead),
    /// List messages of a relay that failed, and those that wait behind them or for their topic.
    Waiting(desk::Waiting),
    /// Give waiting messages all their attempts anew, the first one at once.
    Retry(desk::Which),
    /// Make a waiting message a dead letter: what waits behind it goes on.
    GiveUp(desk::One),
    /// Hand over nothing more of a relay, or of a key: messages wait where they are, in every process, over restarts.
    Pause(desk::Which),
    /// End a pause.
    Resume(desk::Which),
    /// Start a relay name anew, for a sequence that went back: from the start of the table. On MySQL and MariaDB what
    /// it had parked is put back.
    Reset {
        /// The relay's name.
        relay: String,
        #[command(flatten)]
        tables: Tables,
    },
}

#[derive(Debug, Subcommand)]
enum RelayCommand {
    /// Forget a relay name: its cursor and what it had parked (on MySQL and MariaDB that is put back). Its dead letters
    /// stay; it pins no message any longer.
    Drop {
        /// The relay's name.
        relay: String,
        /// Also where a process holds its lease. One that still runs begins anew, on a log with all that is kept.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        tables: Tables,
    },
}

/// Names the tables where nothing else does.
const URL: &str = "OUTBOX_URL";

/// Which tables: a URL, or every outbox of a file.
#[derive(Debug, Clone, Args)]
struct Tables {
    /// postgres://user:password@host/database, mysql://... or sqlite:file. Default: the environment variable
    /// OUTBOX_URL, unless a file is given.
    #[arg(long)]
    url: Option<String>,
    /// The schema of the tables (Postgres), or their database (MySQL).
    #[arg(long, conflicts_with = "config")]
    schema: Option<String>,
    /// The first word of the table names.
    #[arg(long, conflicts_with = "config")]
    prefix: Option<String>,
    /// Which outboxes there are. Default: outbox.toml, where there is no URL.
    #[arg(long, conflicts_with = "url")]
    config: Option<PathBuf>,
}

impl Tables {
    fn databases(self) -> Result<Vec<Database>> {
        let url = match (self.url, &self.config) {
            (None, None) if std::env::var_os(URL).is_some() => Some(target::environment(URL)?),
            (url, _) => url,
        };
        let outboxes = match url {
            Some(url) => vec![OutboxConfig::of_url(url, self.schema, self.prefix)],
            None if self.schema.is_some() || self.prefix.is_some() => {
                bail!("--schema and --prefix are those of a URL: give --url or {URL}, or write them into the file")
            }
            None => Config::read(self.config.as_deref().unwrap_or(Path::new("outbox.toml")))?.outbox,
        };
        outboxes.iter().map(Database::of).collect()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        // This client logs what no queue takes with its payload.
        .unwrap_or_else(|_| "info,lapin::returned_messages=off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().command {
        Command::Migrate { tables, sql } => {
            for database in tables.databases()? {
                if sql {
                    database.migrations().iter().for_each(|text| println!("{text}"));
                } else {
                    database.migrate().await?;
                    println!("the outbox tables have this version");
                }
            }
        }
        Command::Relay { command: Some(RelayCommand::Drop { relay, force, tables }), .. } => {
            replay::drop_relay(&tables.databases()?, &relay, force).await?;
        }
        Command::Relay { config, command: None } => relay::run(&Config::read(&config)?).await?,
        Command::Replay(selected) => selected.make().await?,
        Command::Status { tables } => {
            for database in tables.databases()? {
                print!("{}", status::table(&database.status().await?));
                print!("{}", status::paused(&desk::admin(&database)?.paused().await?));
            }
        }
        Command::Dead(dead) => dead.run().await?,
        Command::Waiting(waiting) => waiting.run().await?,
        Command::Retry(which) => which.retry().await?,
        Command::GiveUp(one) => one.give_up().await?,
        Command::Pause(which) => which.pause().await?,
        Command::Resume(which) => which.resume().await?,
        Command::Reset { relay, tables } => {
            let databases = tables.databases()?;
            replay::the_one(&databases, &relay).await?.0.reset(&relay).await?;
            println!("{relay} starts from the first message of the table");
        }
    }
    Ok(())
}
