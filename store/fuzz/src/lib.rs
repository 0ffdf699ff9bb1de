//! What the fuzzer calls, by name. `store/tests/corpora.rs` includes these
//! files and calls the same without a fuzzer.
//!
//! | target | input | what has to hold |
//! |---|---|---|
//! | `header`, `frame`, `slot`, `volume`, `metas`, `snapshot`, `intent` | the stored bytes | what is read is written again as it was; memory is bounded by the input |
//! | `index` | an index file | look-ups end, and find what is there |
//! | `journal` | a file of the journal | what is taken out of it reads back, and ends as it says |
//! | `notes` | a text | what parses prints as it was; nothing is signed but what was |
//! | `proofs`, `forks` | a text, or changes to good ones | the same; what passes is the truth about two fixed logs |
//! | `import` | records | what is taken verifies and reads back as it was given |
//! | `recovery` | changes to what a log in memory stores | it opens or is refused; all that can be called ends |
//! | `directory` | changes to a log's files | the same, for `verify` and offline reading as well |

pub mod directory;
pub mod fixture;
pub mod forks;
pub mod import;
pub mod notes;
pub mod proofs;
pub mod record;
pub mod recovery;
pub mod seeds;
pub mod world;

use vsm_store::fuzzing;

/// Checks one input of a target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("header", fuzzing::header),
    ("frame", fuzzing::frame),
    ("slot", fuzzing::slot),
    ("volume", fuzzing::volume),
    ("index", fuzzing::index),
    ("metas", fuzzing::metas),
    ("snapshot", fuzzing::snapshot),
    ("intent", fuzzing::intent),
    ("journal", fuzzing::journal),
    ("notes", notes::check),
    ("proofs", proofs::check),
    ("forks", forks::check),
    ("import", import::check),
    ("recovery", recovery::check),
    ("directory", directory::check),
];

/// Checks one input of the target with a name.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.expect("the target is in the list");
    check(bytes);
}
