use std::time::Duration;

use futures_util::StreamExt;
use testcontainers::bollard::Docker;
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use testcontainers::bollard::query_parameters as query;

/// Runs a command in the container: its exit code, stdout and stderr.
pub(crate) async fn exec(docker: &Docker, id: &str, argv: Vec<String>) -> Result<(i64, String, String), Error> {
    let command = CreateExecOptions {
        cmd: Some(argv),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = docker.create_exec(id, command).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec.id, None::<StartExecOptions>).await?
    {
        while let Some(chunk) = output.next().await {
            match chunk? {
                LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                other => stdout.extend_from_slice(&other.into_bytes()),
            }
        }
    }
    loop {
        let state = docker.inspect_exec(&exec.id).await?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            return Ok((code, text(stdout), text(stderr)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The last lines that the container's processes wrote.
pub(crate) async fn log_tail(docker: &Docker, id: &str) -> String {
    let options = query::LogsOptionsBuilder::new().stdout(true).stderr(true).tail("20").build();
    let mut chunks = docker.logs(id, Some(options));
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        text.extend_from_slice(&chunk.into_bytes());
    }
    String::from_utf8_lossy(&text).into_owned()
}
