//! What contradicts between logs.

use serde::Serialize;
use vsm_core::Name;

/// Two logs can't both be what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Finding {
    /// A message that was passed over.
    #[error(
        "record {seq} of {from}'s log is a message for {to}, whose log says that it has all up to there and does not have it"
    )]
    RelayMissing {
        /// The origin.
        from: Name,
        /// The destination.
        to: Name,
        /// Where, in the origin's log.
        seq: u64,
    },
    /// A message that came twice, or behind a later one.
    #[error(
        "record {at} of {to}'s log is record {seq} of {from}'s log, which or a later one came before"
    )]
    RelayOrder {
        /// The origin.
        from: Name,
        /// The destination.
        to: Name,
        /// Where, in the destination's log.
        at: u64,
        /// Where, in the origin's log.
        seq: u64,
    },
    /// A message that the origin does not have.
    #[error(
        "record {at} of {to}'s log is said to be record {seq} of {from}'s log, which is no message for {to}"
    )]
    RelayUnknown {
        /// The origin.
        from: Name,
        /// The destination.
        to: Name,
        /// Where, in the destination's log.
        at: u64,
        /// Where, in the origin's log.
        seq: u64,
    },
    /// A message that is another one on the other side.
    #[error("record {at} of {to}'s log is another message than record {seq} of {from}'s log")]
    RelayDiffers {
        /// The origin.
        from: Name,
        /// The destination.
        to: Name,
        /// Where, in the destination's log.
        at: u64,
        /// Where, in the origin's log.
        seq: u64,
    },
    /// A place that does not fit the messages before it.
    #[error(
        "record {at} of {to}'s log counts {said} messages of {from} before it; {found} are there"
    )]
    RelayCount {
        /// The origin.
        from: Name,
        /// The destination.
        to: Name,
        /// Where, in the destination's log.
        at: u64,
        /// How many it says.
        said: u32,
        /// How many there are.
        found: u32,
    },
    /// A receipt that nobody signed.
    #[error("record {at} of {on}'s log is a receipt that no key of {by} signed")]
    ReceiptForged {
        /// Who has it.
        on: Name,
        /// Who is said to have signed it.
        by: Name,
        /// Where.
        at: u64,
    },
    /// A receipt for another history of the log that it is on.
    #[error(
        "{by} signed that it has record {upto} of {on}'s log with another chain hash than that log has (record {at})"
    )]
    ReceiptDiffers {
        /// Who has it.
        on: Name,
        /// Who signed it.
        by: Name,
        /// Where.
        at: u64,
        /// Which record.
        upto: u64,
    },
    /// A checkpoint that nobody signed.
    #[error("record {at} of {on}'s log is a checkpoint that no key of {by} signed: {reason}")]
    CheckpointForged {
        /// Who has it.
        on: Name,
        /// Whose it is said to be.
        by: Name,
        /// Where.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A log has two histories.
    #[error(
        "{node} signed two histories: the checkpoint of {size} records that {on} witnessed (record {at}) is not of {against}"
    )]
    LogForked {
        /// Whose log.
        node: Name,
        /// Who witnessed it.
        on: Name,
        /// Where.
        at: u64,
        /// Of how many records.
        size: u64,
        /// What it contradicts.
        against: String,
        /// The checkpoint, signed.
        checkpoint: String,
        /// The other one that contradicts it, signed as well, with what links
        /// the two; `vsm log check-proof` checks it. `None`: nobody witnessed
        /// one; `vsm log fork` makes it, with the log's key.
        evidence: Option<String>,
    },
    /// A change that its owner did not sign.
    #[error("record {at} of {on}'s log is a change that {by} does not answer for: {reason}")]
    ChangeForged {
        /// Who has it.
        on: Name,
        /// Who is said to.
        by: Name,
        /// Where.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A change that is another one on its owner's log.
    #[error(
        "record {at} of {on}'s log is change {number} of an actor that {by} answers for and signed; {by}'s own log has another one under that number"
    )]
    ChangeDiffers {
        /// Who has it.
        on: Name,
        /// Who signed it.
        by: Name,
        /// Where.
        at: u64,
        /// Its actor's number.
        number: u64,
    },
}
