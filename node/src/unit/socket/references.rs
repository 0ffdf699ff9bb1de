//! What a unit calls its plans and bargains, until they are answered.

use std::collections::{HashMap, VecDeque};

use vsm_core::{MessageId, Text};

/// How many are remembered.
const MAX: usize = 1_024;

/// The `ref`s of a connection's plans and bargains; the oldest make room.
#[derive(Debug, Default)]
pub(super) struct References {
    by_id: HashMap<MessageId, Text>,
    order: VecDeque<MessageId>,
}

impl References {
    /// Remembers what the unit calls a plan or a bargain.
    pub(super) fn remember(&mut self, id: Option<MessageId>, reference: Option<Text>) {
        let (Some(id), Some(reference)) = (id, reference) else {
            return;
        };
        self.by_id.insert(id, reference);
        self.order.push_back(id);
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// What the unit calls it.
    pub(super) fn of(&self, id: MessageId) -> Option<&Text> {
        self.by_id.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut references = References::default();
        let ids: Vec<_> = (0..=MAX)
            .map(|at| MessageId((at as u128).to_be_bytes()))
            .collect();
        for id in &ids {
            references.remember(Some(*id), Some(Text::cut("x")));
        }
        assert_eq!(references.of(ids[0]), None);
        assert!(references.of(ids[1]).is_some() && references.of(ids[MAX]).is_some());
        assert_eq!(references.by_id.len(), MAX);
    }
}
