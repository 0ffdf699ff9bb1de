//! What one change of a client costs a session, by the length of the
//! document's history. `sync_history 1000 100000`

use std::time::{Duration, Instant};

use automerge::{
    ActorId, Automerge, AutomergeError, ObjType, ROOT, ReadDoc,
    sync::{Message, State, SyncDoc},
    transaction::Transactable,
};
use vsm_core::Timestamp;
use vsm_replication::sync::{
    Access, DocumentId, Identity, Input, Limits, MemoryLibrary, Output, Session,
    frame::{Body, Frame},
};

type Failure = Box<dyn std::error::Error>;
const ID: DocumentId = DocumentId([7; 16]);
const ROUNDS: u32 = 200;

fn put(document: &mut Automerge, turn: u32) -> Result<(), AutomergeError> {
    document
        .transact::<_, _, AutomergeError>(|tx| {
            let Some((_, bucket)) = tx.get(ROOT, format!("{}", turn % 256))? else {
                return Ok(());
            };
            tx.put(&bucket, format!("{}", turn / 256 % 64), turn)
        })
        .map(|_| ())
        .map_err(|failure| failure.error)
}

fn frame(message: Message) -> Vec<u8> {
    // From the client's side; the target is the server.
    Frame::sync("client", "server", ID.to_string(), message.encode())
}

fn join() -> Vec<u8> {
    // {"type": "join", "senderId": "client"}
    let mut bytes = vec![0xa2, 0x64];
    bytes.extend(b"type\x64join\x68senderId\x66client");
    bytes
}

fn main() -> Result<(), Failure> {
    for length in std::env::args().skip(1) {
        measure(length.parse()?)?;
    }
    Ok(())
}

/// The middle of what was measured: a pause of the machine is not a cost.
fn middle(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

fn measure(length: u32) -> Result<(), Failure> {
    let mut document = Automerge::new().with_actor(ActorId::from([0xee; 16]));
    document
        .transact::<_, _, AutomergeError>(|tx| {
            (0..256).try_for_each(|it| {
                tx.put_object(ROOT, format!("{it}"), ObjType::Map)
                    .map(|_| ())
            })
        })
        .map_err(|failure| failure.error)?;
    for turn in 0..length {
        put(&mut document, turn)?;
    }
    let mut library = MemoryLibrary::default();
    library.insert(ID, document)?;
    library.grant("p", ID, Access::Write);
    let identity = Identity {
        peer: "server".into(),
        storage: "s".into(),
    };
    let mut session = Session::new(Timestamp(0), identity, "p", Limits::default());
    let (mut client, mut state) = (Automerge::new(), State::new());
    let (mut logging, mut telling) = (Vec::new(), Vec::new());
    let mut frames = vec![join()];
    let begin = Instant::now();
    let mut first = Duration::ZERO;
    for turn in 0..=ROUNDS {
        if turn == 1 {
            first = begin.elapsed();
            (logging, telling) = (Vec::new(), Vec::new());
        }
        if turn > 0 {
            put(&mut client, turn + (1 << 30))?;
        }
        frames.extend(client.generate_sync_message(&mut state).map(frame));
        while !frames.is_empty() {
            let mut out = Vec::new();
            let start = Instant::now();
            let said = frames.len();
            for bytes in frames.drain(..) {
                session.handle(Timestamp(0), Input::Frame(bytes), &mut library, &mut out);
            }
            let took = start.elapsed();
            let is_change = |it: &Output| matches!(it, Output::Log { .. });
            if said == 1 && out.iter().any(is_change) {
                logging.push(took);
            }
            let mut answers = Vec::new();
            for output in out {
                match output {
                    Output::Log { document, changes } => {
                        for change in changes {
                            library.apply(&document, &change.bytes)?;
                        }
                        let start = Instant::now();
                        let changed = Input::Changed(document);
                        session.handle(Timestamp(0), changed, &mut library, &mut answers);
                        telling.push(start.elapsed());
                    }
                    other => answers.push(other),
                }
            }
            for answer in answers {
                let Output::Send(bytes) = answer else {
                    continue;
                };
                if let Ok(Frame {
                    body: Body::Sync { data, .. },
                    ..
                }) = Frame::decode(&bytes)
                {
                    client.receive_sync_message(&mut state, Message::decode(&data)?)?;
                    frames.extend(client.generate_sync_message(&mut state).map(frame));
                }
            }
        }
    }
    let own = library.document(&ID).map(Automerge::get_heads);
    assert_eq!(own, Some(client.get_heads()), "they converged");
    let head = client.get_heads()[0];
    let document = library.document(&ID).ok_or("the document is gone")?;
    let start = Instant::now();
    let bytes = document
        .get_change_by_hash(&head)
        .map(|it| it.raw_bytes().len());
    let reading = start.elapsed();
    let start = Instant::now();
    let fork = client.fork();
    println!(
        "{length} changes: all to a new client {first:.1?}; a change: to the log {:.1?}, \
         after it {:.1?}; Automerge gives one back ({bytes:?} bytes) {reading:.1?}; a fork {:.1?}",
        middle(logging),
        middle(telling),
        start.elapsed(),
    );
    drop(fork);
    Ok(())
}
