use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Faults;

/// A TCP proxy on 127.0.0.1 in front of a broker, whose connections fail on demand. Dropped, it resets them.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    mode: Mode,
    /// How often all connections were cut.
    cuts: u64,
    /// How often the faults ended.
    heals: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Pass,
    DropReplies,
    Refuse,
}

impl Proxy {
    /// A proxy in front of `upstream`. Needs a tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (addr, state) = (listener.local_addr()?, watch::Sender::new(State::default()));
        tokio::spawn(serve(listener, upstream, state.subscribe()));
        Ok(Self { addr, state })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Faults for Proxy {
    fn cut(&self) {
        self.state.send_modify(|s| s.cuts += 1);
    }

    fn drop_replies(&self) {
        self.state.send_modify(|s| s.mode = Mode::DropReplies);
    }

    fn refuse(&self) {
        self.state.send_modify(|s| (s.mode, s.cuts) = (Mode::Refuse, s.cuts + 1));
    }

    fn heal(&self) {
        self.state.send_modify(|s| (s.mode, s.heals) = (Mode::Pass, s.heals + 1));
    }
}

/// Accepts until the proxy is dropped. What comes while it refuses is reset: the port stays its own.
async fn serve(listener: TcpListener, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(carry(client, upstream, state.clone()));
            },
        }
    }
}

/// Carries both directions until both have ended in order; a broken connection is reset on both sides.
async fn carry(mut client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    let (born, replies) = (*state.borrow(), state.clone());
    let Ok(mut server) = TcpStream::connect(upstream).await else { return drop(client.set_zero_linger()) };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let passed = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let both =
            async { tokio::try_join!(pump(from_client, to_server, None), pump(from_server, to_client, Some(replies))) };
        tokio::select! {
            biased;
            // An error is the end of the proxy itself.
            _ = state.wait_for(|s| s.cuts != born.cuts || s.mode == Mode::Refuse) => false,
            passed = both => passed.is_ok(),
        }
    };
    if !passed {
        // A reset, not an orderly end: what a killed server shows.
        drop((client.set_zero_linger(), server.set_zero_linger()));
    }
}

/// Copies bytes up to an orderly end. `replies`: they are swallowed while replies are dropped; the connection then ends
/// with the fault.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut replies: Option<watch::Receiver<State>>,
) -> std::io::Result<()> {
    let mut chunk = vec![0; 16 << 10];
    loop {
        let n = from.read(&mut chunk).await?;
        if let Some(state) = &mut replies {
            let now = *state.borrow();
            if now.mode == Mode::DropReplies {
                drop(state.wait_for(|s| s.heals != now.heals).await);
                return Err(ErrorKind::ConnectionReset.into());
            }
        }
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..n]).await?;
    }
}
