//! umadb-core, through the writer thread that its server uses: it folds what
//! waits into one commit.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbEvent, DcbEventStoreSync, DcbResult};

use super::Engine;
use crate::events::Event;
use crate::queue::SUBMITTED_EVENTS_MAX;

/// As its server sets it, like the longest page below.
const COMMIT_EVENTS_MAX: usize = 2000;
const REQUESTS_MAX: usize = 2048;
/// An unlimited read collects everything first.
const PAGE_EVENTS: u32 = 5000;

struct Uma {
    mvcc: Arc<Mvcc>,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: JoinHandle<()>,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    answers: VecDeque<(usize, oneshot::Receiver<DcbResult<u64>>)>,
    events: usize,
}

pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let options = StorageOptions::default().db_path(dir.join("uma.db"));
    let mvcc = Arc::new(Mvcc::new(false, options)?);
    let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
    let (head, _) = watch::channel(None);
    let for_writer = Arc::clone(&mvcc);
    let writer = thread::Builder::new()
        .name("umadb-write".to_owned())
        .spawn(move || writer_thread_blocking(for_writer, incoming, head, COMMIT_EVENTS_MAX))?;
    Ok(Box::new(Uma {
        mvcc,
        requests,
        writer,
        in_flight: Mutex::default(),
    }))
}

impl Uma {
    fn request(&self, group: &[Event]) -> Result<oneshot::Receiver<DcbResult<u64>>> {
        let events = group.iter().map(|event| {
            DcbEvent::new()
                .event_type(event.kind)
                .tags([event.stream])
                .data([event.meta, event.body].concat())
        });
        let (response_tx, answer) = oneshot::channel();
        let request = WriterThreadRequest::Append {
            events: events.collect(),
            condition: None,
            tracking_info: None,
            response_tx,
            cancel: None,
        };
        let sent = self.requests.blocking_send(request);
        sent.map_err(|_| anyhow!("the writer thread has ended"))?;
        Ok(answer)
    }
}

impl InFlight {
    /// Waits until at most `events` are in flight.
    fn come_down_to(&mut self, events: usize) -> Result<()> {
        while self.events > events
            && let Some((len, answer)) = self.answers.pop_front()
        {
            answer.blocking_recv()??;
            self.events -= len;
        }
        Ok(())
    }
}

impl Engine for Uma {
    fn append(&self, group: &[Event]) -> Result<()> {
        self.request(group)?.blocking_recv()??;
        Ok(())
    }

    fn submit(&self, group: &[Event]) -> Result<()> {
        let mut in_flight = self
            .in_flight
            .lock()
            .map_err(|_| anyhow!("a writer panicked"))?;
        in_flight.come_down_to(SUBMITTED_EVENTS_MAX.saturating_sub(group.len()))?;
        let answer = self.request(group)?;
        in_flight.events += group.len();
        in_flight.answers.push_back((group.len(), answer));
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        self.in_flight
            .lock()
            .map_err(|_| anyhow!("a writer panicked"))?
            .come_down_to(0)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let store = UmaDb::from_arc(Arc::clone(&self.mvcc));
        let mut from = 1;
        loop {
            let (events, _) = store.read_with_head(None, Some(from), false, Some(PAGE_EVENTS))?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            from = last.position + 1;
            events.iter().for_each(|event| visit(&event.event.data));
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        let shutdown = self.requests.blocking_send(WriterThreadRequest::Shutdown);
        shutdown.map_err(|_| anyhow!("the writer thread has ended"))?;
        self.writer
            .join()
            .map_err(|_| anyhow!("the writer thread panicked"))
    }
}
