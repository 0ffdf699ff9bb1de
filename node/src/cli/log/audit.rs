//! `vsm log audit`

mod peers;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use vsm_store::VerifyOptions;

use super::{
    super::{
        Done, Global,
        exit::{Exit, ExitError},
        output::{self, Format},
    },
    confirm::{self, Verdict},
    progress,
};
use crate::{
    bench::per_second,
    offline::{
        Evidence,
        audit::{self, Passed, Quarantine},
        fold::FoldError,
    },
};

/// How many quarantined records are stepped on again.
const CONFIRM: usize = 100;
/// How long one of them may take at least; at most, when nobody says, it is
/// [`FOLDS_MAX`] times what the audit's own fold took.
const WITHIN_MIN: Duration = Duration::from_secs(60);
/// See [`WITHIN_MIN`].
const FOLDS_MAX: u32 = 4;

/// `vsm log audit DIR`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The log's directory.
    dir: PathBuf,
    /// Fail when a quarantine does not reproduce or could not be tried, and when
    /// the copy of a peer's log ends before what another log holds of it.
    #[arg(long)]
    strict: bool,
    /// The most quarantined records to step on again, each in a process of its
    /// own that folds the log up to there; 0 for none.
    #[arg(long, value_name = "COUNT", default_value_t = CONFIRM)]
    confirm: usize,
    /// How long one of these may take; by default a minute, or longer when the
    /// log is long.
    #[arg(long, value_name = "SECONDS")]
    confirm_within: Option<u64>,

    /// Hold the log against that of another node of the cluster, in this
    /// directory: messages on both sides, receipts, checkpoints, changes. May
    /// be given several times.
    #[arg(long, value_name = "DIR")]
    peer_log: Vec<PathBuf>,
}

impl AuditArgs {
    /// Audits the log in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            strict: false,
            confirm: CONFIRM,
            confirm_within: None,
            peer_log: Vec::new(),
        }
    }

    /// Also against the logs in these directories.
    #[must_use]
    pub fn against(mut self, peers: &[PathBuf]) -> Self {
        self.peer_log = peers.to_owned();
        self
    }
}

/// A quarantine whose step was made again.
#[derive(Debug, Serialize)]
struct Tried {
    #[serde(flatten)]
    quarantine: Quarantine,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Tried {
    /// What is to be said of it, unless it is what it says.
    fn doubt(&self) -> Option<String> {
        let Quarantine {
            system,
            seq,
            noted_at,
            ..
        } = &self.quarantine;
        let of = format!("the quarantine of record {seq} for {system}, noted at {noted_at},");
        match &self.verdict {
            Verdict::Confirmed { .. } => None,
            Verdict::Unconfirmed { emitted } => Some(format!(
                "{of} does not reproduce: the step returns, with {emitted} messages"
            )),
            Verdict::Undecided { finding } => {
                Some(format!("{of} could not be reproduced: {finding}"))
            }
        }
    }

    const fn is_unconfirmed(&self) -> bool {
        matches!(self.verdict, Verdict::Unconfirmed { .. })
    }
}

/// What became of the quarantines.
struct Quarantines {
    tried: Vec<Tried>,
    untried: usize,
}

impl Quarantines {
    fn try_all(args: &AuditArgs, passed: &Passed, took: Duration) -> Self {
        let all = &passed.quarantined;
        let within = args
            .confirm_within
            .map_or(WITHIN_MIN.max(took * FOLDS_MAX), Duration::from_secs);
        let trying = all.len().min(args.confirm);
        let bar = progress::bar("stepping again", trying as u64);
        let tried = all.iter().take(trying).map(|quarantine| {
            let verdict = confirm::ask(&args.dir, quarantine, within);
            bar.inc(1);
            Tried {
                quarantine: quarantine.clone(),
                verdict,
            }
        });
        let tried = tried.collect();
        bar.finish_and_clear();
        Self {
            tried,
            untried: all.len() - trying,
        }
    }

    fn warn(&self) {
        for doubt in self.tried.iter().filter_map(Tried::doubt) {
            eprintln!("warning: {doubt}");
        }
        if self.untried > 0 {
            eprintln!("warning: {}", self.not_tried());
        }
    }

    fn not_tried(&self) -> String {
        let (tried, untried) = (self.tried.len(), self.untried);
        format!(
            "{untried} quarantined records were not stepped on again, only the first {tried}; see --confirm"
        )
    }

    /// Why a strict audit fails: what did not reproduce before what could not
    /// be tried.
    fn failure(&self) -> Option<Failure<'_>> {
        let unconfirmed = self.tried.iter().find(|it| it.is_unconfirmed());
        let doubtful = || self.tried.iter().find(|it| it.doubt().is_some());
        if let Some(tried) = unconfirmed.or_else(doubtful) {
            return Some(Failure {
                tried: Some(tried),
                finding: tried.doubt()?,
            });
        }
        (self.untried > 0).then(|| Failure {
            tried: None,
            finding: self.not_tried(),
        })
    }

