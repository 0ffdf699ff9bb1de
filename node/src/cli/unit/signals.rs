//! What asks a unit to stop: SIGTERM, SIGINT, the end of stdin.

use std::io;

use crate::cli::stdin_ended;

/// Requests to stop.
pub struct Signals {
    /// Ends when stdin does.
    stdin: Option<tokio::sync::oneshot::Receiver<()>>,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// When the process can't hear signals.
    pub fn hear(with_stdin: bool) -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        let stdin = with_stdin.then(stdin_ended);
        Ok(Self {
            stdin,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) {
        let stdin = &mut self.stdin;
        let stdin_ended = async {
            match stdin {
                Some(ending) => {
                    let _ = ending.await;
                    *stdin = None;
                }
                None => std::future::pending().await,
            }
        };
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = stdin_ended => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = stdin_ended => {}
        }
    }
}
