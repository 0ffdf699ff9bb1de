//! tephra, through its write coordinator, which syncs once for all that waits.

use std::path::Path;
use std::sync::Mutex;

use ::tephra::{
    AppendError, Event as Packed, EventType, Position, PositionRange, Query, SegmentConfig,
    SegmentSet, Tag, Tags, WriteCoordinator, WriteHandle, WriterConfig,
};
use anyhow::{Result, anyhow};

use super::Engine;
use crate::events::Event;
use crate::queue::SUBMITTED_EVENTS_MAX;

const SEGMENT_BYTES: usize = 256 * 1024 * 1024;

type Replies = (u64, Result<PositionRange, AppendError>);

struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
    reply: flume::Sender<Replies>,
    /// Answers to what was submitted and not yet accounted for.
    in_flight: Mutex<InFlight>,
}

struct InFlight {
    replies: flume::Receiver<Replies>,
    events: usize,
}

pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let set = SegmentSet::open(dir.join("tephra"), SegmentConfig::new(SEGMENT_BYTES))?;
    let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
    let (reply, replies) = flume::unbounded();
    Ok(Box::new(Tephra {
        coordinator,
        handle,
        reply,
        in_flight: Mutex::new(InFlight { replies, events: 0 }),
    }))
}

fn pack(group: &[Event]) -> Result<Vec<Packed>> {
    let mut payload = Vec::with_capacity(256);
    let mut packed = Vec::with_capacity(group.len());
    for event in group {
        let kind = EventType::new(event.kind)?;
        let tags = Tags::new([Tag::new(event.stream)?])?;
        payload.clear();
        payload.extend_from_slice(event.meta);
        payload.extend_from_slice(event.body);
        packed.push(Packed::new(&kind, &tags, &payload)?);
    }
    Ok(packed)
}

impl InFlight {
    /// Waits until at most `events` are in flight.
    fn come_down_to(&mut self, events: usize) -> Result<()> {
        while self.events > events {
            let (len, result) = self.replies.recv()?;
            result?;
            self.events = self.events.saturating_sub(usize::try_from(len)?);
        }
        Ok(())
    }
}

impl Engine for Tephra {
    fn append(&self, group: &[Event]) -> Result<()> {
        self.handle.append(pack(group)?, None)?;
        Ok(())
    }

    fn submit(&self, group: &[Event]) -> Result<()> {
        let events = pack(group)?;
        let mut in_flight = self
            .in_flight
            .lock()
            .map_err(|_| anyhow!("a writer panicked"))?;
        in_flight.come_down_to(SUBMITTED_EVENTS_MAX.saturating_sub(group.len()))?;
        in_flight.events += group.len();
        let token = group.len() as u64;
        Ok(self
            .handle
            .append_submit(events, None, token, self.reply.clone())?)
    }

    fn settle(&self) -> Result<()> {
        self.in_flight
            .lock()
            .map_err(|_| anyhow!("a writer panicked"))?
            .come_down_to(0)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut events = self.handle.read(&Query::all(), Position::ZERO, None);
        while let Some(event) = events.next() {
            visit(event?.event.data());
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        let this = *self;
        drop(this.handle);
        this.coordinator.shutdown();
        Ok(())
    }
}
