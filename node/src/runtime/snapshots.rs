//! Snapshots: a subsystem's state, kept beside the log and named on it.
//!
//! A snapshot at `s` counts once every reaction to records up to `s` is
//! durable *and* a `snapshot_taken` record with the state's digest is on the
//! log. A file without its record is ignored.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use vsm_core::{
    Address, Digest, Role, Seq, machine::STATE_FORMAT, payload::lifecycle::SnapshotTaken,
};
use vsm_store::SnapshotInfo;

use super::{Root, Shared};

/// A state to keep.
pub struct Kept {
    /// Whose.
    pub address: Address,
    /// The last record it holds.
    pub seq: Seq,
    /// The behaviour that made it.
    pub behaviour: u32,
    /// Its bytes.
    pub state: Vec<u8>,
    /// Every reaction to records up to `seq` is numbered up to here.
    pub reactions: Seq,
}

/// The last snapshot of each subsystem that counts.
#[derive(Debug, Default)]
pub struct Latest(Mutex<BTreeMap<Address, SnapshotInfo>>);

impl Latest {
    /// The last snapshot of a subsystem.
    pub fn of(&self, address: &Address) -> Option<SnapshotInfo> {
        self.0.lock().get(address).cloned()
    }

    /// Notes a snapshot that counts.
    pub fn note(&self, address: Address, info: SnapshotInfo) {
        self.0.lock().insert(address, info);
    }
}

/// What a subsystem's snapshots are called in the log's directory.
#[must_use]
pub fn name(address: &Address) -> String {
    address.text().trim_start_matches('/').replace('/', "+")
}

/// Keeps states as they come, one at a time.
pub async fn run(shared: Arc<Shared>, mut states: mpsc::UnboundedReceiver<Kept>) {
    while let Some(kept) = states.recv().await {
        if let Err(error) = keep(&shared, kept).await {
            tracing::warn!(
                error,
                "no snapshot was taken; recovery starts at an earlier one"
            );
        }
        shared.keeping.send_modify(|states| *states -= 1);
    }
}

async fn keep(shared: &Arc<Shared>, kept: Kept) -> Result<(), String> {
    shared
        .durable
        .reached(kept.reactions)
        .await
        .map_err(|it| it.to_string())?;
    let Kept {
        address,
        seq,
        behaviour,
        state,
        ..
    } = kept;
    let digest = Digest::of(&state);
    let log = shared.bus.log().clone();
    let file = name(&address);
    let info = tokio::task::spawn_blocking(move || log.put_snapshot(&file, seq.0, &state))
        .await
        .map_err(|it| it.to_string())?
        .map_err(|it| it.to_string())?;
    fail::fail_point!("node.snapshot.before_record");
    let taken = SnapshotTaken {
        system: address.clone(),
        seq,
        behaviour,
        format: STATE_FORMAT,
        state: digest,
    };
    let receipt = shared
        .publish_own(Root::by_node(Role::Node, taken))
        .map_err(|it| it.to_string())?;
    shared
        .durable
        .reached(receipt.seq)
        .await
        .map_err(|it| it.to_string())?;
    fail::fail_point!("node.snapshot.after_record");
    shared.latest.note(address, info);
    shared.counters.snapshots.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
