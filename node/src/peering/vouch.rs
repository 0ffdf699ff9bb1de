//! What this node's own clients change: the node lets it in, and signs for it.

use tokio::sync::watch;
use vsm_core::{Digest, Name, Role};
use vsm_replication::{
    Catalogue, catalogue,
    peer::{DocumentId, SignedChange},
    sync::VerifiedChange,
};

use super::Peering;
use crate::runtime::{Root, SendError};

/// How many changes of a client are logged at a time. Each lot is logged whole
/// or not at all, and builds on nothing behind it.
const LOT: usize = 1_024;

impl Peering {
    /// Logs changes that a client made, in their order, each with this node's
    /// word for it. They count, and go to other nodes, once they are durable.
    ///
    /// # Errors
    /// When the log does not take them. What was taken before stays: the client
    /// sends the rest again.
    pub(crate) async fn log_of_client(
        &self,
        principal: &Name,
        document: DocumentId,
        changes: Vec<VerifiedChange>,
    ) -> Result<(), SendError> {
        for lot in changes.chunks(LOT) {
            let mut digests = Vec::with_capacity(lot.len());
            let mut roots = Vec::with_capacity(lot.len());
            for change in lot {
                let digest = Digest::of(&change.bytes);
                // Another connection of the same client may have brought it, or
                // a peer.
                if !self.logging.lock().insert(digest) {
                    continue;
                }
                digests.push(digest);
                let signed = SignedChange::sign(
                    document,
                    self.identity.node.clone(),
                    self.identity.run,
                    change.bytes.clone(),
                    &self.key,
                );
                let message = catalogue::message(&signed);
                let root = Root::new(Role::Node, Role::Shared, message, principal.clone());
                roots.push(root);
            }
            if roots.is_empty() {
                continue;
            }
            let mut unlogged = Unlogged {
                peering: self,
                digests,
            };
            self.handle.send_many(roots).await?;
            // `follow` takes them out, once they are durable.
            unlogged.digests.clear();
        }
        Ok(())
    }

    /// Looks at what is durable of the documents.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Catalogue<ed25519_dalek::SigningKey>) -> T,
    ) -> T {
        read(&self.catalogue.lock())
    }

    /// Tells whenever more of the documents is durable.
    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }
}

/// Changes that are not logged after all, also when nobody waits for it any
/// more: whoever sends them again must not find them on their way.
struct Unlogged<'a> {
    peering: &'a Peering,
    digests: Vec<Digest>,
}

impl Drop for Unlogged<'_> {
    fn drop(&mut self) {
        let mut logging = self.peering.logging.lock();
        for digest in &self.digests {
            logging.remove(digest);
        }
    }
}
