use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use outbox_core::{Batch, Outcomes, Transport, TransportCapabilities, async_trait};

/// Ends a line that was written whole.
const END: &str = "\t.";

/// A broker that is a file: one line a message, in the order of arrival. Several processes may append to one file. What
/// a killed process has written stays.
#[derive(Debug)]
pub struct FileTransport(PathBuf);

impl FileTransport {
    /// Appends to this file, made where it is not there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

#[async_trait]
impl Transport for FileTransport {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let mut text = String::with_capacity(batch.len() * 100);
        for m in batch.iter() {
            // A line break before as well: a process that was killed may have left half a line.
            let payload = String::from_utf8_lossy(m.payload());
            text += &format!("\n{}\t{}\t{payload}{END}\n", m.id(), m.key().unwrap_or_default());
        }
        // One write of an appending file is one piece, whoever else writes.
        let append = || File::options().append(true).create(true).open(&self.0)?.write_all(text.as_bytes());
        match append() {
            Ok(()) => batch.iter().for_each(|m| out.delivered(m)),
            Err(e) => batch.iter().for_each(|m| out.unknown(m, e.to_string())),
        }
    }
}

/// One copy of a message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message's id, as text.
    pub id: String,
    /// Its key.
    pub key: Option<String>,
    /// Its payload.
    pub payload: String,
}

/// Reads what was delivered, as it comes.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: Option<File>,
    rest: String,
}

impl Reader {
    /// Of this file, which need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, rest: String::new() }
    }

    /// What was delivered since the last call.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn read(&mut self) -> Vec<Delivery> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return Vec::new() };
        file.read_to_string(&mut self.rest).expect("the deliveries are text");
        let Some(whole) = self.rest.rfind('\n') else { return Vec::new() };
        let rest = self.rest.split_off(whole + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        lines.lines().filter_map(delivery).collect()
    }
}

fn delivery(line: &str) -> Option<Delivery> {
    let mut parts = line.strip_suffix(END)?.splitn(3, '\t');
    let (id, key, payload) = (parts.next()?, parts.next()?, parts.next()?);
    let key = (!key.is_empty()).then(|| key.to_owned());
    Some(Delivery { id: id.to_owned(), key, payload: payload.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deliveries");
        let mut reader = Reader::new(&path);
        assert_eq!(reader.read(), []);
        std::fs::write(&path, "\na\tk\tp\t.\n\nb\tk\thal").unwrap();
        let id = |found: Vec<Delivery>| found.into_iter().map(|d| d.id).collect::<Vec<_>>();
        assert_eq!(id(reader.read()), ["a"]);
        File::options().append(true).open(&path).unwrap().write_all(b"\nc\t\tp\t.\n\nb\tk\thalf\t.\n").unwrap();
        let found = reader.read();
        assert_eq!(found[0].key, None);
        assert_eq!(id(found), ["c", "b"]);
    }
}
