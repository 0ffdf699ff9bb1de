//! Where the incarnations of this log began, as other nodes have to know it.

use vsm_core::{Digest, Seq};
use vsm_replication::peer::{ForkPoint, Position, hello::FORKS_MAX};
use vsm_store::{EventLog, Filter, ReadError};

/// The last fork points of a log. One that never lost anything has none; any
/// other is read through once.
pub(crate) fn of(log: &EventLog) -> Result<Vec<ForkPoint>, ReadError> {
    let mut forks = Vec::new();
    if log.identity().incarnation <= 1 {
        return Ok(forks);
    }
    // No message has an empty stream: only the log's own records match.
    let own = Filter::new().stream("").own_records(true);
    for event in log.read(log.first_seq()).matching(own) {
        let event = event?;
        let Some(resumed) = event.resumed() else {
            continue;
        };
        let before = event.seq().saturating_sub(1);
        let last = log.read(before).hashed(true).next().transpose()?;
        let chain = last
            .filter(|it| it.seq() == before)
            .and_then(|it| it.chain_hash());
        // What was pruned can't be named; peers that need it say so.
        let Some(chain) = chain else { continue };
        let after = Position {
            seq: Seq(before),
            chain: Digest(chain.0),
        };
        forks.push(ForkPoint {
            incarnation: resumed.incarnation,
            after,
        });
    }
    if forks.len() > FORKS_MAX {
        forks.drain(..forks.len() - FORKS_MAX);
    }
    Ok(forks)
}
