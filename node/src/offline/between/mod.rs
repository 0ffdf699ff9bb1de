//! Audit between nodes: do the logs of a cluster agree about each other?
//!
//! ```text
//!   log of a ── messages for b ─────────────► log of b   each once, in order, unaltered
//!   log of a ◄── receipts of b ─────────────  log of b   b has what it signed to have
//!   log of a ── checkpoints witnessed by b ─► log of b   all of one history
//!   log of a ── changes that a answers for ─► log of b   signed by a, and on its own log
//! ```
//!
//! Every log has to be intact by itself; whoever rewrote one of them and chained
//! it anew is found here, by what the others hold of it. Each log is read twice:
//! once for what it says of itself, once for what it says of the others.
//!
//! A copy that was made earlier than another is behind. What only the later one
//! has is no contradiction: it is counted as *ahead*, and named, since a log
//! that went back looks just so.

mod changes;
mod checkpoints;
mod finding;
mod party;
mod receipts;
mod relays;
mod report;

use std::collections::BTreeMap;

use vsm_core::{
    Cause, LogId, Payload, Record,
    payload::{Sharing, sharing::Accused},
};

use self::{checkpoints::Witnesses, party::Party, relays::Relays, report::Findings};
pub use self::{
    finding::Finding,
    report::{Accusation, Pair, Report},
};
use super::{Evidence, OfflineError};
use crate::runtime::journal;

/// Logs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum BetweenError {
    /// One of them can't be read.
    #[error(transparent)]
    Log(#[from] OfflineError),
    /// Two of them are one.
    #[error(
        "log {0} was given twice: name one copy of each node's log (`vsm log fork` compares two histories of one log)"
    )]
    Same(LogId),
    /// A root of a log's tree can't be told.
    #[error("log {log}: {source}")]
    Prove {
        /// Which log.
        log: LogId,
        /// Why.
        source: vsm_store::note::ProveError,
    },
}

/// Compares logs, each with each. `noted` is called with the number of records
/// read.
///
/// # Errors
/// When one can't be read, or is given twice. Contradictions are in the report.
pub fn compare(logs: &[Evidence], mut noted: impl FnMut(u64)) -> Result<Report, BetweenError> {
    let mut parties: Vec<Party<'_>> = Vec::with_capacity(logs.len());
    let mut read = 0;
    let mut count = || {
        read += 1;
        noted(read);
    };
    for evidence in logs {
        if parties.iter().any(|it| it.log == evidence.log_id()) {
            return Err(BetweenError::Same(evidence.log_id()));
        }
        parties.push(Party::of(evidence, &mut count)?);
    }
    let mut findings = Findings::default();
    let mut witnesses = Witnesses::default();
    let mut pairs = Vec::new();
    let mut accusations = Vec::new();
    for reader in &parties {
        let mut view = View::of(reader, &parties);
        for event in reader.evidence.events(1) {
            let event = event.map_err(OfflineError::from)?;
            let record = journal::record(&event).map_err(OfflineError::from)?;
            let Some(record) = record else { continue };
            count();
            if let Payload::Sharing(Sharing::Accused(it)) = &record.message.payload {
                let body = event.body().bytes();
                witnesses.accused(&parties, body);
                accusations.push(accusation(reader, &record, it, body));
            }
            view.take(&record, &mut witnesses, &mut findings)?;
        }
        pairs.extend(view.finish(&mut findings)?);
    }
    receipts::hold(&mut pairs, &parties);
    witnesses.add_second_signatures(&parties, &mut findings);
    Ok(Report::new(&parties, pairs, accusations, findings))
}

/// What one log says of the others, as it is read.
struct View<'a> {
    reader: &'a Party<'a>,
    /// By the other's log.
    relays: BTreeMap<LogId, Relays<'a>>,
    others: BTreeMap<LogId, Pair>,
    parties: &'a [Party<'a>],
}

impl<'a> View<'a> {
    fn of(reader: &'a Party<'a>, parties: &'a [Party<'a>]) -> Self {
        let mut relays = BTreeMap::new();
        let mut others = BTreeMap::new();
        for other in parties.iter().filter(|it| it.log != reader.log) {
            relays.insert(other.log, Relays::between(other, reader));
            others.insert(other.log, Pair::new(other, reader));
        }
        Self {
            reader,
            relays,
            others,
            parties,
        }
    }

    fn take(
        &mut self,
        record: &Record,
        witnesses: &mut Witnesses,
        findings: &mut Findings,
    ) -> Result<(), BetweenError> {
        if let Cause::Remote {
            log,
            incarnation,
            seq,
        } = record.message.cause
            && let Some(relays) = self.relays.get_mut(&log)
        {
            return relays.arrived(record, (incarnation, seq), findings);
        }
        let Payload::Sharing(sharing) = &record.message.payload else {
            return Ok(());
        };
        match sharing {
            Sharing::Relayed(it) => {
                if let Some(relays) = self.relays.get_mut(&it.log) {
                    relays.counted(record.seq, it, findings);
                }
            }
            Sharing::Receipted(it) => {
                let signer = self.parties.iter().find(|party| party.log == it.log);
                if let Some((signer, pair)) = signer.zip(self.others.get_mut(&it.log)) {
                    receipts::take(pair, (self.reader, signer), record.seq, it, findings);
                }
            }
            Sharing::Witnessed(it) => {
                let reader = (self.reader, self.parties);
                witnesses.take(&mut self.others, reader, record.seq, it, findings)?;
            }
            Sharing::Change(it) => {
                let reader = (self.reader, self.parties);
                changes::take(&mut self.others, reader, record, it, findings);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, findings: &mut Findings) -> Result<Vec<Pair>, BetweenError> {
        for (log, relays) in self.relays {
            if let Some(pair) = self.others.get_mut(&log) {
                (pair.relays, pair.cursor) = relays.finish(findings)?;
            }
        }
        Ok(self.others.into_values().collect())
    }
}

fn accusation(
    reader: &Party<'_>,
    record: &Record,
    accused: &Accused,
    body: Option<&[u8]>,
) -> Accusation {
    Accusation {
        on: reader.node.clone(),
        at: record.seq.0,
        node: accused.node.clone(),
        reason: accused.reason.to_string(),
        signatures: checkpoints::signatures(reader, &accused.node, body),
    }
}
