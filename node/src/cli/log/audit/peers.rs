//! `vsm log audit --peer-log`: the log against those of other nodes.

use std::path::PathBuf;

use vsm_store::VerifyOptions;

use super::super::{
    super::exit::{Exit, ExitError},
    opened, progress,
};
use crate::offline::{
    Evidence,
    between::{self, BetweenError, Finding, Pair, Report},
};

/// How many findings are printed as text; JSON has more.
const PRINTED_MAX: usize = 20;

/// Compares a log with those in other directories. Each of these has to be
/// intact.
///
/// # Errors
/// When one can't be read; with exit code 3 when one is not what was written.
pub(super) fn compare(evidence: Evidence, peers: &[PathBuf]) -> anyhow::Result<Report> {
    let mut logs = vec![evidence];
    for dir in peers {
        if let Err(error) = vsm_store::verify(dir, &VerifyOptions::new()) {
            let named = format!("{}: {error}", dir.display());
            return Err(match error.first_bad_seq() {
                Some(_) => ExitError::verification_failed(named).into(),
                None => anyhow::Error::from(error).context(dir.display().to_string()),
            });
        }
        let named = |error: anyhow::Error| error.context(dir.display().to_string());
        logs.push(Evidence::open(dir).map_err(opened).map_err(named)?);
    }
    let records = logs.iter().map(Evidence::last).sum::<u64>();
    // Each is read twice.
    let bar = progress::bar("comparing", records * 2);
    let report = between::compare(&logs, |read| {
        if read % 4_096 == 0 {
            bar.set_position(read);
        }
    });
    bar.finish_and_clear();
    report.map_err(|error| match error {
        BetweenError::Log(error) => opened(error),
        error => error.into(),
    })
}

/// Why the audit fails because of what was compared, if it does: what
/// contradicts; of a strict audit also what one copy alone has.
pub(super) fn failure(report: &Report, strict: bool) -> Option<ExitError> {
    if let Some(first) = report.findings.first() {
        let more = match report.findings_total - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        return Some(ExitError::verification_failed(format!("{first}{more}")));
    }
    let behind = report.behind().next().filter(|_| strict)?;
    Some(ExitError {
        exit: Exit::Failure,
        message: ahead(behind),
    })
}

pub(super) fn warn(report: &Report) {
    for pair in report.behind() {
        eprintln!("warning: {}", ahead(pair));
    }
}

fn ahead(pair: &Pair) -> String {
    format!(
        "{on}'s log holds {count} things of {from} that lie behind the end of {from}'s copy: the \
         copy is older, or {from}'s log went back; copy it again, or stop the nodes first",
        on = pair.on,
        from = pair.from,
        count = pair.ahead(),
    )
}

/// What was compared, as text.
pub(super) fn print(report: &Report) {
    for pair in &report.pairs {
        let Pair { from, on, .. } = pair;
        let it = &pair.relays;
        println!("{from} on {on}'s log");
        println!(
            "  messages     {} on both, {} of them refused; {} on the way, {} lost at {from}, {} ahead",
            it.agreed, it.refused, it.pending, it.lost, it.ahead
        );
        println!(
            "  batches      {} signed by {from}, {} not whole",
            it.batches_signed, it.batches_partial
        );
        let it = &pair.receipts;
        println!(
            "  receipts     {} signed by {from} and true, {} of what was lost, {} ahead",
            it.agreed, it.lost, it.ahead
        );
        let it = &pair.checkpoints;
        println!(
            "  checkpoints  {} of {from}'s history, {} of what it lost, {} ahead, {} of another log",
            it.agreed, it.lost, it.ahead, it.other
        );
        let it = &pair.changes;
        println!(
            "  changes      {} signed and on {from}'s log, {} lost there, {} ahead, {} by another key",
            it.agreed, it.lost, it.ahead, it.other
        );
    }
    for it in &report.accusations {
        let signatures = match it.signatures {
            Some(true) => "; it signed both halves of the evidence",
            Some(false) => "; its signatures do not hold",
            None => "",
        };
        println!(
            "accused      {} by {}, record {}: {}{signatures}",
            it.node, it.on, it.at, it.reason
        );
    }
    for finding in report.findings.iter().take(PRINTED_MAX) {
        println!("finding      {finding}");
        if let Finding::LogForked {
            checkpoint,
            evidence,
            ..
        } = finding
        {
            let (what, text) = match evidence {
                Some(evidence) => ("both signatures (`vsm log check-proof`)", evidence),
                None => ("what was signed (`vsm log fork --against`)", checkpoint),
            };
            println!("--- {what}\n{}\n---", text.trim_end());
        }
    }
    let untold = report.findings_total.saturating_sub(PRINTED_MAX as u64);
    if untold > 0 {
        println!("             and {untold} more; --format json has up to a thousand");
    }
}
