use automerge::{ActorId, ROOT};
use sha2::{Digest as _, Sha256};
use vsm_core::Digest;

use super::*;
use crate::reader::{Reader, write_unsigned};

fn owner() -> Owner {
    Owner {
        node: "a".parse().unwrap(),
        run: Digest([1; 32]),
    }
}

/// An edit of an object that was never made, as a client wrote it that says it
/// builds on `known` alone.
fn poison(document: &Document, known: ChangeHash) -> Bytes {
    let mut client = document.doc.fork().with_actor(ActorId::from([9; 16]));
    let mut transaction = client.transaction();
    let map = transaction.put_object(ROOT, "map", ObjType::Map).unwrap();
    let (made, _) = transaction.commit();
    client.set_actor(ActorId::from([8; 16]));
    let mut transaction = client.transaction();
    transaction.put(&map, "k", "v").unwrap();
    transaction.commit();
    let edit = client.get_last_local_change().unwrap();
    let mut reader = Reader::new(edit.raw_bytes());
    reader.take(9).unwrap();
    let mut contents = reader.prefixed().unwrap().to_vec();
    let made = made.unwrap();
    let at = contents.windows(32).position(|it| it == made.0).unwrap();
    contents[at..at + 32].copy_from_slice(&known.0);
    let mut tail = vec![1];
    write_unsigned(&mut tail, contents.len() as u64);
    tail.extend(contents);
    let mut bytes = edit.raw_bytes()[..4].to_vec();
    bytes.extend(&Sha256::digest(&tail)[..4]);
    bytes.extend(tail);
    bytes.into()
}

/// A document whose changes Automerge does not take all at once finds the one
/// that is to blame by itself.
#[test]
fn a_document_finds_what_spoils_it() {
    let mut document = Document::new(Topic::Units, 0, owner()).unwrap();
    let write = |document: &mut Document, value| {
        document
            .set("k", Some(value), Timestamp(1))
            .unwrap()
            .unwrap()
    };
    write(&mut document, "1");
    let known = document.heads()[0];
    let author = Author {
        node: "b".parse().unwrap(),
        run: Digest([2; 32]),
        signature: vec![0; 64],
    };
    let bytes = poison(&document, known);
    let received = document.receive(bytes, &author).unwrap();
    assert_eq!((received.counted, received.spoilt.len()), (1, 1));
    write(&mut document, "2");
    let intake = document.intake.clone();
    let found = Document::restore(Topic::Units, 0, intake, BTreeSet::new()).unwrap();
    assert_eq!(found.spoilt, document.spoilt);
    assert_eq!(found.spoilt_actors, document.spoilt_actors);
    assert_eq!(found.heads(), document.heads());
    assert_eq!(found.entries().unwrap(), document.entries().unwrap());
    assert_eq!(found.get("k").unwrap().as_deref(), Some("2"));
}
