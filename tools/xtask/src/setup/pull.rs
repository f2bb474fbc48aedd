use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::Result;

/// How long a registry may take to say anything, and how long it may then be silent: a big layer comes without a word.
const ANSWER: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) enum Pulled {
    Done,
    /// All the time went by in silence, as it would for any other image.
    NoAnswer(String),
    /// The engine says why not.
    Failed(String),
}

/// `docker pull`, which by itself may wait for a registry forever.
pub(crate) fn pull(tag: &str) -> Result<Pulled> {
    let mut command = Command::new("docker");
    command.args(["pull", tag]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("docker does not run: {e}"))?;
    let progress = lines(&mut child);
    let errors = child.stderr.take();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        drop(errors.map(|mut errors| errors.read_to_string(&mut text)));
        text
    });

    let mut answered = false;
    loop {
        let limit = if answered { SILENCE } else { ANSWER };
        match progress.recv_timeout(limit) {
            Ok(()) => answered = true,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                drop(child.kill());
                drop(child.wait());
                let why = format!("nothing came within {} s", limit.as_secs());
                return Ok(if answered { Pulled::Failed(why) } else { Pulled::NoAnswer(why) });
            }
        }
    }
    let status = child.wait().map_err(|e| format!("docker pull: {e}"))?;
    let why = errors.join().unwrap_or_default().trim().to_owned();
    Ok(if status.success() { Pulled::Done } else { Pulled::Failed(why) })
}

/// One message for each line of its stdout.
fn lines(child: &mut Child) -> Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
            lines.take_while(|_| sender.send(()).is_ok()).for_each(drop);
        });
    }
    receiver
}
