//! What each part of a session works with.

use vsm_core::Timestamp;

use super::{
    config::Config,
    exchanged::Output,
    frame::{FRAME_BYTES_MAX, Frame},
    hello::{Directory, Identity},
    queue::Queue,
    refusal::Refusal,
};

pub(super) struct Desk<'a, S> {
    pub(super) now: Timestamp,
    pub(super) config: &'a Config,
    pub(super) identity: &'a Identity,
    pub(super) signer: &'a S,
    pub(super) directory: &'a Directory,
    pub(super) version: u8,
    pub(super) queue: &'a mut Queue,
    pub(super) out: &'a mut Vec<Output>,
}

impl<S> Desk<'_, S> {
    pub(super) fn send(&mut self, frame: &Frame) -> Result<(), Refusal> {
        let bytes = self.encoded(frame)?;
        self.queue.add(bytes);
        Ok(())
    }

    pub(super) fn encoded(&self, frame: &Frame) -> Result<Vec<u8>, Refusal> {
        let bytes = frame.to_bytes(self.version);
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(Refusal::Misused("more than fits into a frame"));
        }
        Ok(bytes)
    }
}
