use std::future::Future;
use std::sync::{OnceLock, mpsc};

use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;
use tokio::runtime::{Builder, Runtime};

/// Runs all talk with the Docker engine on one runtime that outlives every test: the client pools its connections, and
/// a connection opened on the runtime of a test that has ended is dead for the next one.
pub(crate) async fn run<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    match runtime().spawn(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// The same for `drop`: blocks the thread, inside or outside of a runtime.
pub(crate) fn run_blocking<F>(work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (done, wait) = mpsc::channel();
    runtime().spawn(async move {
        work.await;
        _ = done.send(());
    });
    _ = wait.recv();
}

/// The client; panics if no engine answers. Only for use inside of [`run`] and [`run_blocking`].
pub(crate) async fn docker(url_variable: &str) -> Docker {
    let why = match docker_client_instance().await {
        Ok(docker) => match docker.ping().await {
            Ok(_) => return docker,
            Err(e) => e.to_string(),
        },
        Err(e) => e.to_string(),
    };
    let hint = if std::env::var_os("OUTBOX_TEST_REQUIRED").is_some_and(|v| v == "1") {
        "this run requires the servers (OUTBOX_TEST_REQUIRED=1): run `cargo xtask setup`"
    } else {
        "start Docker, or run `cargo xtask setup`"
    };
    panic!("{url_variable} is not set and no Docker engine answers ({why}): {hint}")
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("testkit-docker").enable_all().build();
        runtime.expect("a runtime for the Docker client")
    })
}