    fn print(&self) {
        let count = |is: fn(&Verdict) -> bool| {
            let tried = self.tried.iter();
            tried.filter(|it| is(&it.verdict)).count()
        };
        println!(
            "quarantined  {} records: {} confirmed, {} unconfirmed, {} undecided, {} not tried",
            self.tried.len() + self.untried,
            count(|it| matches!(it, Verdict::Confirmed { .. })),
            count(|it| matches!(it, Verdict::Unconfirmed { .. })),
            count(|it| matches!(it, Verdict::Undecided { .. })),
            self.untried
        );
        for Tried {
            quarantine: it,
            verdict,
        } in &self.tried
        {
            let verdict = match verdict {
                Verdict::Confirmed { finding } => format!("confirmed, {finding}"),
                Verdict::Unconfirmed { emitted } => {
                    format!("unconfirmed, it returns with {emitted} messages")
                }
                Verdict::Undecided { finding } => format!("undecided, {finding}"),
            };
            println!("  {} of {}: {verdict}", it.seq, it.system);
            println!(
                "    noted at {} under {}: {:?}",
                it.noted_at, it.program, it.reason
            );
        }
    }
}

/// Why a strict audit fails.
struct Failure<'a> {
    tried: Option<&'a Tried>,
    finding: String,
}

impl Failure<'_> {
    fn is_finding(&self) -> bool {
        self.tried.is_some_and(Tried::is_unconfirmed)
    }

    const fn verdict(&self) -> &'static str {
        match self.tried {
            Some(Tried {
                verdict: Verdict::Unconfirmed { .. },
                ..
            }) => "unconfirmed",
            _ => "undecided",
        }
    }

    fn into_error(self) -> ExitError {
        if self.is_finding() {
            return ExitError::verification_failed(self.finding);
        }
        ExitError {
            exit: Exit::Failure,
            message: self.finding,
        }
    }
}

/// Audits.
///
/// # Errors
/// With exit code 3 when the log does not follow from itself.
pub fn run(global: &Global, args: &AuditArgs) -> Done {
    // A log that is not what was written is not worth folding.
    if let Err(error) = vsm_store::verify(&args.dir, &VerifyOptions::new()) {
        return Err(match error.first_bad_seq() {
            Some(_) => ExitError::verification_failed(error.to_string()).into(),
            None => error.into(),
        });
    }
    // Open, and so locked against a writer, until the end.
    let evidence = Evidence::open(&args.dir).map_err(super::opened)?;
    let bar = progress::bar("auditing", evidence.last());
    let begun = Instant::now();
    let outcome = audit::audit(&evidence, |seq| {
        if seq % 4_096 == 0 {
            bar.set_position(seq);
        }
    });
    let took = begun.elapsed();
    bar.finish_and_clear();
    let passed = match outcome {
        Ok(passed) => passed,
        Err(FoldError::Diverged(divergence)) => {
            if global.format == Format::Json {
                output::json_line(&audit::finding(&divergence))?;
            }
            return Err(ExitError::verification_failed(divergence.to_string()).into());
        }
        Err(error) => return Err(super::with_exit(error)),
    };
    let quarantines = Quarantines::try_all(args, &passed, took);
    quarantines.warn();
    let failure = quarantines.failure().filter(|_| args.strict);
    let rate = per_second(passed.counts.records, took);
    let compared = match args.peer_log.as_slice() {
        [] => None,
        dirs => Some(peers::compare(evidence, dirs)?),
    };
    let contradiction = compared
        .as_ref()
        .inspect(|it| peers::warn(it))
        .and_then(|it| peers::failure(it, args.strict));
    match global.format {
        Format::Json => {
            let mut report = json!({
                "verdict": failure.as_ref().map_or("follows", Failure::verdict),
                "records_per_s": rate,
                "report": passed,
                "quarantines": {
                    "tried": quarantines.tried,
                    "untried": quarantines.untried,
                },
            });
            if let Some(failure) = &failure {
                report["finding"] = json!(failure.finding);
                report["seq"] = json!(failure.tried.map(|it| it.quarantine.noted_at));
            }
            if let Some(compared) = &compared {
                report["between"] = json!(compared);
            }
            if let Some(contradiction) = &contradiction {
                let verdict = match contradiction.exit {
                    Exit::VerificationFailed => "contradicted",
                    _ => "undecided",
                };
                report["verdict"] = json!(verdict);
                report["finding"] = json!(contradiction.message);
            }
            output::json_line(&report)?;
        }
        Format::Text => {
            print(&passed, &quarantines, rate);
            if let Some(compared) = &compared {
                peers::print(compared);
            }
        }
    }
    if let Some(contradiction) = contradiction {
        return Err(contradiction.into());
    }
    failure.map_or(Ok(Exit::Ok), |it| Err(it.into_error().into()))
}

fn print(passed: &Passed, quarantines: &Quarantines, rate: u64) {
    let it = &passed.counts;
    println!(
        "the log follows from itself: {} records, {} of them reactions",
        it.records, it.reactions
    );
    println!("log          {}", passed.log);
    println!(
        "runs         {} ({} stopped in order, {} recoveries completed {} reactions)",
        it.runs, it.stops, it.recoveries, it.completed
    );
    println!("states       {} named on the log and found", it.states);
    println!("refused      {} messages", it.refusals);
    println!("injected     {} under a subsystem's name", it.injected);
    println!(
        "ticks        {}, of which {} could not be proven",
        it.ticks, it.ticks_unproven
    );
    println!(
        "lateness     {} ms at most, at record {}",
        it.lateness_max.0, it.lateness_at
    );
    quarantines.print();
    println!("undone       {} reactions at the log's end", passed.pending);
    println!("speed        {rate} records/s");
}
