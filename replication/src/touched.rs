//! Which entries a change may make read otherwise.
//!
//! A change names the objects that it writes by the operation that made them.
//! Those of nodes write into buckets; other clients' may also write into a
//! text that an entry is.

use std::collections::BTreeSet;

use automerge::{
    Automerge, Change, ObjId, Prop, ReadDoc,
    legacy::{Key, ObjectId, OpId},
};

use crate::document::bucket_of;

/// The keys of entries that `change`, which `doc` does not have yet, writes to.
pub(crate) fn keys(doc: &Automerge, buckets: &[ObjId], change: &Change) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    // Operations on one object stand together.
    let mut last: Option<(ObjectId, Place)> = None;
    for operation in change.decode().operations {
        let place = match &last {
            Some((object, place)) if *object == operation.obj => place.clone(),
            _ => place(doc, buckets, &operation.obj),
        };
        match (&place, &operation.key) {
            // What stands in another bucket than its own is never read.
            (Place::Bucket(bucket), Key::Map(key)) if bucket_of(key) == *bucket => {
                keys.insert(key.to_string());
            }
            (Place::Within(key), _) => {
                keys.insert(key.clone());
            }
            _ => {}
        }
        last = Some((operation.obj, place));
    }
    keys
}

#[derive(Clone)]
enum Place {
    /// One of the buckets.
    Bucket(usize),
    /// Inside an entry.
    Within(String),
    /// Nowhere that is read; also what the change itself makes, whose entry it
    /// writes as well.
    Elsewhere,
}

fn place(doc: &Automerge, buckets: &[ObjId], object: &ObjectId) -> Place {
    let ObjectId::Id(OpId(counter, actor)) = object else {
        return Place::Elsewhere;
    };
    let Ok((id, _)) = doc.import(&format!("{counter}@{actor}")) else {
        return Place::Elsewhere;
    };
    if let Some(bucket) = buckets.iter().position(|it| *it == id) {
        return Place::Bucket(bucket);
    }
    let Ok(mut parents) = doc.parents(&id) else {
        return Place::Elsewhere;
    };
    parents
        .find_map(|parent| match parent.prop {
            Prop::Map(key) if buckets.contains(&parent.obj) => Some(Place::Within(key)),
            _ => None,
        })
        .unwrap_or(Place::Elsewhere)
}
