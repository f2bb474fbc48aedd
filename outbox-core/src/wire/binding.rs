/// What one broker's headers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    prefix: &'static str,
    key: bool,
    percent: bool,
    content_type: bool,
}

impl Binding {
    /// Attributes of CloudEvents get this prefix, by the protocol binding of the broker: `ce_`, `ce-`, `cloudEvents:`.
    pub const fn new(prefix: &'static str) -> Self {
        Self { prefix, key: false, percent: false, content_type: false }
    }

    /// The broker has no place of its own for the ordering key: in the raw format it goes into a header. (CloudEvents
    /// have it in `partitionkey` in any case.)
    #[must_use]
    pub const fn key_in_header(mut self) -> Self {
        self.key = true;
        self
    }

    /// Attributes of CloudEvents are percent-encoded where they are not printable ASCII, as the bindings for HTTP and
    /// NATS demand. Default: UTF-8, as those for Kafka and AMQP demand.
    #[must_use]
    pub const fn percent_encoded(mut self) -> Self {
        self.percent = true;
        self
    }

    /// `datacontenttype` is an attribute like every other, beside the media type in its own place, as the binding for
    /// NATS demands.
    #[must_use]
    pub const fn content_type_as_attribute(mut self) -> Self {
        self.content_type = true;
        self
    }

    /// The prefix of the attributes of CloudEvents.
    pub const fn prefix(&self) -> &'static str {
        self.prefix
    }

    pub(super) const fn has_key_in_header(&self) -> bool {
        self.key
    }

    pub(super) const fn is_percent_encoded(&self) -> bool {
        self.percent
    }

    pub(super) const fn has_content_type_as_attribute(&self) -> bool {
        self.content_type
    }
}
