//! Which records somebody wants to see.

use vsm_core::{Address, Channel, MessageId, Record};
use vsm_store::Event;

use crate::runtime::journal::{self, JournalError};

/// Lets through the records that fit all of its parts. The log's own records
/// (genesis, resumed) fit only a filter without parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// On this channel.
    pub channel: Option<Channel>,
    /// From or to this participant, on whichever node if it names none.
    pub system: Option<Address>,
    /// Part of this conversation.
    pub correlation: Option<MessageId>,
}

impl Filter {
    /// Whether everything fits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.channel.is_none() && self.system.is_none() && self.correlation.is_none()
    }

    /// Whether an event fits. Decodes it only when it must.
    ///
    /// # Errors
    /// When the event is no message of a node.
    pub fn fits(&self, event: &Event) -> Result<bool, JournalError> {
        if self.is_empty() {
            return Ok(true);
        }
        if let Some(channel) = self.channel
            && event.kind().split('.').next() != Some(channel.name())
        {
            return Ok(false);
        }
        if self.system.is_none() && self.correlation.is_none() {
            return Ok(true);
        }
        Ok(journal::record(event)?.is_some_and(|record| self.fits_record(&record)))
    }

    /// Whether a record fits.
    #[must_use]
    pub fn fits_record(&self, record: &Record) -> bool {
        let message = &record.message;
        self.channel.is_none_or(|it| message.channel() == it)
            && self
                .system
                .as_ref()
                .is_none_or(|it| is(it, &message.from) || is(it, &message.to))
            && self.correlation.is_none_or(|it| message.correlation == it)
    }
}

fn is(wanted: &Address, found: &Address) -> bool {
    wanted.role == found.role
        && wanted.path == found.path
        && (wanted.instance.is_none() || wanted.instance == found.instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_only_asked_for_when_named() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        for (wanted, found, fits) in [
            ("s1", "s1", true),
            ("s1", "s1@node-2", true),
            ("s1@node-2", "s1", false),
            ("s1", "/a/s1", false),
            ("s1", "s2", false),
        ] {
            assert_eq!(
                is(&address(wanted), &address(found)),
                fits,
                "{wanted} {found}"
            );
        }
    }
}
