//! Nodes that the authority revoked become records, so that every fold knows
//! who is gone for good.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vsm_core::{Role, payload::sharing::Revoked};

use super::Peering;
use crate::{api::Api, runtime::Root, security::revocation::Revocations};

/// Follows the list of revoked nodes until `stop`.
pub(crate) async fn heed(api: Arc<Api>, stop: CancellationToken) {
    let mut lists = api.transport.revocation_lists();
    let mut known = api.peering.directory.subscribe();
    let heeding = async {
        loop {
            let list = lists.borrow_and_update().clone();
            known.mark_unchanged();
            if let Some(list) = list {
                api.peering.heed_list(&list).await;
            }
            // The transport and the peering are there as long as the node is.
            tokio::select! {
                Ok(()) = lists.changed() => {}
                Ok(()) = known.changed() => {}
                else => return,
            }
        }
    };
    stop.run_until_cancelled(heeding).await;
}

impl Peering {
    async fn heed_list(&self, list: &Revocations) {
        let gone: Vec<_> = {
            let members = self.members.lock();
            let known = members.iter().filter(|(_, known)| !known.revoked);
            let gone = known.filter(|(_, known)| list.revoked(&known.key().0).is_some());
            gone.map(|(node, known)| (node.clone(), known.key().0))
                .collect()
        };
        for (node, key) in gone {
            tracing::warn!(%node, "the authority revoked this node: nothing is kept for it");
            let revoked = Revoked {
                node: node.clone(),
                key,
            };
            self.tell(Root::new(Role::Node, Role::Shared, revoked, node))
                .await;
        }
    }
}
