//! Frames that wait for the transport, bounded.

use std::collections::VecDeque;

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// May be dropped: summaries find it again.
    pushed: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    frames: VecDeque<Waiting>,
    bytes: usize,
    bytes_max: usize,
    in_transport: usize,
    in_transport_max: usize,
}

impl Queue {
    pub(super) const fn new(bytes_max: usize, in_transport_max: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            bytes_max,
            in_transport: 0,
            in_transport_max,
        }
    }

    /// Whether something that can wait may be made now. Everything but pushes
    /// asks first, so that the queue never holds more than its limit and one
    /// frame.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < self.bytes_max / 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.in_transport == 0
    }

    /// Queues a frame that must not be lost.
    pub(super) fn add(&mut self, bytes: Vec<u8>) {
        self.insert(bytes, false);
    }

    /// Queues a frame that may be lost. When there is no room, all of these
    /// are dropped, and the answer is false.
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> bool {
        if self.bytes + bytes.len() <= self.bytes_max {
            self.insert(bytes, true);
            return true;
        }
        self.frames.retain(|frame| !frame.pushed);
        self.bytes = self.frames.iter().map(|frame| frame.bytes.len()).sum();
        false
    }

    fn insert(&mut self, bytes: Vec<u8>, pushed: bool) {
        self.bytes += bytes.len();
        self.frames.push_back(Waiting { bytes, pushed });
    }

    /// The next frame that the transport has room for.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        if self.in_transport >= self.in_transport_max {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len();
        self.in_transport += frame.bytes.len();
        Some(frame.bytes)
    }

    /// The transport wrote so many bytes of frames.
    pub(super) const fn sent(&mut self, bytes: usize) {
        self.in_transport = self.in_transport.saturating_sub(bytes);
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}
