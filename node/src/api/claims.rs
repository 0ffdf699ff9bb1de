//! As whom a caller may speak.
//!
//! A message that comes in through the API is an input like any other: it has
//! its principal as its cause, so the fold, recovery and audit never take it
//! for a subsystem's own. Audit counts those under a subsystem's name as
//! injected. What is refused here would be more than an input:
//!
//! - **As the node**: lifecycle records tell every fold about time, runs and
//!   snapshots. Audit accepts them from the runtime only.
//! - **To the outside**: whoever waits for an operation, and every unit, acts on
//!   what S1 tells them. A forged answer would have no state behind it.
//! - **As a unit**, unless the role may be one: an outcome or a heartbeat is that
//!   unit's word.

use vsm_core::{Address, Payload, Role, payload::Operations};

use super::{
    Answer,
    problem::{Kind, Problem},
};
use crate::security::Action;

/// What a caller's role must permit so that it may say this.
#[must_use]
pub const fn action(from: Role, payload: &Payload) -> Action {
    match (from, payload) {
        (Role::Environment, Payload::Operations(operations)) => match operations {
            Operations::Submit(_) | Operations::Cancel(_) => Action::Submit,
            _ => Action::BeUnit,
        },
        (Role::Environment, Payload::Intelligence(_)) => Action::Signal,
        (Role::Environment | Role::Operator, _) => Action::SendMessages,
        _ => Action::SpeakAsSystem,
    }
}

/// Whether anybody may say it at all. Asked of what the matrix allows only, so
/// that what it refuses is refused, and recorded, as its own.
///
/// # Errors
/// 403.
pub fn permitted(from: &Address, to: &Address) -> Answer<()> {
    let refuse = |detail: String| Err(Problem::new(Kind::Forbidden, detail));
    if from.role == Role::Node {
        return refuse("only the node itself speaks as node".into());
    }
    if to.role.is_outside() || to.role == Role::Node {
        return refuse(format!(
            "{to} is told things by subsystems only; nothing would stand behind this message"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vsm_core::{Channel, json};

    use super::*;

    #[test]
    fn whose_words_they_are() {
        let check = |from, channel, kind: &str, content, expected| {
            let payload = json::payload(channel, kind, &content).unwrap();
            assert_eq!(action(from, &payload), expected, "{from} {kind}");
        };
        let unit = json!({"unit": "u"});
        let id = "018bcfe5-687b-7000-8000-000000000000";
        check(
            Role::Environment,
            Channel::Operations,
            "heartbeat",
            json!({"unit": "u", "session": 1}),
            Action::BeUnit,
        );
        check(
            Role::Environment,
            Channel::Operations,
            "cancel",
            json!({"operation": id}),
            Action::Submit,
        );
        check(
            Role::Environment,
            Channel::Intelligence,
            "signal",
            json!({"name": "demand", "value_micro": 1}),
            Action::Signal,
        );
        check(
            Role::Operator,
            Channel::Command,
            "resume",
            unit.clone(),
            Action::SendMessages,
        );
        check(
            Role::S3,
            Channel::Command,
            "resume",
            unit,
            Action::SpeakAsSystem,
        );
    }

    #[test]
    fn nobody_is_the_node_or_speaks_to_the_outside() {
        let allowed = |from: Role, to: Role| permitted(&from.into(), &to.into()).is_ok();
        assert!(allowed(Role::S3, Role::S1));
        assert!(allowed(Role::Operator, Role::S5));
        assert!(!allowed(Role::Node, Role::S5));
        assert!(!allowed(Role::S1, Role::Environment));
        assert!(!allowed(Role::S5, Role::Operator));
    }
}
