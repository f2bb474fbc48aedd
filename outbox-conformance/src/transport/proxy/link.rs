use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What happens to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    Pass,
    Delay(Duration),
    BlackHole,
    DropReplies,
    Refuse,
}

/// The proxy's state, which every connection watches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct State {
    pub(crate) mode: Mode,
    /// How often all connections were cut.
    pub(crate) cuts: u64,
    /// How often the faults ended.
    pub(crate) heals: u64,
}

/// One connection through the proxy.
#[derive(Debug)]
pub(crate) struct Link {
    born: State,
    state: watch::Receiver<State>,
    /// The number of the heal that ends this connection because it has a hole; 0 while it has none.
    doomed_at: AtomicU64,
}

/// The connection is over and both sides are to be reset.
struct Broken;

/// A chunk and when it may arrive; an empty one is the end of the stream.
type Chunk = (Instant, Vec<u8>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

impl Link {
    pub(crate) fn new(born: State, state: watch::Receiver<State>) -> Self {
        Self { born, state, doomed_at: AtomicU64::new(0) }
    }

    /// Carries bytes until both sides have ended in order, or the connection is broken.
    pub(crate) async fn carry(&self, mut client: TcpStream, mut server: TcpStream) {
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let done = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let both = async {
                tokio::try_join!(
                    self.pump(from_client, to_server, Direction::Request),
                    self.pump(from_server, to_client, Direction::Reply)
                )
            };
            tokio::select! {
                biased;
                () = self.broken() => Err(Broken),
                done = both => done.map(drop),
            }
        };
        if done.is_err() {
            // A reset, not an orderly end: what a cut cable or a killed server shows.
            drop((client.set_zero_linger(), server.set_zero_linger()));
        }
    }

    /// Returns when the proxy breaks this connection.
    async fn broken(&self) {
        // An error is the end of the proxy itself.
        drop(self.state.clone().wait_for(|s| self.is_broken(s)).await);
    }

    fn is_broken(&self, s: &State) -> bool {
        let doomed_at = self.doomed_at.load(Ordering::Acquire);
        s.cuts != self.born.cuts || s.mode == Mode::Refuse || (doomed_at != 0 && s.heals >= doomed_at)
    }

    async fn pump(&self, from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction) -> Result<(), Broken> {
        // Room for the chunks under way during a delay.
        let (sender, chunks) = mpsc::channel(256);
        tokio::try_join!(self.read(from, sender), self.write(to, chunks, direction)).map(drop)
    }

    async fn read(&self, mut from: ReadHalf<'_>, chunks: mpsc::Sender<Chunk>) -> Result<(), Broken> {
        loop {
            let mut chunk = vec![0; 16 << 10];
            let n = match from.read(&mut chunk).await {
                Ok(n) => n,
                // A black hole hides a reset, too; otherwise it is passed on.
                Err(_) if self.state.borrow().mode == Mode::BlackHole => 0,
                Err(_) => return Err(Broken),
            };
            chunk.truncate(n);
            let due = match self.state.borrow().mode {
                Mode::Delay(by) => Instant::now() + by,
                _ => Instant::now(),
            };
            if chunks.send((due, chunk)).await.is_err() || n == 0 {
                return Ok(());
            }
        }
    }

    /// Decides on each chunk when it would arrive: nothing passes once a fault is in force.
    async fn write(
        &self,
        mut to: WriteHalf<'_>,
        mut chunks: mpsc::Receiver<Chunk>,
        way: Direction,
    ) -> Result<(), Broken> {
        let mut hole = false;
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            let now = *self.state.borrow();
            if now.mode == Mode::BlackHole || (now.mode == Mode::DropReplies && way == Direction::Reply) {
                hole = true;
                self.doomed_at.fetch_max(now.heals + 1, Ordering::AcqRel);
                // The heal may have come in between, and looked at a connection that was still whole.
                if self.is_broken(&self.state.borrow()) {
                    return Err(Broken);
                }
                continue;
            }
            if hole {
                return Err(Broken);
            }
            let passed = if chunk.is_empty() { to.shutdown().await } else { to.write_all(&chunk).await };
            passed.map_err(|_| Broken)?;
        }
        // An end that was swallowed leaves the other side waiting until the heal.
        if hole { std::future::pending().await } else { Ok(()) }
    }
}
