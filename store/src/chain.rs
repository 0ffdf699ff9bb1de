//! Following the chain: rebuilding each header and comparing what is stored
//! with what it must be. Recovery, hashing readers and `verify` share this.

use crate::digest::Digest;
use crate::error::Fault;
use crate::event::Hashed;
use crate::format::entry::Entry;
use crate::format::frame::Frame;

/// The chain up to some event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// The chain hash of the last event.
    pub(crate) hash: Digest,
    /// The time of the last event.
    pub(crate) time: u64,
}

impl Chain {
    /// Checks that a frame continues this chain.
    pub(crate) fn enter(&self, frame: &Frame) -> Result<(), Fault> {
        if frame.header.previous != self.hash {
            let what = "frame does not continue the chain";
            return Err(Fault::corrupt(frame.header.first_seq, what));
        }
        Ok(())
    }

    /// Checks an entry against the chain and its own tag, and moves on to it.
    /// The body is checked only if `bodies`.
    pub(crate) fn follow(
        &mut self,
        plain: &[u8],
        seq: u64,
        entry: &Entry,
        bodies: bool,
    ) -> Result<Hashed, Fault> {
        let header = entry.header(plain, seq, self.hash).encode();
        let chain_hash = crate::digest::chain_hash(&header);
        if chain_hash.0[..4] != entry.tag {
            return Err(Fault::corrupt(seq, "event is not what its tag says"));
        }
        if entry.time < self.time {
            return Err(Fault::corrupt(seq, "time goes backwards"));
        }
        if bodies && !entry.body_fits(plain) {
            return Err(Fault::corrupt(seq, "body is not the one committed to"));
        }
        self.hash = chain_hash;
        self.time = entry.time;
        Ok(Hashed { header, chain_hash })
    }

    /// Checks that a frame ends where the chain now is.
    pub(crate) fn leave(&self, frame: &Frame) -> Result<(), Fault> {
        if frame.header.last != self.hash {
            let what = "frame does not end with its chain hash";
            return Err(Fault::corrupt(frame.header.last_seq(), what));
        }
        Ok(())
    }
}
