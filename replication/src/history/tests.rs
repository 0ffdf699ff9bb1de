use automerge::{ActorId, Automerge, ROOT, transaction::Transactable as _};

use super::*;

/// Changes of actors 1 to 3 in turn, each on all before it.
fn history(count: u8) -> (History<u8>, Vec<Checked>) {
    let mut document = Automerge::new();
    let (mut history, mut changes) = (History::default(), Vec::new());
    for turn in 0..count {
        document.set_actor(ActorId::from([turn % 3 + 1; 16]));
        let mut transaction = document.transaction();
        transaction.put(ROOT, "k", u64::from(turn)).unwrap();
        transaction.commit();
        let change = Checked::made(document.get_last_local_change().unwrap()).unwrap();
        assert_eq!(history.push(&change, turn), Ok(u32::from(turn)));
        changes.push(change);
    }
    (history, changes)
}

#[test]
fn what_is_missing_comes_in_order_and_in_pages() {
    let (history, _) = history(9);
    let missing = |there: &[(u8, u64)], bytes| {
        let there = there.iter().map(|(by, upto)| (Actor([*by; 16]), *upto));
        let (found, rest) = history.missing(&there.collect(), bytes);
        let places: Vec<_> = found.iter().map(|it| u32::from(*it.note)).collect();
        let rest = rest.map(|rest| rest.into_iter().map(|(by, upto)| (by.0[0], upto)));
        (places, rest.map(Vec::from_iter))
    };
    assert_eq!(missing(&[], usize::MAX).0, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(missing(&[(1, 3), (2, 1)], usize::MAX).0, [2, 4, 5, 7, 8]);
    // One at least, and where to go on.
    let first = missing(&[(1, 3), (2, 1)], 1);
    assert_eq!(first, (vec![2], Some(vec![(1, 3), (2, 1), (3, 1)])));
    let second = missing(&first.1.unwrap(), 1);
    assert_eq!(second, (vec![4], Some(vec![(1, 3), (2, 2), (3, 1)])));
    assert_eq!(missing(&[(1, 3), (2, 3), (3, 2)], 1), (vec![8], None));
    // Somebody may have more than is here, and of others.
    let all = [(1, 9), (2, u64::MAX), (3, 3), (4, 1)];
    assert_eq!(missing(&all, 1), (vec![], None));
    assert_eq!(
        history.summary(),
        BTreeMap::from([1, 2, 3].map(|it| (Actor([it; 16]), 3)))
    );
}

#[test]
fn only_what_is_next_is_taken() {
    let (whole, changes) = history(6);
    let mut part = History::default();
    for change in &changes[..2] {
        part.push(change, 0).unwrap();
    }
    let known = HistoryError::Known(changes[1].hash());
    assert_eq!(part.push(&changes[1], 0), Err(known));
    // The next of its actor, before what it builds on.
    let missing = HistoryError::Missing(changes[2].hash());
    assert_eq!(part.push(&changes[3], 0), Err(missing));
    let gap = History::default().push(&changes[3], 0);
    assert!(matches!(gap, Err(HistoryError::Number { next: 1, .. })));
    assert_eq!((part.len(), part.heads()), (2, vec![changes[1].hash()]));
    for (place, change) in (2..).zip(&changes[2..]) {
        assert_eq!(part.push(change, 0), Ok(place));
    }
    assert_eq!(part.heads(), whole.heads());
    assert_eq!(part.parents(3), [0, 2], "its actor's last and the head");
    assert_eq!(part.bytes(), whole.bytes());
    let second = part.numbered(&Actor([2; 16]), 2).unwrap();
    assert_eq!(second.hash, changes[4].hash());
    assert_eq!(part.numbered(&Actor([2; 16]), 0), None);
    assert_eq!(part.numbered(&Actor([2; 16]), 3), None);
}

/// Hashes with the same beginning can be made with some effort.
#[test]
fn hashes_that_begin_alike_are_told_apart() {
    let hash = |last| {
        let mut hash = [7; 32];
        hash[31] = last;
        ChangeHash(hash)
    };
    let mut history = History::<()>::default();
    for place in 0..3_u8 {
        history.index(hash(place), u32::from(place));
        history.links.push(Link {
            hash: hash(place),
            bytes: Bytes::new(),
            parents: Parents::Some([].into()),
            operations: 1,
        });
    }
    for place in 0..3_u8 {
        assert_eq!(history.place(&hash(place)), Some(u32::from(place)));
    }
    assert!(!history.contains(&hash(3)));
}
