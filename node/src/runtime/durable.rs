//! Up to where the log is on disk, as async tasks wait for it.

use tokio::sync::watch;
use vsm_core::Seq;
use vsm_store::EventLog;

/// The log's durable watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The last durable record.
    pub seq: Seq,
    /// A write or sync failed: the log takes nothing more.
    pub poisoned: bool,
}

/// The log is poisoned, or the node has stopped: what was waited for will
/// never be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log takes nothing more: a write to disk failed; restart the node once the disk is well"
)]
pub struct LogStopped;

/// Follows a log's watermark.
#[derive(Clone, Debug)]
pub struct Durable {
    watermark: watch::Receiver<Watermark>,
}

impl Durable {
    /// Begins to follow `log`.
    #[must_use]
    pub fn follow(log: &EventLog) -> Self {
        let start = Watermark {
            seq: Seq(log.durable()),
            poisoned: false,
        };
        let (sender, watermark) = watch::channel(start);
        log.on_durable(move |outcome| {
            sender.send_modify(|it| match outcome {
                Ok(seq) => it.seq = it.seq.max(Seq(seq)),
                Err(_) => it.poisoned = true,
            });
        });
        Self { watermark }
    }

    /// The watermark now.
    #[must_use]
    pub fn now(&self) -> Watermark {
        *self.watermark.borrow()
    }

    /// Waits until `seq` is durable.
    ///
    /// # Errors
    /// When it never will be.
    pub async fn reached(&self, seq: Seq) -> Result<(), LogStopped> {
        let mut watermark = self.watermark.clone();
        let reached = watermark.wait_for(|it| it.seq >= seq || it.poisoned).await;
        match reached {
            Ok(it) if it.seq >= seq => Ok(()),
            _ => Err(LogStopped),
        }
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// When there will be none.
    pub async fn changed(&mut self) -> Result<Watermark, LogStopped> {
        self.watermark.changed().await.map_err(|_| LogStopped)?;
        Ok(*self.watermark.borrow_and_update())
    }
}
