//! What becomes durable of the shared documents goes to every link.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vsm_core::{
    Digest,
    payload::{Payload, Sharing},
};

use vsm_replication::members;

use super::{News, Peering};
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
        let (mut outgoing, mut relayed) = (BTreeSet::new(), BTreeMap::new());
        for Delivery { record, .. } in lot {
            if let Some(node) = &record.message.to.instance {
                outgoing.insert(node.clone());
                continue;
            }
            known |= self.members.lock().note(record);
            if let Payload::Sharing(Sharing::Relayed(it)) = &record.message.payload {
                relayed.insert(it.node.clone(), members::cursor(it));
            }
            let Payload::Sharing(Sharing::Change(change)) = &record.message.payload else {
                continue;
            };
            let new = self.catalogue.lock().follow(record);
            let mut seen = self.seen.lock();
            for change in &new {
                seen.insert(Digest::of(&change.bytes));
            }
            drop(seen);
            counted.extend(new);
            // The catalogue knows it now, or the documents have refused it.
            self.logging.lock().remove(&Digest::of(&change.bytes));
        }
        if known {
            let directory = self.members.lock().directory();
            self.directory.send_replace(Arc::new(directory));
        }
        let counted = (!counted.is_empty()).then(|| News::Changes(Arc::new(counted)));
        let news = counted.into_iter();
        let news = news.chain(outgoing.into_iter().map(News::Outgoing));
        for news in news.chain(
            relayed
                .into_iter()
                .map(|(node, at)| News::Relayed(node, at)),
        ) {
            // Without links nobody listens.
            if matches!(news, News::Changes(_)) {
                self.grown.send_modify(|times| *times += 1);
            }
            let _ = self.news.send(news);
        }
    }
}
