//! Which events a reader or subscription gives.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::event::Event;
use crate::format::entry::Entry;
use crate::format::header::RecordKind;

/// Which events are wanted: those of certain streams, of certain types, or of
/// both. Several alternatives may be named of each; a filter that names none
/// wants everything.
///
/// ```
/// use vsm_store::Filter;
///
/// // Placed or cancelled orders, whichever stream of orders they are in.
/// let filter = Filter::new()
///     .stream_prefix("orders/")
///     .kind("placed")
///     .kind("cancelled");
/// # let _ = filter;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    streams: Names,
    kinds: Names,
    own_records: Option<bool>,
}

impl Filter {
    /// Everything, the log's own records included.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants events of this stream.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.streams.exact.insert(name.into());
        self
    }

    /// Wants events of streams whose names start with this.
    #[must_use]
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.streams.add_prefix(prefix.into());
        self
    }

    /// Wants events of this type.
    #[must_use]
    pub fn kind(mut self, name: impl Into<String>) -> Self {
        self.kinds.exact.insert(name.into());
        self
    }

    /// Wants events of types whose names start with this.
    #[must_use]
    pub fn kind_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.kinds.add_prefix(prefix.into());
        self
    }

    /// Whether the log's own records are wanted, such as genesis, which have
    /// neither stream nor type. Unless this says it, they are wanted by a
    /// filter that names neither streams nor types.
    #[must_use]
    pub fn own_records(mut self, wanted: bool) -> Self {
        self.own_records = Some(wanted);
        self
    }

    /// Whether an event is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants(event.record_kind(), event.stream(), event.kind())
    }

    /// Whether an entry is wanted, which is in `plain`.
    pub(crate) fn wants_entry(&self, entry: &Entry, plain: &[u8]) -> bool {
        if self == &Self::default() {
            return true;
        }
        let descriptor = entry.descriptor_bytes(plain);
        // Both were checked to be UTF-8 when the entry was parsed.
        let stream = std::str::from_utf8(entry.descriptor.stream(descriptor));
        let kind = std::str::from_utf8(entry.descriptor.kind(descriptor));
        self.wants(
            entry.kind,
            stream.unwrap_or_default(),
            kind.unwrap_or_default(),
        )
    }

    fn wants(&self, record: RecordKind, stream: &str, kind: &str) -> bool {
        if record == RecordKind::Event {
            return self.streams.take(stream) && self.kinds.take(kind);
        }
        self.own_records
            .unwrap_or(self.streams.is_empty() && self.kinds.is_empty())
    }
}

/// Alternatives for a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    exact: BTreeSet<String>,
    /// None of them starts with another one of them.
    prefixes: BTreeSet<String>,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn add_prefix(&mut self, prefix: String) {
        if self.starts(&prefix) {
            return;
        }
        self.prefixes.retain(|other| !other.starts_with(&*prefix));
        self.prefixes.insert(prefix);
    }

    fn take(&self, name: &str) -> bool {
        self.is_empty() || self.exact.contains(name) || self.starts(name)
    }

    /// Whether a name starts with one of the prefixes. What sorts between a
    /// name and its prefix starts with that prefix too, so that no other prefix
    /// stands there: the nearest one at or before the name decides.
    fn starts(&self, name: &str) -> bool {
        let up_to_name = (Bound::Unbounded, Bound::Included(name));
        let mut before = self.prefixes.range::<str, _>(up_to_name);
        before
            .next_back()
            .is_some_and(|prefix| name.starts_with(&**prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(filter: &Filter, stream: &str, kind: &str) -> bool {
        filter.wants(RecordKind::Event, stream, kind)
    }

    #[test]
    fn prefixes_that_cover_one_another_are_found_whatever_their_order() {
        let prefixes = ["a/", "a", "ab/c", "b/x", "b/", "b/xy"];
        let names = ["a", "a/", "aa", "ab/c", "b", "b/", "b/a", "b/z", "c", ""];
        for turn in 0..prefixes.len() {
            let mut filter = Filter::new();
            for prefix in prefixes.iter().cycle().skip(turn).take(prefixes.len()) {
                filter = filter.stream_prefix(*prefix);
            }
            for name in names {
                let expected = prefixes.iter().any(|prefix| name.starts_with(prefix));
                assert_eq!(wants(&filter, name, "k"), expected, "{name}");
            }
        }
    }

    #[test]
    fn streams_and_types_both_have_to_fit_and_nothing_named_is_everything() {
        let both = Filter::new().stream("s").stream_prefix("t").kind("k");
        assert!(wants(&both, "s", "k") && wants(&both, "t1", "k"));
        assert!(!wants(&both, "s1", "k") && !wants(&both, "s", "k1"));
        assert!(wants(&Filter::new(), "x", "y"));
        assert!(wants(&Filter::new().kind_prefix(""), "x", "y"));
    }

    #[test]
    fn own_records_are_wanted_by_whoever_wants_everything_or_says_so() {
        let genesis = |filter: &Filter| filter.wants(RecordKind::Genesis, "", "");
        assert!(genesis(&Filter::new()));
        assert!(!genesis(&Filter::new().own_records(false)));
        assert!(!genesis(&Filter::new().stream_prefix("")));
        assert!(genesis(&Filter::new().stream("s").own_records(true)));
    }
}
