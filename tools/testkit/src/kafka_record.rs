/// One record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset within the partition.
    pub offset: i64,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The payload; empty for a tombstone.
    pub payload: Vec<u8>,
    /// Names and values in the record's order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record's time in milliseconds since 1970.
    pub timestamp_millis: Option<i64>,
}

impl KafkaRecord {
    /// The first header of that name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The key, if it is text.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The payload, if it is text; empty otherwise.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap_or_default()
    }
}
