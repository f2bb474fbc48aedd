use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::Rng;
use rand::rngs::StdRng;
use stores::Site;
use testkit::Process;
use tokio::time::{sleep, sleep_until};

use super::broker::Broker;
use super::database::Database;
use super::relays::{Relays, SOON, line, now_micros};
use super::timing::Timing;
use crate::{Act, Fault, Point, Trap};

/// Whose key the poison has.
const POISONED: usize = 7;

/// Where the fault strikes: at a place and a pass that the seed decides.
pub(super) fn trap(fault: Fault, rng: &mut StdRng) -> Trap {
    let anywhere =
        [Point::Fetched, Point::PublishBefore, Point::PublishAcknowledged, Point::SettleBefore, Point::SettleAfter];
    let (point, act) = match fault {
        Fault::KilledBeforeAck => (Point::PublishBefore, Act::Kill),
        Fault::KilledAfterAck => (Point::PublishAcknowledged, Act::Kill),
        Fault::KilledBeforeSettle => (Point::SettleBefore, Act::Kill),
        Fault::KilledAfterSettle => (Point::SettleAfter, Act::Kill),
        Fault::KilledWithParked => (Point::ParkedAfter, Act::Kill),
        Fault::Zombie => (anywhere[rng.random_range(0..anywhere.len())], Act::Stop),
        // A publish must not wait between its first poll and the inner one's.
        Fault::ClockJump => (Point::Fetched, Act::Jump(Timing::LEASE * 4)),
        Fault::ClockStands => (Point::Fetched, Act::Stand(Timing::PAST_THE_LEASE)),
        Fault::Shutdown => (Point::PublishBefore, Act::Terminate),
        _ => (Point::PublishAcknowledged, Act::Tell),
    };
    let passes = match point {
        Point::ParkedAfter => 3..=8,
        Point::SettleBefore | Point::SettleAfter => 5..=12,
        Point::Fetched | Point::PublishBefore | Point::PublishAcknowledged => 10..=30,
    };
    Trap { point, pass: rng.random_range(passes), act }
}

/// When the fault was over, or, where a process died, when it struck.
#[derive(Debug, Clone, Copy)]
pub(super) struct Over {
    pub(super) at: Instant,
    /// Microseconds since 1970.
    pub(super) micros: i64,
}

impl Over {
    fn now() -> anyhow::Result<Self> {
        Ok(Self { at: Instant::now(), micros: now_micros()? })
    }
}

/// What a fault is done to.
pub(super) struct Stage<'a, S> {
    pub(super) site: &'a S,
    pub(super) database: &'a Database,
    pub(super) broker: &'a Broker,
    pub(super) topic: &'a str,
    pub(super) fault: Fault,
}

impl<S: Site> Stage<'_, S> {
    /// Waits for the trap, and does what the relay cannot do to itself. An error where the fault did not take place.
    pub(super) async fn strike(&self, relays: &mut Relays, rng: &mut StdRng) -> anyhow::Result<Over> {
        line(&relays.holder, crate::relay::STRUCK, SOON).await.context("the trap does not strike")?;
        let struck = Over::now()?;
        let outage = Duration::from_millis(rng.random_range(1_500..2_500));
        match self.fault {
            Fault::KilledBeforeAck
            | Fault::KilledAfterAck
            | Fault::KilledBeforeSettle
            | Fault::KilledAfterSettle
            | Fault::KilledWithParked => {
                killed(&mut relays.holder).await?;
                return Ok(struck);
            }
            Fault::Zombie | Fault::ClockJump | Fault::ClockStands | Fault::Shutdown => return Ok(struck),
            Fault::Poison => {
                let mut tx = self.site.begin().await?;
                self.site.touch(&mut tx, POISONED).await?;
                let poison = self.broker.poison(self.topic).key(POISONED);
                self.site.enqueue(&mut tx, vec![poison]).await?;
                self.site.commit(tx).await?;
            }
            Fault::DatabaseCut => {
                let (_, proxy) = self.database.server().context("a server")?;
                proxy.refuse();
                sleep(outage).await;
                proxy.heal();
            }
            Fault::DatabaseKilled => {
                let (server, _) = self.database.server().context("a server")?;
                server.kill().await;
                sleep(outage / 2).await;
                server.start().await;
            }
            Fault::DatabaseFrozen => match self.database.server() {
                Some((server, _)) => {
                    server.pause().await;
                    sleep(outage * 2).await;
                    server.unpause().await;
                }
                None => {
                    let lock = self.site.lock_relay().await?;
                    sleep(outage * 2).await;
                    self.site.rollback(lock).await?;
                }
            },
            Fault::DatabaseFull => self.database.be_full(sleep(outage * 2)).await?,
            Fault::BrokerCut => {
                self.broker.proxy.refuse();
                sleep(outage).await;
                self.broker.proxy.heal();
            }
            Fault::BrokerKilled => {
                self.broker.kill().await;
                sleep(outage / 2).await;
                self.broker.start_again().await;
            }
            Fault::BrokerFrozen => {
                self.broker.freeze().await;
                sleep(outage * 2).await;
                self.broker.thaw().await;
            }
            Fault::AcksDropped => {
                self.broker.proxy.drop_replies();
                sleep(outage).await;
                self.broker.proxy.heal();
            }
        }
        Over::now()
    }

    /// What follows when messages flow again; an error where the fault cannot have been one.
    pub(super) async fn aftermath(&self, relays: &mut Relays, over: Over) -> anyhow::Result<()> {
        match self.fault {
            Fault::Zombie => {
                sleep_until((over.at + Timing::PAST_THE_LEASE).into()).await;
                line(&relays.standby, "Acquired", Timing::PAST_THE_LEASE).await?;
                relays.holder.resume();
                line(&relays.holder, "Lost", SOON).await.context("the zombie")
            }
            Fault::ClockStands => {
                line(&relays.holder, "the clock goes on", SOON).await?;
                line(&relays.standby, "Acquired", SOON).await
            }
            Fault::Shutdown => {
                let status = relays.holder.wait(SOON).await;
                ensure!(status.success(), "the shutdown ended with {status}:\n{}", relays.holder.output());
                line(&relays.standby, "Acquired", SOON).await
            }
            _ => Ok(()),
        }
    }
}

async fn killed(process: &mut Process) -> anyhow::Result<()> {
    let status = process.wait(SOON).await;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    ensure!(signal == Some(9), "the relay was not killed, but ended with {status}");
    Ok(())
}
