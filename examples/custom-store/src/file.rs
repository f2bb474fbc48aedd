//! The file, and the writers' side of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Error, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox::{BatchBuilder, IntoMessage, Limits, Message, MessageRef, StoreError, StoreErrorKind};
use tokio::sync::Notify;

use crate::book::{Book, Entry, Kept, now};
use crate::store::Holder;

/// Cheap to clone: all clones are one store.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) committed: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    whole: u64,
    pub(crate) book: Book,
    /// Leases end with the process.
    pub(crate) holders: HashMap<String, Holder>,
}

impl FileStore {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be read and written, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = File::options().create(true).read(true).append(true).open(path)?;
        file.try_lock()?;
        let (mut book, mut whole, mut line) = (Book::default(), 0, String::new());
        let mut lines = BufReader::new(&file);
        // The last line may be torn by a crash: then it was never acknowledged.
        while lines.read_line(&mut line)? > 0
            && let Ok(entry) = serde_json::from_str(&line)
        {
            book.apply(entry);
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole)?;
        let journal = Journal { file, whole, book, holders: HashMap::new() };
        Ok(Self { journal: Arc::new(Mutex::new(journal)), committed: Arc::default() })
    }

    /// Begins a transaction; dropping it rolls back.
    pub fn begin(&self) -> FileTransaction {
        FileTransaction { store: self.clone(), messages: Vec::new() }
    }

    /// What a relay gave up on, with the reasons.
    pub fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let journal = self.journal();
        let dead = journal.book.relays.get(relay).map(|of| of.dead.clone()).unwrap_or_default();
        let mut batch = BatchBuilder::new();
        journal.book.push(dead.keys().copied(), &mut batch);
        batch.finish().iter().map(message).zip(dead.into_values()).collect()
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(m: MessageRef<'_>) -> Message {
    let mut message = Message::new(m.topic(), m.event_type()).id(m.id()).payload(m.payload_bytes());
    message.key = m.key().map(str::to_owned);
    message.content_type = m.content_type().map(str::to_owned);
    message.headers = m.headers().unwrap_or_default();
    message
}

impl Journal {
    /// A line, on the disk when this returns.
    pub(crate) fn write(&mut self, entry: Entry, operation: &'static str) -> Result<(), StoreError> {
        let error = |e: Error| StoreError::new(StoreErrorKind::Unavailable, operation).with_source(e);
        let line = serde_json::to_string(&entry).map_err(|e| error(e.into()))? + "\n";
        if let Err(e) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            // Nothing may stand behind half a line.
            self.file.set_len(self.whole).map_err(error)?;
            return Err(error(e));
        }
        self.whole += line.len() as u64;
        self.book.apply(entry);
        Ok(())
    }
}

/// Messages that exist when it is committed.
#[derive(Debug)]
pub struct FileTransaction {
    store: FileStore,
    messages: Vec<Message>,
}

impl FileTransaction {
    /// Adds a message.
    ///
    /// # Errors
    /// When a part of it is out of [`Limits::DEFAULT`].
    pub fn enqueue(&mut self, message: impl IntoMessage) -> Result<(), StoreError> {
        let message = message.into_message()?;
        Limits::DEFAULT.check(&message)?;
        self.messages.push(message);
        Ok(())
    }

    /// Makes the messages exist, and wakes the relays.
    ///
    /// # Errors
    /// When the file cannot be written: then none of them exists.
    pub fn commit(self) -> Result<(), StoreError> {
        let messages = self.messages.into_iter().map(|m| Kept::new(m, now())).collect();
        self.store.journal().write(Entry::Committed(messages), "commit")?;
        self.store.committed.notify_waiters();
        Ok(())
    }
}
