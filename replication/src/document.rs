//! A shared document: entries by key, in buckets, over Automerge.
//!
//! ```text
//!   ROOT ── "topic": str
//!        └─ "00" … "ff": map   the bucket of a key is the first byte of its hash
//!                └─ key: str
//! ```
//!
//! A document is a function of the changes that were made and received, in
//! their order: a fold may hold one. Which of them count says the [`Intake`];
//! here they are applied.
//!
//! A change that counts and that Automerge refuses, or panics on, is *spoilt*:
//! it stays in the history, so that nobody sends it again and again, and the
//! document goes on without it and without what builds on it. What Automerge
//! does to a change depends on the changes before it alone, as far as its code
//! shows; a build that checks arithmetic may panic where another does not, so
//! nodes of one cluster should run one build.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use automerge::{
    Automerge, AutomergeError, Change, ChangeHash, ObjId, ObjType, ReadDoc, Value,
    transaction::{CommitOptions, Transactable},
};
use bytes::Bytes;
use vsm_core::{Name, Timestamp, payload::sharing::Author};

use crate::{
    actor::Actor,
    change::{CHANGE_BYTES_MAX, ChangeError, Checked},
    history::History,
    intake::{COUNTER_MAX, Intake, Taken, Vouched},
    skeleton::skeleton,
    topic::Topic,
    touched,
    voucher::{Owner, Voucher},
};

/// What became of a change that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many changes came to count: none when it was here before or waits
    /// for others, several when others had waited for it.
    pub counted: usize,
    /// How many that had waited were dropped: they can't be taken in.
    pub dropped: usize,
    /// Those of the counted that Automerge can't apply.
    pub spoilt: Vec<ChangeHash>,
    /// The entries that read otherwise now, by key.
    pub views: BTreeMap<String, Entry>,
}

/// An entry that reads otherwise after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it reads; `None`: it is gone.
    pub value: Option<String>,
    /// The node whose change did it; `None`: a client of the node that answers
    /// for the change.
    pub author: Option<Name>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its uncompressed bytes.
    pub bytes: Bytes,
    /// What became of changes that had waited for it.
    pub received: Received,
}

/// A shared document, as one actor writes it.
#[derive(Clone, Debug)]
pub struct Document {
    topic: Topic,
    epoch: u32,
    doc: Automerge,
    buckets: Vec<ObjId>,
    intake: Intake,
    /// Changes that count and are not in `doc`.
    spoilt: BTreeSet<ChangeHash>,
    /// Their actors: of these nothing can be applied any more.
    spoilt_actors: BTreeSet<Actor>,
    /// Who answered for such a change since the document was last restored.
    spoilers: BTreeSet<Arc<Owner>>,
}

impl Document {
    /// The document before its first entry; the same heads on every node.
    /// `owner` is who will write: a node in a run.
    ///
    /// # Errors
    /// When Automerge refuses the skeleton, which would be a defect.
    pub fn new(topic: Topic, epoch: u32, owner: Owner) -> Result<Self, ChangeError> {
        let skeleton = skeleton(topic, epoch)?;
        let mut document = Self {
            topic,
            epoch,
            intake: Intake::new(&skeleton.change),
            doc: skeleton.document,
            buckets: skeleton.buckets,
            spoilt: BTreeSet::new(),
            spoilt_actors: BTreeSet::new(),
            spoilers: BTreeSet::new(),
        };
        document.begin(owner);
        Ok(document)
    }

    /// The document of changes that counted before.
    ///
    /// # Errors
    /// When Automerge refuses the skeleton, which would be a defect.
    pub(crate) fn restore(
        topic: Topic,
        epoch: u32,
        intake: Intake,
        spoilt: BTreeSet<ChangeHash>,
    ) -> Result<Self, ChangeError> {
        let actors = intake.history().changes();
        let actors = actors.filter(|it| spoilt.contains(&it.hash));
        let spoilt_actors = actors
            .map(|it| Ok(Checked::new(it.bytes.clone())?.actor()))
            .collect::<Result<_, ChangeError>>()?;
        let mut document = Self {
            topic,
            epoch,
            intake,
            doc: Automerge::new(),
            buckets: Vec::new(),
            spoilt,
            spoilt_actors,
            spoilers: BTreeSet::new(),
        };
        document.rebuild()?;
        Ok(document)
    }

    /// What Automerge made of the changes that are not spoilt.
    pub(crate) fn into_automerge(self) -> Automerge {
        self.doc
    }

    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// Which of the documents that follow one another under its topic.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Which changes count, and which wait to.
    #[must_use]
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The changes that count.
    #[must_use]
    pub const fn history(&self) -> &History<Voucher> {
        self.intake.history()
    }

