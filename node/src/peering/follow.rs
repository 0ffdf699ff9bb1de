//! What becomes durable of the shared documents goes to every link.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vsm_core::{
    Digest,
    payload::{Payload, Sharing},
};

use super::Peering;
use crate::{api::Api, runtime::mailbox::Delivery};

/// The most records that are looked at before the links are told.
const LOT: usize = 256;

/// Follows the log until `stop`.
pub(crate) async fn follow(
    api: Arc<Api>,
    mut records: mpsc::UnboundedReceiver<Delivery>,
    stop: CancellationToken,
) {
    let mut lot = Vec::with_capacity(LOT);
    let following = async {
        while records.recv_many(&mut lot, LOT).await > 0 {
            api.peering.take_in(&lot);
            // Only now may as much more be under way.
            lot.clear();
        }
    };
    stop.run_until_cancelled(following).await;
}

impl Peering {
    fn take_in(&self, lot: &[Delivery]) {
        let mut counted = Vec::new();
        let mut known = false;
        for Delivery { record, .. } in lot {
            known |= self.members.lock().note(record);
            let Payload::Sharing(Sharing::Change(change)) = &record.message.payload else {
                continue;
            };
            counted.extend(self.catalogue.lock().follow(record));
            // The catalogue knows it now, or the documents have refused it.
            self.logging.lock().remove(&Digest::of(&change.bytes));
        }
        if known {
            let directory = self.members.lock().directory();
            self.directory.send_replace(Arc::new(directory));
        }
        if !counted.is_empty() {
            // Without links nobody listens.
            let _ = self.changed.send(Arc::new(counted));
            self.grown.send_modify(|times| *times += 1);
        }
    }
}
