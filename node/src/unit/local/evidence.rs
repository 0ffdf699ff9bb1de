//! What a unit bound itself to, for auditors.

use std::collections::{HashMap, VecDeque};

use vsm_core::MessageId;

/// How much is remembered.
const MAX: usize = 1_024;

/// The evidence of recent operations; the oldest makes room.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    by_operation: HashMap<MessageId, String>,
    order: VecDeque<MessageId>,
}

impl Evidence {
    /// Remembers the evidence of an operation.
    pub(super) fn keep(&mut self, operation: MessageId, evidence: String) {
        if self.by_operation.insert(operation, evidence).is_none() {
            self.order.push_back(operation);
        }
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_operation.remove(&oldest);
        }
    }

    /// The evidence of an operation, while it is remembered.
    pub(super) fn of(&self, operation: MessageId) -> Option<String> {
        self.by_operation.get(&operation).cloned()
    }
}