    /// Changes that count and that Automerge can't apply.
    #[must_use]
    pub const fn spoilt(&self) -> &BTreeSet<ChangeHash> {
        &self.spoilt
    }

    /// Who writes from now on.
    pub fn begin(&mut self, owner: Owner) {
        self.doc.set_actor(owner.actor().id());
        self.intake.begin(owner);
    }

    /// Sets an entry, or removes it, at the time of the record that asks for
    /// it. `None` when nothing changed.
    ///
    /// # Errors
    /// When the change would be too long; then nothing changed.
    pub fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        time: Timestamp,
    ) -> Result<Option<Made>, ChangeError> {
        let length = key.len() + value.map_or(0, str::len);
        if length > CHANGE_BYTES_MAX / 2 {
            return Err(ChangeError::EntryLength(length));
        }
        if self.get(key)?.as_deref() == value {
            return Ok(None);
        }
        let highest = self.history().operations();
        // One operation, and Automerge gives it the next counter.
        if highest + 1 >= COUNTER_MAX {
            return Err(ChangeError::Counter {
                start: highest + 1,
                end: highest + 2,
                least: highest + 1,
                most: COUNTER_MAX,
            });
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.write(key, value, time)));
        let Ok(written) = written else {
            // Something that counts made the document unfit for writing.
            self.rebuild()?;
            return Err(ChangeError::Panicked);
        };
        let Some(change) = written? else {
            return Ok(None);
        };
        let change = Checked::made(change)?;
        let bytes = change.bytes().clone();
        let mut taken = self.intake.made(change, None)?;
        // The first is the one that was just made.
        taken.counted.remove(0);
        let received = self.apply(taken)?;
        Ok(Some(Made { bytes, received }))
    }

    fn write(
        &mut self,
        key: &str,
        value: Option<&str>,
        time: Timestamp,
    ) -> Result<Option<Change>, ChangeError> {
        let bucket = self.buckets[bucket_of(key)].clone();
        let seconds = i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
        self.doc
            .transact_with::<_, _, AutomergeError, _>(
                |()| CommitOptions::default().with_time(seconds),
                |tx| match value {
                    Some(value) => tx.put(&bucket, key, value),
                    None => tx.delete(&bucket, key),
                },
            )
            .map_err(|failure| failure.error)?;
        Ok(self.doc.get_last_local_change())
    }

    /// Takes in a change that somebody else made, whose signature was looked
    /// at before. What came too early waits.
    ///
    /// # Errors
    /// When the bytes are no change, or one that can't be taken in. Then the
    /// document is as it was.
    pub fn receive(&mut self, bytes: Bytes, author: &Author) -> Result<Received, ChangeError> {
        let change = Checked::new(bytes)?;
        let taken = self.intake.offer(change, Voucher::of(author)?)?;
        self.apply(taken)
    }

    fn apply(&mut self, taken: Taken) -> Result<Received, ChangeError> {
        let mut received = Received {
            counted: taken.counted.len(),
            dropped: taken.dropped,
            ..Received::default()
        };
        for Vouched { change, voucher } in taken.counted {
            let hash = change.hash();
            if self.is_lost(&change) {
                received.spoilt.push(hash);
                self.spoil(hash, change.actor());
                continue;
            }
            // Making the document anew takes as long as its history is, so
            // whoever made that necessary once does not do so again.
            let kept = self.spoilers.contains(&voucher.owner);
            let kept = kept.then(|| self.doc.clone());
            match self.apply_one(change.change()) {
                Some(views) => {
                    let writer = change.actor().is_node();
                    let author = writer.then(|| voucher.owner.node.clone());
                    let entries = views.into_iter().map(|(key, value)| {
                        let author = author.clone();
                        (key, Entry { value, author })
                    });
                    received.views.extend(entries);
                }
                None => {
                    received.spoilt.push(hash);
                    self.spoil(hash, change.actor());
                    self.spoilers.insert(voucher.owner);
                    match kept {
                        Some(before) => self.doc = before,
                        None => self.rebuild()?,
                    }
                }
            }
        }
        Ok(received)
    }

    /// Whether a change belongs to what Automerge can't apply.
    fn is_lost(&self, change: &Checked) -> bool {
        let mut parents = change.change().deps().iter();
        parents.any(|it| self.spoilt.contains(it)) || self.spoilt_actors.contains(&change.actor())
    }

    fn spoil(&mut self, hash: ChangeHash, actor: Actor) {
        self.spoilt.insert(hash);
        self.spoilt_actors.insert(actor);
    }

    /// Applies a change; gives the entries that read otherwise now. `None`:
    /// Automerge can't, and may have left the document in any state.
    fn apply_one(&mut self, change: &Change) -> Option<BTreeMap<String, Option<String>>> {
        // What a panic leaves behind is thrown away.
        let applied = catch_unwind(AssertUnwindSafe(|| {
            let keys = touched::keys(&self.doc, &self.buckets, change);
            let before: Vec<_> = keys.iter().map(|key| self.get(key).ok()).collect();
            self.doc.apply_changes([change.clone()])?;
            let mut views = BTreeMap::new();
            for (key, before) in keys.into_iter().zip(before) {
                let after = self.get(&key)?;
                if before.as_ref() != Some(&after) {
                    views.insert(key, after);
                }
            }
            Ok::<_, ChangeError>(views)
        }));
        applied.ok()?.ok()
    }

    /// Makes the document anew from the changes that count and are not spoilt:
    /// all at once, which is much faster than one by one. Should Automerge not
    /// take them so, then one by one, without the first that it does not take,
    /// until it takes the rest.
    fn rebuild(&mut self) -> Result<(), ChangeError> {
        let skeleton = skeleton(self.topic, self.epoch)?;
        let author = self.doc.get_actor().clone();
        let counted = self.history().changes();
        let counted = counted
            .map(|it| Checked::new(it.bytes.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        self.buckets = skeleton.buckets;
        loop {
            let is_sound = |it: &&Checked| !self.spoilt.contains(&it.hash());
            let sound: Vec<_> = counted.iter().filter(is_sound).collect();
            let empty = || skeleton.document.clone();
            let one_by_one = || {
                sound.iter().try_fold(empty(), |document, change| {
                    applied(document, [change.change()]).ok_or(change.hash())
                })
            };
            match applied(empty(), sound.iter().map(|it| it.change())).map_or_else(one_by_one, Ok) {
                Ok(document) => {
                    self.doc = document.with_actor(author);
                    return Ok(());
                }
                Err(hash) => {
                    self.spoilt.insert(hash);
                    self.spoil_what_follows(&counted);
                }
            }
        }
    }

    /// What builds on spoilt changes is spoilt as well, and what their actors
    /// wrote after them.
    fn spoil_what_follows(&mut self, changes: &[Checked]) {
        self.spoilt_actors.clear();
        for change in changes {
            if self.spoilt.contains(&change.hash()) || self.is_lost(change) {
                self.spoil(change.hash(), change.actor());
            }
        }
    }

    /// An entry; `None` also where something else than a text stands.
    ///
    /// # Errors
    /// When Automerge can't read it.
    pub fn get(&self, key: &str) -> Result<Option<String>, ChangeError> {
        let found = self.doc.get(&self.buckets[bucket_of(key)], key)?;
        Ok(match found {
            Some((Value::Object(ObjType::Text), text)) => Some(self.doc.text(text)?),
            Some((value, _)) => value.into_string().ok(),
            None => None,
        })
    }

    /// All entries that are texts, by key.
    ///
    /// # Errors
    /// When Automerge can't read one.
    pub fn entries(&self) -> Result<BTreeMap<String, String>, ChangeError> {
        let mut entries = BTreeMap::new();
        for bucket in &self.buckets {
            for key in self.doc.keys(bucket) {
                if let Some(value) = self.get(&key)? {
                    entries.insert(key, value);
                }
            }
        }
        Ok(entries)
    }

    /// The document as a client has it, before it writes.
    #[cfg(test)]
    pub(crate) fn of_client(&self) -> Automerge {
        self.doc
            .clone()
            .with_actor(automerge::ActorId::from([7; 16]))
    }

    /// The document's version: equal heads mean equal documents. (Saved bytes
    /// do not: they depend on the order in which changes came.)
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.doc.get_heads();
        heads.sort();
        heads
    }
}

/// A document with more changes; `None` when Automerge refuses them or panics.
pub(crate) fn applied<'a>(
    mut document: Automerge,
    changes: impl IntoIterator<Item = &'a Change>,
) -> Option<Automerge> {
    let changes: Vec<_> = changes.into_iter().cloned().collect();
    catch_unwind(AssertUnwindSafe(move || {
        document.apply_changes(changes).ok()?;
        Some(document)
    }))
    .ok()?
}

/// The bucket of a key.
pub(crate) fn bucket_of(key: &str) -> usize {
    usize::from(blake3::hash(key.as_bytes()).as_bytes()[0])
}
