//! Receipts: what a node signed to have of another's messages.

use vsm_core::{Digest, Seq, payload::sharing::Receipted};
use vsm_replication::peer::{Position, PublicKey, Receipt, Signature};

use super::{
    finding::Finding,
    party::Party,
    report::{Findings, Pair},
};

/// The receipt of most messages, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Most {
    upto: Seq,
    /// The signer's incarnation then.
    incarnation: u32,
}

/// Looks at a receipt on `reader`'s log, which `signer` is said to have signed.
pub(super) fn take(
    pair: &mut Pair,
    (reader, signer): (&Party<'_>, &Party<'_>),
    at: Seq,
    receipted: &Receipted,
    findings: &mut Findings,
) {
    let receipt = Signature::from_bytes(&receipted.signature).map(|signature| Receipt {
        origin: reader.log,
        incarnation: receipted.incarnation,
        upto: Position {
            seq: receipted.upto.seq,
            chain: receipted.upto.chain,
        },
        destination: receipted.log,
        destination_incarnation: receipted.log_incarnation,
        signature,
    });
    let is_signed_by = |key: PublicKey| receipt.as_ref().is_some_and(|it| it.is_signed_by(&key));
    let (on, by) = (reader.node.clone(), signer.node.clone());
    let keys = reader.directory.keys(&signer.node);
    if !std::iter::once(signer.key).chain(keys).any(is_signed_by) {
        findings.add(Finding::ReceiptForged { on, by, at: at.0 });
        return;
    }
    let upto = receipted.upto;
    if upto.seq > reader.shared_with(receipted.incarnation) {
        pair.receipts.lost += 1;
        return;
    }
    // What was pruned can't be compared.
    let chain = reader.evidence.log.chain_hash(upto.seq.0);
    if chain.is_ok_and(|chain| Digest(chain.0) != upto.chain) {
        findings.add(Finding::ReceiptDiffers {
            on,
            by,
            at: at.0,
            upto: upto.seq.0,
        });
        return;
    }
    pair.receipts.agreed += 1;
    if pair.most.as_ref().is_none_or(|most| most.upto < upto.seq) {
        pair.most = Some(Most {
            upto: upto.seq,
            incarnation: receipted.log_incarnation,
        });
    }
}

/// Holds what was signed against what the signer's log has, once all are read.
pub(super) fn hold(pairs: &mut [Pair], parties: &[Party<'_>]) {
    for index in 0..pairs.len() {
        let Some(most) = pairs[index].most.clone() else {
            continue;
        };
        let (signer, reader) = (pairs[index].logs.0, pairs[index].logs.1);
        let has = pairs.iter().find(|it| it.logs == (reader, signer));
        let has = has.map_or(Seq(0), |it| it.cursor);
        if has >= most.upto {
            continue;
        }
        let signer = parties.iter().find(|it| it.log == signer);
        let counts = &mut pairs[index].receipts;
        counts.agreed -= 1;
        match signer.is_some_and(|it| it.shared_with(most.incarnation) != Seq(u64::MAX)) {
            true => counts.lost += 1,
            false => counts.ahead += 1,
        }
    }
}
