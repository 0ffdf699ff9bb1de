//! An event is in a log, for whoever has the event.
//!
//! An inclusion proof is about a leaf, which is made of a chain hash. Here the
//! extra data of the proof are the event's 128-byte header, so that chain hash
//! and leaf are computed and not believed. The header in turn has the digest
//! of the descriptor (stream, type, key, meta) and the commitment to the body.

use std::fmt;

use super::error::{CheckError, NoteError};
use super::inclusion::InclusionProof;
use super::key::VerifierKey;
use crate::digest::{Digest, body_commitment, chain_hash, descriptor_digest};
use crate::format::header::{FLAG_HAS_BODY, HEADER_LEN, Header};

/// That an event is in the tree of a checkpoint. Nothing is known of it before
/// [`check`](Self::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    header: [u8; HEADER_LEN],
    inclusion: InclusionProof,
}

/// What a proof has shown: the header is that of event number
/// [`Header::seq`] of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProvenEvent {
    /// The event's header.
    pub header: Header,
    /// Its chain hash, which stands for all events before as well.
    pub chain_hash: Digest,
}

impl EventProof {
    /// Puts a proof together from the bytes of a header and the proof that its
    /// chain hash is in the log.
    pub fn new(header: &[u8; HEADER_LEN], inclusion: InclusionProof) -> Result<Self, NoteError> {
        Ok(Self {
            header: *header,
            inclusion: inclusion.with_extra(header.to_vec())?,
        })
    }

    /// Reads a proof.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        let inclusion = InclusionProof::parse(text)?;
        let header = inclusion.extra().and_then(|extra| extra.try_into().ok());
        Ok(Self {
            header: header.ok_or(CheckError::Header)?,
            inclusion,
        })
    }

    /// Checks everything that the proof holds: that `key` signed the
    /// checkpoint for the log `origin`, and that the header is that of the
    /// event it says it is of, in that log.
    pub fn check(&self, key: &VerifierKey, origin: &str) -> Result<ProvenEvent, CheckError> {
        let chain_hash = chain_hash(&self.header);
        self.inclusion.check(key, origin, &chain_hash)?;
        let header = Header::decode(&self.header).ok_or(CheckError::Header)?;
        if header.seq != self.inclusion.index() {
            return Err(CheckError::Sequence {
                header: header.seq,
                index: self.inclusion.index(),
            });
        }
        Ok(ProvenEvent { header, chain_hash })
    }

    /// The proof of the leaf alone.
    pub fn inclusion(&self) -> &InclusionProof {
        &self.inclusion
    }
}

impl ProvenEvent {
    /// Checks that this is the event's descriptor
    /// ([`Event::descriptor`](crate::Event::descriptor)): its stream, type,
    /// key and meta.
    pub fn check_descriptor(&self, descriptor: &[u8]) -> Result<(), CheckError> {
        if descriptor_digest(descriptor) != self.header.descriptor_digest {
            return Err(CheckError::Descriptor);
        }
        Ok(())
    }

    /// Checks that this is the event's body, under the salt it was committed
    /// to with ([`Event::salt`](crate::Event::salt)).
    pub fn check_body(&self, salt: &[u8; 16], body: &[u8]) -> Result<(), CheckError> {
        let header = &self.header;
        let fits = header.flags & FLAG_HAS_BODY != 0
            && usize::try_from(header.body_len) == Ok(body.len())
            && body_commitment(salt, body) == header.body_commitment;
        if !fits {
            return Err(CheckError::Body);
        }
        Ok(())
    }
}

/// The proof as it travels.
impl fmt::Display for EventProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inclusion.fmt(f)
    }
}
