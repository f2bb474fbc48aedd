//! A thread for each connection that blocks.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use outbox_core::{StoreError, StoreErrorKind};
use tokio::sync::oneshot;

/// Threads that nobody waits for any more: with so many, no further connection is opened.
pub(crate) const ABANDONED: usize = 8;

type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// Counts the threads of one handle and its clones. A call that is given up leaves its thread behind until the database
/// answers or the connection breaks: a server that is frozen must not pile them up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Threads {
    /// Cloned into every thread.
    running: Arc<()>,
    /// Cloned into every [`Worker`], and while one is made.
    wanted: Arc<()>,
}

impl Threads {
    fn abandoned(&self) -> usize {
        Arc::strong_count(&self.running).saturating_sub(Arc::strong_count(&self.wanted))
    }
}

/// A connection on a thread of its own. Dropped, it closes there, after the call that runs.
pub(crate) struct Worker<C> {
    jobs: Sender<Job<C>>,
    _wanted: Arc<()>,
}

impl<C> fmt::Debug for Worker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl<C: 'static> Worker<C> {
    /// Opens a connection on a new thread.
    pub(crate) async fn start(
        threads: &Threads,
        open: impl FnOnce() -> Result<C, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        if threads.abandoned() >= ABANDONED {
            return Err(unavailable(format!(
                "{ABANDONED} threads wait for a database that does not answer; another connection is opened when one \
                 of them ends"
            )));
        }
        let wanted = threads.wanted.clone();
        let (jobs, queue) = channel::<Job<C>>();
        let (opened, outcome) = oneshot::channel();
        let running = threads.running.clone();
        let work = move || {
            let _running = running;
            let (conn, said) = match open() {
                Ok(conn) => (Some(conn), Ok(())),
                Err(e) => (None, Err(e)),
            };
            if opened.send(said).is_err() {
                return;
            }
            let Some(mut conn) = conn else { return };
            while let Ok(job) = queue.recv() {
                job(&mut conn);
            }
        };
        let started = std::thread::Builder::new().name("outbox-diesel".into()).spawn(work);
        started.map_err(|e| unavailable("no thread could be started").with_source(e))?;
        outcome.await.map_err(|_| unavailable("the thread of the connection ended"))??;
        Ok(Self { jobs, _wanted: wanted })
    }

    /// Runs `work` on the thread. Dropped, it runs on there.
    pub(crate) async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut C) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, outcome) = oneshot::channel();
        let ended = || unavailable("the thread of the connection ended");
        let job: Job<C> = Box::new(move |conn| _ = done.send(work(conn)));
        self.jobs.send(job).map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}

fn unavailable(detail: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "connect").with_detail(detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::ThreadId;

    use super::*;

    fn here() -> ThreadId {
        std::thread::current().id()
    }

    #[tokio::test]
    async fn a_connection_lives_on_one_thread_that_is_not_the_runtimes() {
        struct Conn(ThreadId, Sender<ThreadId>);
        impl Drop for Conn {
            fn drop(&mut self) {
                self.1.send(here()).unwrap();
            }
        }
        let (dropped, at) = channel();
        let mut worker = Worker::start(&Threads::default(), || Ok(Conn(here(), dropped))).await.unwrap();
        let (opened, used) = worker.run(|c| Ok((c.0, here()))).await.unwrap();
        assert!(opened != here() && opened == used);
        drop(worker);
        assert_eq!(at.recv(), Ok(opened), "and is closed there");
    }

    #[tokio::test]
    async fn a_database_that_hangs_holds_no_more_threads_than_the_bound() {
        let threads = Threads::default();
        let (gate, closed) = channel::<()>();
        let closed = Arc::new(Mutex::new(closed));
        for held in 0..ABANDONED {
            assert_eq!(threads.abandoned(), held);
            let closed = closed.clone();
            let open = move || {
                _ = closed.lock().unwrap().recv();
                Ok(())
            };
            tokio::select! {
                biased;
                _ = Worker::start(&threads, open) => unreachable!("the gate is closed"),
                () = std::future::ready(()) => {}
            }
        }
        let refused = Worker::start(&threads, || Ok(())).await.expect_err("too many wait");
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
        assert!(refused.to_string().contains("8 threads wait"), "{refused}");
        drop(gate);
        let patience = std::time::Duration::from_secs(20);
        testkit::eventually("the threads end", patience, || async { threads.abandoned() == 0 }).await;
        Worker::start(&threads, || Ok(())).await.expect("opens again");
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_the_connection_and_nothing_else() {
        let mut worker = Worker::start(&Threads::default(), || Ok(())).await.unwrap();
        let error = worker.run(|()| -> Result<(), _> { panic!("in a driver") }).await.expect_err("gone");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(worker.run(|()| Ok(())).await.expect_err("gone").kind(), StoreErrorKind::Unavailable);
    }
}
