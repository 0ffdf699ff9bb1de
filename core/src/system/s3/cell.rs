//! The cells of the shared document `resources`: who has which rights.
//!
//! ```text
//!   cpu/minted/a#1      what node a, incarnation 1 of its log, added to cpu
//!   cpu/used/a#1        about how much it uses, rounded up
//!   cpu/grant/a#1>b#2   what it granted to b, incarnation 2, in all
//!   cpu/fence/c#1>a#1   what c took over when it reclaimed a's rights
//! ```
//!
//! A value is an integer in decimal digits; only `minted` may be negative, when
//! an incarnation takes away of what an earlier one had minted. Whoever is named
//! first owns the cell. Keys and values have one spelling each, and nothing else
//! is read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Content, Name, Text};

/// A node, and the incarnation of its log: who has rights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) node: Name,
    pub(super) incarnation: u32,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (node, incarnation) = text.split_once('#')?;
        Some(Self {
            node: node.parse().ok()?,
            incarnation: incarnation.parse().ok()?,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}

/// A cell of one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Cell {
    /// What the place added to the resource.
    Minted(Place),
    /// About how much of it the place uses.
    Used(Place),
    /// What `from` granted to `to` in all; never shrinks.
    Grant { from: Place, to: Place },
    /// What `by` took over of `of` in all; never shrinks. That it exists fences
    /// `of`.
    Fence { by: Place, of: Place },
}

impl Cell {
    /// The only place that may write it.
    pub(super) const fn owner(&self) -> &Place {
        match self {
            Self::Minted(place) | Self::Used(place) => place,
            Self::Grant { from, .. } => from,
            Self::Fence { by, .. } => by,
        }
    }

    /// Its key, of a resource.
    pub(super) fn key(&self, resource: &Name) -> Text {
        // Three names and two numbers are shorter than a text may be.
        Text::cut(&match self {
            Self::Minted(place) => format!("{resource}/minted/{place}"),
            Self::Used(place) => format!("{resource}/used/{place}"),
            Self::Grant { from, to } => format!("{resource}/grant/{from}>{to}"),
            Self::Fence { by, of } => format!("{resource}/fence/{by}>{of}"),
        })
    }

    /// The resource and the cell that a key means.
    pub(super) fn parse(key: &str) -> Option<(Name, Self)> {
        let mut parts = key.splitn(3, '/');
        let resource: Name = parts.next()?.parse().ok()?;
        let (kind, places) = (parts.next()?, parts.next()?);
        let pair = || {
            let (first, second) = places.split_once('>')?;
            Some((Place::parse(first)?, Place::parse(second)?))
        };
        let cell = match kind {
            "minted" => Self::Minted(Place::parse(places)?),
            "used" => Self::Used(Place::parse(places)?),
            "grant" => pair().map(|(from, to)| Self::Grant { from, to })?,
            "fence" => pair().map(|(by, of)| Self::Fence { by, of })?,
            _ => return None,
        };
        // One spelling: `+1` and `01` are numbers too.
        (*cell.key(&resource) == *key).then_some((resource, cell))
    }

    /// The value that a text means in this cell.
    pub(super) fn value(&self, text: &str) -> Option<i128> {
        let value: i128 = text.parse().ok()?;
        let magnitude = u64::try_from(value.unsigned_abs()).ok()?;
        let signed = magnitude > 0 && matches!(self, Self::Minted(_));
        (value.to_string() == text && (value >= 0 || signed)).then_some(value)
    }
}

/// A value as a cell holds it.
pub(super) fn content(value: i128) -> Option<Content> {
    value.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_text_and_have_one_spelling() {
        for key in [
            "cpu/minted/a#1",
            "cpu/used/a.b:c#4294967295",
            "x/grant/a#1>b#2",
            "x/fence/c#1>a#1",
        ] {
            let (resource, cell) = Cell::parse(key).unwrap();
            assert_eq!(&*cell.key(&resource), key);
        }
        for key in [
            "",
            "cpu",
            "cpu/minted",
            "cpu/minted/a",
            "cpu/minted/a#",
            "cpu/minted/a#01",
            "cpu/minted/a#+1",
            "cpu/minted/a#4294967296",
            "cpu/minted/a#1>b#1",
            "cpu/grant/a#1",
            "cpu/grant/a#1>b#1>c#1",
            "cpu/grant/a#1/b#1",
            "/minted/a#1",
            "cpu/Minted/a#1",
            "cpu/minted/ä#1",
            "cpu/minted/a#1 ",
        ] {
            assert_eq!(Cell::parse(key), None, "{key}");
        }
    }

    #[test]
    fn the_longest_names_fit_into_a_key() {
        let place = Place {
            node: "n".repeat(Name::LEN_MAX).parse().unwrap(),
            incarnation: u32::MAX,
        };
        let resource: Name = "r".repeat(Name::LEN_MAX).parse().unwrap();
        let cell = Cell::Grant {
            from: place.clone(),
            to: place,
        };
        assert_eq!(Cell::parse(&cell.key(&resource)), Some((resource, cell)));
    }

    #[test]
    fn values_are_plain_integers() {
        let place = Place::parse("a#1").unwrap();
        let (minted, used) = (Cell::Minted(place.clone()), Cell::Used(place));
        assert_eq!(
            used.value("18446744073709551615"),
            Some(i128::from(u64::MAX))
        );
        assert_eq!(minted.value("-7"), Some(-7));
        for text in [
            "",
            "-1",
            "-0",
            "+1",
            "01",
            "1.0",
            "18446744073709551616",
            "1e3",
            " 1",
            "NaN",
        ] {
            assert_eq!(used.value(text), None, "{text}");
        }
        assert_eq!(minted.value("-18446744073709551616"), None);
    }
}
