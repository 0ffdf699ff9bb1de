//! The oldest message for another node that has not arrived there.

use vsm_core::{Address, Hosting, LogId, Name, Role, Seq};
use vsm_replication::Members;
use vsm_store::EventLog;

use super::needed::NeededError;
use crate::{
    peering,
    runtime::{journal, snapshots},
};

/// The first message that a node has not signed to have, and which node that
/// is. Nothing is kept for nodes that nobody knows, or that are revoked.
pub(super) fn first(
    log: &EventLog,
    own: &Name,
    members: &Members,
) -> Result<Option<(u64, Name)>, NeededError> {
    let identity = log.identity();
    let forks = peering::forks(log)?;
    let shared_with = |incarnation: u32| {
        let later = forks.iter().filter(|it| it.incarnation > incarnation);
        later.map(|it| it.after.seq).min()
    };
    let mut first: Option<(u64, Name)> = None;
    for (node, known) in members.iter() {
        if known.revoked || node == own {
            continue;
        }
        let receipt = members.receipt(node, LogId(identity.log_id.0));
        let arrived = receipt.map_or(Seq(0), |it| {
            // What was lost and said anew has not arrived.
            let shared = shared_with(it.incarnation).unwrap_or(Seq(u64::MAX));
            it.upto.seq.min(shared)
        });
        let oldest = first.as_ref().map_or(u64::MAX, |(seq, _)| *seq);
        if oldest <= arrived.0 {
            continue;
        }
        let stream = journal::stream_for(node);
        let version = peering::first_after(log, &stream, arrived)?;
        let next = log.read_stream(&stream, version).next().transpose()?;
        if let Some(event) = next.filter(|it| it.seq() < oldest) {
            first = Some((event.seq(), node.clone()));
        }
    }
    Ok(first)
}

/// The nodes that the node of a log knows that it does not have open.
pub(super) fn members(log: &EventLog, hosting: &Hosting) -> Result<Members, NeededError> {
    let role = Role::Shared;
    let address = Address::root(role);
    let mut members = Members::default();
    let mut after = log.first_seq().saturating_sub(1);
    // Without a snapshot nothing is pruned anyway.
    if let Some(info) = log.snapshots(&snapshots::name(&address))?.first() {
        let (seq, state) = (info.seq, log.load_snapshot(info)?);
        members =
            Members::restore(&state).map_err(|source| NeededError::State { role, seq, source })?;
        after = seq;
    }
    for event in log.read(after + 1) {
        let Some(record) = journal::record(&event?)? else {
            continue;
        };
        if hosting.index_of(&record.message.to).is_some() && record.message.to.role == role {
            members.note(&record);
        }
    }
    Ok(members)
}
