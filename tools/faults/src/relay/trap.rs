use std::fmt;
use std::process::{Command, id};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use super::said::STRUCK;

/// A place in the relay's work that a trap can lie at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A fetch gave messages, and the relay does not have them yet.
    Fetched,
    /// A batch is about to be handed to the transport.
    PublishBefore,
    /// The broker has acknowledged messages, and the relay does not know it yet.
    PublishAcknowledged,
    /// A settlement of messages is about to be sent.
    SettleBefore,
    /// It was applied, and the relay does not know it yet.
    SettleAfter,
    /// The same of one with parked messages.
    ParkedAfter,
}

impl Point {
    const ALL: [Self; 6] = [
        Self::Fetched,
        Self::PublishBefore,
        Self::PublishAcknowledged,
        Self::SettleBefore,
        Self::SettleAfter,
        Self::ParkedAfter,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetch.after",
            Self::PublishBefore => "publish.before",
            Self::PublishAcknowledged => "publish.acknowledged",
            Self::SettleBefore => "settle.before",
            Self::SettleAfter => "settle.after",
            Self::ParkedAfter => "settle.parked",
        }
    }
}

/// What a trap does to its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGTERM.
    Terminate,
    /// The clock jumps forward.
    Jump(Duration),
    /// The clock stands still.
    Stand(Duration),
    /// Nothing: the rig is told.
    Tell,
}

/// Strikes once, at the n-th pass of a point. As text `publish.before:7:kill`, `fetch.after:3:jump-12000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// Where.
    pub point: Point,
    /// At which pass, counted from 1.
    pub pass: u64,
    /// What then.
    pub act: Act,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.point.name(), self.pass)?;
        match self.act {
            Act::Kill => f.write_str("kill"),
            Act::Stop => f.write_str("stop"),
            Act::Terminate => f.write_str("terminate"),
            Act::Jump(by) => write!(f, "jump-{}", by.as_millis()),
            Act::Stand(by) => write!(f, "stand-{}", by.as_millis()),
            Act::Tell => f.write_str("tell"),
        }
    }
}

impl FromStr for Trap {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().with_context(|| format!("{text:?} is not point:pass:act"));
        let (point, pass, act) = (part()?, part()?.parse()?, part()?);
        let point = Point::ALL.into_iter().find(|p| p.name() == point).context("there is no such point")?;
        let millis = |text: &str| text.parse().map(Duration::from_millis);
        let act = match act.split_once('-') {
            None if act == "kill" => Act::Kill,
            None if act == "stop" => Act::Stop,
            None if act == "terminate" => Act::Terminate,
            None if act == "tell" => Act::Tell,
            Some(("jump", by)) => Act::Jump(millis(by)?),
            Some(("stand", by)) => Act::Stand(millis(by)?),
            _ => bail!("there is no act {act:?}"),
        };
        Ok(Self { point, pass, act })
    }
}

/// The process's trap, if there is one, and how often its point was passed.
#[derive(Debug)]
pub(super) struct Traps {
    trap: Option<Trap>,
    passed: AtomicU64,
}

impl Traps {
    pub(super) fn new(trap: Option<Trap>) -> Self {
        Self { trap, passed: AtomicU64::new(0) }
    }

    /// The act that is due at this pass. What signals do is done here: a caller that must not wait may be sure that it
    /// never has to.
    pub(super) fn pass(&self, point: Point) -> Option<Act> {
        let trap = self.trap.filter(|trap| trap.point == point)?;
        if self.passed.fetch_add(1, Ordering::Relaxed) + 1 != trap.pass {
            return None;
        }
        println!("{STRUCK} {trap}");
        let signal = match trap.act {
            Act::Kill => "-KILL",
            Act::Stop => "-STOP",
            Act::Terminate => "-TERM",
            Act::Jump(_) | Act::Stand(_) | Act::Tell => return Some(trap.act),
        };
        // The thread waits for it, and there is no other one of the relay's.
        match Command::new("kill").args([signal, &id().to_string()]).status() {
            Ok(status) if status.success() => {}
            failed => println!("the trap {trap} failed: {failed:?}"),
        }
        None
    }

    /// The same where the caller may wait: acts on the clock are done, too.
    ///
    /// The clock is tokio's, which `outbox_core::clock` and every timer of this process follow, and nothing else does:
    /// not the database, by whose clock leases end, and not the wall clock. A jump is what a process sees whose
    /// monotonic clock counts the time in which its machine slept: its lease seems to be over, and all its time limits
    /// pass at once. A clock that stands still is the more dangerous one: the lease is over, and seems not to be. What
    /// is not shown is a jump of the database's own clock, which only the kernel's clock could make.
    pub(super) async fn pass_and_wait(&self, point: Point) {
        match self.pass(point) {
            Some(Act::Jump(by)) => {
                tokio::time::pause();
                tokio::time::advance(by).await;
                tokio::time::resume();
            }
            Some(Act::Stand(by)) => {
                tokio::time::pause();
                // A paused clock moves on by itself whenever the process has nothing to do, unless such a task runs.
                let slept = tokio::task::spawn_blocking(move || std::thread::sleep(by));
                tokio::spawn(async move {
                    drop(slept.await);
                    tokio::time::resume();
                    println!("the clock goes on");
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_read_as_it_is_written() {
        for text in
            ["publish.before:7:kill", "fetch.after:1:jump-12000", "settle.parked:3:stand-5", "fetch.after:2:tell"]
        {
            assert_eq!(text.parse::<Trap>().unwrap().to_string(), text);
        }
        assert!("publish:7:kill".parse::<Trap>().is_err());
        assert!("fetch.after:7:dance".parse::<Trap>().is_err());
    }

    #[test]
    fn it_strikes_once_and_at_its_own_point() {
        let traps = Traps::new(Some("settle.after:2:tell".parse().unwrap()));
        let passes = [Point::SettleAfter, Point::Fetched, Point::SettleAfter, Point::SettleAfter];
        let acts = passes.map(|point| traps.pass(point));
        assert_eq!(acts, [None, None, Some(Act::Tell), None]);
    }

    #[tokio::test]
    async fn the_relays_clock_jumps_and_stands() {
        let before = outbox_core::clock::now();
        let traps = Traps::new(Some("fetch.after:1:jump-12000".parse().unwrap()));
        traps.pass_and_wait(Point::Fetched).await;
        assert!(outbox_core::clock::now() - before >= Duration::from_secs(12));

        let traps = Traps::new(Some("fetch.after:1:stand-300".parse().unwrap()));
        traps.pass_and_wait(Point::Fetched).await;
        let (before, real) = (outbox_core::clock::now(), std::time::Instant::now());
        while real.elapsed() < Duration::from_millis(200) {
            tokio::task::yield_now().await;
        }
        assert_eq!(outbox_core::clock::now(), before);
    }
}
