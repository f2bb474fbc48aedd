/// What is wrong with a [`Net`](super::Net).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    EarlyAck,
    RejectsOutage,
    DeliveredWithoutReply,
    AcksInTurn,
    WholeBatchByFirst,
    ByOrderOfAnswers,
    MixedUpReturns,
    PartialBatch,
    MixesPublishes,
    Reencodes,
    NewIds,
    EmptyKey,
    DropsHeaders,
    NoDedupId,
    PartitionOfFirst,
    QueuesAfterEncoding,
    GoesOnAfterCut,
    RetriesBehind,
    DeclaresTooMuch,
    PanicsOnLineBreak,
    ForgetsWhatItCannotCarry,
    CutIsSent,
    GivesUp,
    KeepsFirstFailure,
    HangsAfterDrop,
    GoesOnBehindDropped,
    ClosesOnce,
    DeliversAfterClose,
    StaysClosed,
    LearnsLimits,
}

impl Bug {
    /// Each with the clause it breaks, in words of the table in the crate's documentation.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 30] = [
        (Self::EarlyAck, "CONFIRM-1", "acknowledges what the broker has received, before it is stored"),
        (Self::RejectsOutage, "CONFIRM-2", "says `reject` of an outage"),
        (Self::DeliveredWithoutReply, "CONFIRM-3", "takes the silence of the broker for an acknowledgement"),
        // With a client whose clock starts when an acknowledgement is first awaited, such as NATS'.
        (Self::AcksInTurn, "CONFIRM-3", "waits for acknowledgements in turn, for each as long as for one alone"),
        (Self::WholeBatchByFirst, "CONFIRM-4", "says of a whole batch what became of its first message"),
        (Self::ByOrderOfAnswers, "CONFIRM-4", "says what became of a batch in the order of the answers"),
        // As a client of RabbitMQ does when one acknowledgement is for many messages.
        (Self::MixedUpReturns, "CONFIRM-4", "gives a refusal to whichever confirmation comes next"),
        // The answer to a batch of SNS is a success with failed entries in it.
        (Self::PartialBatch, "CONFIRM-4", "takes the success of a request for that of every entry in it"),
        (Self::MixesPublishes, "CONFIRM-5", "looks refusals up by the index alone, whichever publish it was"),
        (Self::Reencodes, "CONTENT-1", "encodes the payload as UTF-8"),
        (Self::NewIds, "CONTENT-2", "gives each copy an id of its own"),
        (Self::EmptyKey, "CONTENT-3", "sends an empty key where there is none"),
        (Self::DropsHeaders, "CONTENT-4", "drops headers that are not ASCII"),
        (Self::NoDedupId, "DEDUP-1", "declares a deduplication window, and does not send the id to deduplicate by"),
        (Self::PartitionOfFirst, "ORDER-1", "sends a batch to the partition of its first key"),
        (Self::QueuesAfterEncoding, "ORDER-2", "takes its place in the queue when it has encoded the batch"),
        (Self::GoesOnAfterCut, "ORDER-3", "goes on with the next message when a connection was cut"),
        // As a producer of Kafka does that is not idempotent.
        (Self::RetriesBehind, "ORDER-3", "sends again by itself what failed, behind later ones"),
        (Self::DeclaresTooMuch, "LIMITS-2", "declares a larger payload than the broker takes"),
        (Self::PanicsOnLineBreak, "LIMITS-3", "panics on a line break in a header"),
        (Self::ForgetsWhatItCannotCarry, "LIMITS-3", "leaves a message out that it cannot carry, and says nothing"),
        (Self::CutIsSent, "RECOVER-1", "takes a message that was under way in a cut for sent"),
        (Self::GivesUp, "RECOVER-2", "gives up when a broker that it knew refuses it"),
        (Self::KeepsFirstFailure, "RECOVER-3", "keeps the failure of its first connect for ever"),
        (Self::HangsAfterDrop, "CANCEL-1", "hangs after a publish that was dropped"),
        (Self::GoesOnBehindDropped, "CANCEL-1", "goes on behind a publish that was dropped"),
        (Self::ClosesOnce, "CLOSE-1", "panics when it is closed again"),
        (Self::DeliversAfterClose, "CLOSE-2", "says `delivered` after it was closed"),
        (Self::StaysClosed, "CLOSE-3", "stays closed"),
        (Self::LearnsLimits, "DECLARE-1", "learns its limits from the broker"),
    ];

    /// Those that need many of a key in flight to show.
    pub(crate) fn is_of_gapless(self) -> bool {
        matches!(
            self,
            Self::QueuesAfterEncoding | Self::GoesOnAfterCut | Self::RetriesBehind | Self::GoesOnBehindDropped
        )
    }
}
