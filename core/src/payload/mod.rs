//! What messages say: one enum per channel, one variant per type.
//!
//! The channel and the type of a message *are* its payload's variants, so that
//! neither can disagree with what the message carries.
//!
//! Enum tags are on disk: append variants, never reorder or reuse them.

use serde::{Deserialize, Serialize};

use crate::channel::Channel;

/// Declares a channel's payload: the enum, its type names and their order.
macro_rules! channel_payload {
    ($(#[$doc:meta])* $channel:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $channel {
            $($(#[$variant_doc])* $variant($variant),)+
        }

        impl $channel {
            /// The names of this channel's types, in the order of their tags.
            pub const TYPES: &'static [&'static str] = &[$($name),+];

            /// `channel.type` of each type, in the order of their tags.
            pub(crate) const KINDS: &'static [&'static str] =
                &[$(concat!(channel_payload!(@prefix $channel), ".", $name)),+];

            /// The tag: which of the types this is.
            #[must_use]
            pub const fn tag(&self) -> usize {
                let mut tag = 0;
                $(
                    if matches!(self, Self::$variant(_)) { return tag; }
                    tag += 1;
                )+
                tag
            }
        }

        $(
            impl From<$variant> for crate::payload::Payload {
                fn from(payload: $variant) -> Self {
                    crate::payload::Payload::$channel($channel::$variant(payload))
                }
            }
        )+
    };
    (@prefix Command) => { "command" };
    (@prefix Coordination) => { "coordination" };
    (@prefix Audit) => { "audit" };
    (@prefix ResourceBargain) => { "resource_bargain" };
    (@prefix Algedonic) => { "algedonic" };
    (@prefix Operations) => { "operations" };
    (@prefix Intelligence) => { "intelligence" };
    (@prefix Sharing) => { "sharing" };
    (@prefix Lifecycle) => { "lifecycle" };
}

pub mod algedonic;
pub mod audit;
pub mod command;
pub mod coordination;
pub mod intelligence;
pub mod lifecycle;
pub mod operations;
pub mod resource_bargain;
pub mod sharing;

pub use algedonic::Algedonic;
pub use audit::Audit;
pub use command::Command;
pub use coordination::Coordination;
pub use intelligence::Intelligence;
pub use lifecycle::Lifecycle;
pub use operations::Operations;
pub use resource_bargain::ResourceBargain;
pub use sharing::Sharing;

/// The typed part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// On [`Channel::Command`].
    Command(Command),
    /// On [`Channel::Coordination`].
    Coordination(Coordination),
    /// On [`Channel::Audit`].
    Audit(Audit),
    /// On [`Channel::ResourceBargain`].
    ResourceBargain(ResourceBargain),
    /// On [`Channel::Algedonic`].
    Algedonic(Algedonic),
    /// On [`Channel::Operations`].
    Operations(Operations),
    /// On [`Channel::Intelligence`].
    Intelligence(Intelligence),
    /// On [`Channel::Sharing`].
    Sharing(Sharing),
    /// On [`Channel::Lifecycle`].
    Lifecycle(Lifecycle),
}

/// Dispatches to the payload of whichever channel it is.
macro_rules! each_channel {
    ($self:expr, $inner:ident => $value:expr) => {
        match $self {
            Payload::Command($inner) => $value,
            Payload::Coordination($inner) => $value,
            Payload::Audit($inner) => $value,
            Payload::ResourceBargain($inner) => $value,
            Payload::Algedonic($inner) => $value,
            Payload::Operations($inner) => $value,
            Payload::Intelligence($inner) => $value,
            Payload::Sharing($inner) => $value,
            Payload::Lifecycle($inner) => $value,
        }
    };
}

impl Payload {
    /// The channel that carries it.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Command(_) => Channel::Command,
            Self::Coordination(_) => Channel::Coordination,
            Self::Audit(_) => Channel::Audit,
            Self::ResourceBargain(_) => Channel::ResourceBargain,
            Self::Algedonic(_) => Channel::Algedonic,
            Self::Operations(_) => Channel::Operations,
            Self::Intelligence(_) => Channel::Intelligence,
            Self::Sharing(_) => Channel::Sharing,
            Self::Lifecycle(_) => Channel::Lifecycle,
        }
    }

    /// Which type of its channel this is: an index into [`Payload::types`].
    #[must_use]
    pub const fn tag(&self) -> usize {
        each_channel!(self, inner => inner.tag())
    }

    /// The type's name: `submit`, `offer`, `pain`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        Self::types(self.channel())[self.tag()]
    }

    /// Channel and type in one word, as the log names it: `operations.submit`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let kinds = match self {
            Self::Command(_) => Command::KINDS,
            Self::Coordination(_) => Coordination::KINDS,
            Self::Audit(_) => Audit::KINDS,
            Self::ResourceBargain(_) => ResourceBargain::KINDS,
            Self::Algedonic(_) => Algedonic::KINDS,
            Self::Operations(_) => Operations::KINDS,
            Self::Intelligence(_) => Intelligence::KINDS,
            Self::Sharing(_) => Sharing::KINDS,
            Self::Lifecycle(_) => Lifecycle::KINDS,
        };
        kinds[self.tag()]
    }

    /// Whether its length is bounded only by that of a message: it holds lists
    /// that somebody outside may fill.
    #[must_use]
    pub const fn has_lists(&self) -> bool {
        !matches!(
            self,
            Self::Operations(
                Operations::Submit(_)
                    | Operations::Heartbeat(_)
                    | Operations::Left(_)
                    | Operations::Cancel(_)
                    | Operations::Report(_)
                    | Operations::Plan(_)
                    | Operations::Bargain(_)
                    | Operations::Feeling(_)
                    | Operations::Evidence(_)
            ) | Self::Intelligence(_)
                | Self::Algedonic(_)
        )
    }

    /// The names of a channel's types, in the order of their tags.
    #[must_use]
    pub const fn types(channel: Channel) -> &'static [&'static str] {
        match channel {
            Channel::Command => Command::TYPES,
            Channel::Coordination => Coordination::TYPES,
            Channel::Audit => Audit::TYPES,
            Channel::ResourceBargain => ResourceBargain::TYPES,
            Channel::Algedonic => Algedonic::TYPES,
            Channel::Operations => Operations::TYPES,
            Channel::Intelligence => Intelligence::TYPES,
            Channel::Sharing => Sharing::TYPES,
            Channel::Lifecycle => Lifecycle::TYPES,
        }
    }
}
