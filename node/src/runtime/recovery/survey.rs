//! What recovery has to know of a log before it folds: whose it is, which
//! snapshots count, which records are quarantined.

use vsm_core::{
    Address, Digest, Hosting, Payload, Role, Seq,
    payload::{
        Lifecycle,
        lifecycle::{SnapshotTaken, Started},
    },
    replay::Marks,
};
use vsm_store::{EventLog, RecordKind, SnapshotInfo};

use super::{RecoveryError, journal, snapshots};

/// What the first pass found.
pub(super) struct Survey {
    pub(super) marks: Marks,
    /// The chosen snapshot of each hosted system.
    pub(super) chosen: Vec<Option<SnapshotInfo>>,
    /// The record that all of them hold.
    pub(super) since: Seq,
}

/// Whether the log is of the node that is configured, as its first run says.
pub(super) fn same_node(log: &EventLog, hosting: &Hosting) -> Result<(), RecoveryError> {
    if log.first_seq() > 0 {
        // The survey looks at the runs that are still there.
        return Ok(());
    }
    for event in log.read(1) {
        let Some(record) = journal::record(&event?)? else {
            continue;
        };
        if let Payload::Lifecycle(Lifecycle::Started(started)) = record.message.payload {
            return is_of(&started, hosting);
        }
    }
    Ok(())
}

fn is_of(started: &Started, hosting: &Hosting) -> Result<(), RecoveryError> {
    if started.node == *hosting.node() {
        return Ok(());
    }
    Err(RecoveryError::OtherNode {
        found: started.node.to_string(),
        configured: hosting.node().to_string(),
    })
}

/// The first pass, from the newest snapshots that the log names.
pub(super) fn survey(log: &EventLog, hosting: &Hosting) -> Result<Survey, RecoveryError> {
    let mut candidates = Vec::new();
    for system in hosting.systems() {
        candidates.push(log.snapshots(&snapshots::name(system))?);
    }
    loop {
        let since = candidates
            .iter()
            .map(|of_system| of_system.first().map_or(0, |info| info.seq))
            .min()
            .map_or(Seq(0), Seq);
        is_kept(log, hosting, since, &candidates)?;
        let mut marks = Marks::default();
        let mut named = Vec::new();
        for event in log.read(since.0 + 1) {
            let event = event?;
            if event.record_kind() != RecordKind::Event || !journal::is_lifecycle(&event) {
                continue;
            }
            if let Some(record) = journal::record(&event)? {
                marks.note(&record.message);
                match record.message.payload {
                    Payload::Lifecycle(Lifecycle::SnapshotTaken(taken)) => named.push(taken),
                    Payload::Lifecycle(Lifecycle::Started(started)) => {
                        is_of(&started, hosting)?;
                    }
                    _ => {}
                }
            }
        }
        let mut all_named = true;
        for (system, of_system) in hosting.systems().iter().zip(&mut candidates) {
            let Some(info) = of_system.first() else {
                continue;
            };
            if !is_named(log, system, info, &named) {
                of_system.remove(0);
                all_named = false;
            }
        }
        if all_named {
            let chosen = candidates
                .into_iter()
                .map(|of_system| of_system.into_iter().next())
                .collect();
            return Ok(Survey {
                marks,
                chosen,
                since,
            });
        }
    }
}

/// Whether the log still holds all records after `since`.
fn is_kept(
    log: &EventLog,
    hosting: &Hosting,
    since: Seq,
    candidates: &[Vec<SnapshotInfo>],
) -> Result<(), RecoveryError> {
    let first = log.first_seq();
    if since.0 + 1 >= first {
        return Ok(());
    }
    let systems = hosting.systems().iter().zip(candidates);
    let oldest = systems.min_by_key(|(_, infos)| infos.first().map_or(0, |info| info.seq));
    let system = oldest.map_or_else(|| Address::root(Role::S1), |(system, _)| system.clone());
    Err(RecoveryError::SnapshotsGone { first, system })
}

fn is_named(
    log: &EventLog,
    system: &Address,
    info: &SnapshotInfo,
    named: &[SnapshotTaken],
) -> bool {
    let taken = named
        .iter()
        .find(|taken| taken.system == *system && taken.seq.0 == info.seq);
    let Some(taken) = taken else { return false };
    match log.load_snapshot(info) {
        Ok(state) if Digest::of(&state) == taken.state => true,
        Ok(_) => {
            tracing::warn!(%system, seq = info.seq, "a snapshot is not the one the log names; it is ignored");
            false
        }
        Err(error) => {
            tracing::warn!(%system, seq = info.seq, %error, "a snapshot can't be read; it is ignored");
            false
        }
    }
}
