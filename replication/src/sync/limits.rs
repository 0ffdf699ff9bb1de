//! What one session may take of the node.

/// Bounds of one session. Spans are in microseconds, like
/// [`Timestamp`](vsm_core::Timestamp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of an incoming frame. The transport should refuse
    /// longer messages itself, before it has read them.
    pub frame_bytes_max: usize,
    /// The most bytes that the changes of one message may unfold to. A few
    /// bytes can stand for a thousand times as many.
    pub unfolded_bytes_max: usize,
    /// How long a connection may take to say `join`.
    pub join_micros_max: u64,
    /// Documents that one session may have open.
    pub documents_max: usize,
    /// Changes held back, for what they build on, per document.
    pub held_changes_max: usize,
    /// Bytes of the changes held back, per document.
    pub held_bytes_max: usize,
    /// How long a change may be held back.
    pub held_micros_max: u64,
    /// Bytes handed to the log and not yet durable, per document. Beyond it
    /// the session is not [ready](super::Session::ready) for more frames.
    pub pending_bytes_max: usize,
    /// Bytes of changes in one outgoing message; a longer change goes alone.
    pub part_bytes_max: usize,
    /// Outgoing messages with changes that the client has not answered. A
    /// slow reader makes a session wait, not grow.
    pub parts_ahead_max: u32,
    /// How often a client may say that it lost all that it was sent.
    pub resets_max: u32,
    /// The most bytes of an ephemeral message's data.
    pub ephemeral_bytes_max: usize,
    /// Ephemeral messages per second; twice as many in a burst.
    pub ephemeral_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 << 20,
            unfolded_bytes_max: 16 << 20,
            join_micros_max: 10_000_000,
            documents_max: 64,
            held_changes_max: 4_096,
            held_bytes_max: 4 << 20,
            held_micros_max: 60_000_000,
            pending_bytes_max: 4 << 20,
            part_bytes_max: 256 << 10,
            parts_ahead_max: 8,
            resets_max: 64,
            ephemeral_bytes_max: 16 << 10,
            ephemeral_per_second: 64,
        }
    }
}
