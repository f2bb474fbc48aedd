//! Dead letters of every database.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{Binary, Nullable, Text};
use outbox_core::Message;
use uuid::Uuid;

/// A row of `outbox_dead_letter`, with its id and its headers as text.
#[derive(QueryableByName)]
pub(crate) struct Letter {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Binary)]
    payload: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    content_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    headers: Option<String>,
    #[diesel(sql_type = Text)]
    reason: String,
}

impl Letter {
    pub(crate) fn read(self) -> (Message, String) {
        let id: Uuid = self.id.parse().expect("a UUID");
        let mut m = Message::new(self.topic, self.event_type).id(id);
        (m.key, m.content_type, m.payload) = (self.key, self.content_type, self.payload.into());
        let map: BTreeMap<String, String> =
            self.headers.map(|json| serde_json::from_str(&json).expect("an object of texts")).unwrap_or_default();
        m.headers = map.into_iter().collect();
        (m, self.reason)
    }
}
