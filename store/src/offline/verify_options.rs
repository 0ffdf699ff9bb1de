//! How a log is checked.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// How far a running check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Events checked.
    pub events: u64,
    /// Volumes checked.
    pub volumes: u64,
    /// Volumes there are.
    pub volumes_total: u64,
}

type OnProgress = Arc<dyn Fn(VerifyProgress) + Send + Sync>;

/// How a log is checked.
#[derive(Clone)]
pub struct VerifyOptions {
    pub(super) threads: usize,
    pub(super) scratch: PathBuf,
    pub(super) on_progress: Option<OnProgress>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            scratch: std::env::temp_dir(),
            on_progress: None,
        }
    }
}

impl VerifyOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Volumes that are checked at the same time. Default: one per core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Where volumes are copied to, one per thread at a time. Default: the
    /// system's directory for temporary files.
    #[must_use]
    pub fn scratch(mut self, dir: impl Into<PathBuf>) -> Self {
        self.scratch = dir.into();
        self
    }

    pub(crate) fn scratch_dir(&self) -> &Path {
        &self.scratch
    }

    /// Called from the checking threads every so often.
    #[must_use]
    pub fn on_progress(mut self, call: impl Fn(VerifyProgress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for VerifyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("threads", &self.threads)
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}
