//! Connecting to the nodes that the configuration names, again and again.

use std::{sync::Arc, time::Duration};

use tokio_tungstenite::tungstenite;
use vsm_core::Millis;
use vsm_replication::peer::{Backoff, Side};

use super::{link, wire::Wire};
use crate::{
    api::Api,
    security::tls::{Fault, Peer, connect},
};

/// The first wait after a failure.
const WAIT_MIN: Millis = Millis(200);
/// The longest.
const WAIT_MAX: Millis = Millis(15_000);

/// So many failures in a row mean nothing yet.
const FAILURES_NORMAL: u32 = 3;

/// Keeps a link to the node at `address`, whichever it is, until the node stops.
pub(crate) async fn dial(api: Arc<Api>, address: String) {
    let mut backoff = Backoff::new(WAIT_MIN, WAIT_MAX);
    let stopping = api.stopping.clone();
    loop {
        let met = match stopping.run_until_cancelled(reach(&api, &address)).await {
            None => return,
            Some(Ok(Some((wire, peer)))) => {
                // It ends by itself when the node stops, and says so.
                link::run(&api, wire, Side::Dialer, &address, &peer).await
            }
            Some(Ok(None)) => Ok(()),
            Some(Err(why)) => Err(why),
        };
        if met.is_ok() {
            backoff.opened();
        }
        note(&api, &address, met);
        let waiting = async {
            // It may have dialed this node, or do so.
            let node = api.peering.roster.node_at(&address);
            if let Some(node) = node {
                api.peering.roster.unlinked(&node).await;
            }
            let Millis(wait) = backoff.failed(random());
            tokio::time::sleep(Duration::from_millis(wait)).await;
        };
        if stopping.run_until_cancelled(waiting).await.is_none() {
            return;
        }
    }
}

fn note(api: &Api, address: &str, met: Result<(), String>) {
    api.peering.roster.note(address, |seed| match met {
        Ok(()) => (seed.failures, seed.error) = (0, None),
        Err(why) => {
            seed.failures = seed.failures.saturating_add(1);
            // A node that begins at the same time is not there at first; and the
            // same again and again would bury everything else.
            if seed.failures == FAILURES_NORMAL {
                tracing::warn!(address, why, "no link to a node");
            }
            seed.error = Some(why);
        }
    });
}

fn random() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // Six bits of a version 4 are fixed, none of them at the same place twice.
    high ^ low.rotate_left(17)
}

/// A connection to the node at an address; none when there is a link to it.
async fn reach(api: &Api, address: &str) -> Result<Option<(Wire, Peer)>, String> {
    let met = connect(&api.transport, address, None).await;
    let met = met.map_err(|error| error.to_string())?;
    let node = met.peer.identity().node.clone();
    let roster = &api.peering.roster;
    roster.note(address, |seed| seed.node = Some(node.clone()));
    if roster.is_linked(&node) {
        return Ok(None);
    }
    let dialed = Wire::dialed(address, met.stream).await;
    let wire = dialed.map_err(|error| {
        // With TLS 1.3 a refused certificate shows only now.
        let fault = match &error {
            tungstenite::Error::Io(error) => Fault::of(error),
            _ => None,
        };
        fault.map_or_else(|| error.to_string(), |fault| fault.to_string())
    })?;
    Ok(Some((wire, met.peer)))
}
