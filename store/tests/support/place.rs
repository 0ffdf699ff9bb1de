//! Where a log is kept for a test: both backends have to behave the same.

use vsm_store::{EventLog, Options};

/// Opens a log for a test; on disk it can be opened again.
pub(crate) enum Place {
    Memory,
    Directory(tempfile::TempDir),
}

impl Place {
    pub(crate) fn open(&self, options: Options) -> EventLog {
        match self {
            Self::Memory => EventLog::in_memory(options).expect("a log in memory opens"),
            Self::Directory(dir) => EventLog::open(dir.path(), options).expect("the log opens"),
        }
    }
}

pub(crate) fn on_disk() -> Place {
    Place::Directory(tempfile::tempdir().expect("a directory"))
}

pub(crate) fn everywhere(test: impl Fn(&Place)) {
    test(&Place::Memory);
    test(&on_disk());
}
