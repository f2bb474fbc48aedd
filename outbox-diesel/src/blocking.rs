use outbox_core::{StoreError, StoreErrorKind};

/// Runs what waits for a [`Worker`](crate::worker::Worker) only.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(StoreError::new(StoreErrorKind::Config, "blocking call")
            .with_detail("this is an async runtime: call the async method"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|e| StoreError::new(StoreErrorKind::Unavailable, "blocking call").with_source(e))?;
    runtime.block_on(work)
}
