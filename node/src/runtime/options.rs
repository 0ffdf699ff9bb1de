//! How a runtime is set up.

use std::sync::Arc;

use vsm_core::{Address, ModelConfig, Record};

/// Options of a runtime.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// The model's configuration, noted on the log at each start.
    pub model: ModelConfig,
    /// How many messages from outside may be under way.
    pub credits: usize,
    /// A snapshot of a subsystem is taken after so many of its steps.
    pub snapshot_steps: u64,
    /// The longest body, in bytes.
    pub body_bytes_max: usize,
    /// Whether somebody will follow what nodes share, and takes it with
    /// [`Runtime::sharing`](super::Runtime::sharing).
    pub sharing: bool,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            model: ModelConfig::default(),
            credits: 16_384,
            snapshot_steps: 200_000,
            body_bytes_max: 1 << 20,
            sharing: false,
        }
    }
}

type BeforeStep = dyn Fn(&Address, &Record) + Send + Sync;

/// Calls into user code around every step, for tracing and fault injection.
/// What they do is no part of the fold.
#[derive(Clone, Default)]
pub struct Hooks {
    before_step: Option<Arc<BeforeStep>>,
}

impl Hooks {
    /// Calls `f` before each step of a subsystem on a record. A panic counts
    /// as the step's.
    #[must_use]
    pub fn on_step(f: impl Fn(&Address, &Record) + Send + Sync + 'static) -> Self {
        Self {
            before_step: Some(Arc::new(f)),
        }
    }

    pub(crate) const fn is_set(&self) -> bool {
        self.before_step.is_some()
    }

    pub(crate) fn before_step(&self, system: &Address, record: &Record) {
        if let Some(f) = &self.before_step {
            f(system, record);
        }
    }
}
