mod link;

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Faults;
use link::{Link, Mode, State};

/// A TCP proxy on 127.0.0.1 in front of a broker or a database, whose connections fail on demand. Dropped, it resets
/// them and is gone.
///
/// Exactly one fault is in force at a time: each call replaces the one before.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// A proxy in front of `upstream` (`127.0.0.1:5432`) on a free port. Needs a tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(upstream: impl Display) -> io::Result<Self> {
        Self::start_on(0, upstream).await
    }

    /// The same on a port that the server had to know beforehand.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_on(port: u16, upstream: impl Display) -> io::Result<Self> {
        let listener = listen(port)?;
        let (addr, state) = (listener.local_addr()?, watch::Sender::new(State::default()));
        tokio::spawn(serve(listener, addr.port(), upstream.to_string(), state.subscribe()));
        Ok(Self { addr, state })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets all connections; new ones are served, under the fault that is in force, if any.
    pub fn cut(&self) {
        self.state.send_modify(|s| s.cuts += 1);
    }

    /// Resets all connections, and refuses new ones until [`heal`](Self::heal). One that is made in the moment of the
    /// call may still be accepted, to be reset before a byte passes.
    pub fn refuse(&self) {
        self.state.send_modify(|s| (s.mode, s.cuts) = (Mode::Refuse, s.cuts + 1));
    }

    /// Every chunk of bytes arrives so much later, in both directions. A longer way, not a narrower one: chunks travel
    /// at the same time.
    pub fn delay(&self, by: Duration) {
        self.set(Mode::Delay(by));
    }

    /// Bytes are swallowed in both directions, and so are the ends of connections: neither side learns anything.
    pub fn black_hole(&self) {
        self.set(Mode::BlackHole);
    }

    /// What the server says is swallowed; requests still reach it.
    pub fn drop_replies(&self) {
        self.set(Mode::DropReplies);
    }

    /// Back to normal. Connections of which anything was swallowed are reset, the others go on.
    pub fn heal(&self) {
        self.state.send_modify(|s| (s.mode, s.heals) = (Mode::Pass, s.heals + 1));
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|s| s.mode = mode);
    }
}

impl Faults for Proxy {
    fn cut(&self) {
        Self::cut(self);
    }

    fn drop_replies(&self) {
        Self::drop_replies(self);
    }

    fn refuse(&self) {
        Self::refuse(self);
    }

    fn heal(&self) {
        Self::heal(self);
    }
}

/// std sets SO_REUSEADDR, so that the port can be taken again while old connections linger.
fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Accepts until the proxy is dropped. To refuse, it closes the listener: a client sees what a dead server shows. Where
/// the port was taken meanwhile, it goes on refusing.
async fn serve(listener: TcpListener, port: u16, upstream: String, mut state: watch::Receiver<State>) {
    let mut listener = Some(listener);
    loop {
        let refusing = state.borrow_and_update().mode == Mode::Refuse;
        if refusing {
            listener = None;
        } else if listener.is_none() {
            listener = listen(port).ok();
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            client = accept(listener.as_ref()) => {
                tokio::spawn(connect(client, upstream.clone(), state.clone()));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending::<()>().await,
            Some(open) => {
                if let Ok((client, _)) = open.accept().await {
                    return client;
                }
            }
        }
    }
}

async fn connect(client: TcpStream, upstream: String, state: watch::Receiver<State>) {
    // What happens while the server accepts concerns this connection too.
    let born = *state.borrow();
    match TcpStream::connect(&upstream).await {
        Ok(server) => Link::new(born, state).carry(client, server).await,
        Err(_) => drop(client.set_zero_linger()),
    }
}
