//! A server of the automerge-repo protocol whose transport is its standard
//! input and output, so that any WebSocket server can sit before it.
//!
//! Each item is `connection: u32`, `length: u32` (little endian), bytes. On the
//! way in, length 0 opens a connection, and `u32::MAX` says that it closed. On
//! the way out, length `u32::MAX` asks for it to be closed. Connections with
//! odd numbers may only read. The first line out is the document's URL.
//!
//! Commands come as connection `u32::MAX`: any bytes make the server itself
//! edit; the answer is `u32::MAX` and the document as JSON.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    time::Instant,
};

use automerge::{ActorId, AutoSerde, Automerge, AutomergeError, ROOT, transaction::Transactable};
use vsm_core::{Digest, Timestamp};
use vsm_replication::{
    Topic,
    sync::{
        Access, Directory, DocumentId, Identity, Input, Limits, MemoryLibrary, Output, Session,
    },
};

const NONE: u32 = u32::MAX;

fn word(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn item(output: &mut impl Write, connection: u32, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&connection.to_le_bytes())?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(bytes)
}

/// The server's own change, and the document with it as JSON.
fn edit(library: &mut MemoryLibrary, id: &DocumentId, now: Timestamp) -> io::Result<String> {
    let missing = || io::Error::other("the document is gone");
    let mut fork = library.document(id).ok_or_else(missing)?.fork();
    fork.transact::<_, _, AutomergeError>(|tx| tx.put(ROOT, format!("server-{}", now.0), true))
        .map_err(|failure| io::Error::other(failure.error))?;
    let change = fork.get_last_local_change().ok_or_else(missing)?;
    library
        .apply(id, change.raw_bytes())
        .map_err(io::Error::other)?;
    serde_json::to_string(&AutoSerde::from(&fork)).map_err(io::Error::other)
}

fn main() -> io::Result<()> {
    let id = Directory::new(Digest([1; 32])).insert(Topic::Policy, 0);
    let mut document = Automerge::new().with_actor(ActorId::from([0xee; 16]));
    document
        .transact::<_, _, AutomergeError>(|tx| tx.put(ROOT, "by", "server"))
        .map_err(|failure| io::Error::other(failure.error))?;
    let mut library = MemoryLibrary::default();
    library.insert(id, document).map_err(io::Error::other)?;

    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    writeln!(output, "{}", id.url())?;
    output.flush()?;
    let start = Instant::now();
    let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
    while let Ok(connection) = word(&mut input) {
        let now = Timestamp(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        let length = word(&mut input)?;
        let mut inputs = Vec::new();
        if connection != NONE && length == 0 {
            let principal = connection.to_string();
            let access = if connection % 2 == 0 {
                Access::Write
            } else {
                Access::Read
            };
            library.grant(&principal, id, access);
            let identity = Identity {
                peer: "vsm".into(),
                storage: "log-1".into(),
            };
            let session = Session::new(now, identity, &principal, Limits::default());
            sessions.insert(connection, session);
        } else if length == NONE {
            sessions.remove(&connection);
        } else {
            let mut bytes = vec![0; length as usize];
            input.read_exact(&mut bytes)?;
            if connection == NONE {
                let text = edit(&mut library, &id, now)?;
                inputs.extend(sessions.keys().map(|it| (*it, Input::Changed(id))));
                item(&mut output, NONE, text.as_bytes())?;
            } else {
                inputs.push((connection, Input::Frame(bytes)));
            }
        }
        let connections: Vec<u32> = sessions.keys().copied().collect();
        while !inputs.is_empty() {
            for (connection, input) in std::mem::take(&mut inputs) {
                let Some(session) = sessions.get_mut(&connection) else {
                    continue;
                };
                let mut out = Vec::new();
                session.handle(now, input, &mut library, &mut out);
                for effect in out {
                    match effect {
                        Output::Send(frame) => item(&mut output, connection, &frame)?,
                        Output::Log { document, changes } => {
                            for change in changes {
                                library
                                    .apply(&document, &change.bytes)
                                    .map_err(io::Error::other)?;
                            }
                            let changed = Input::Changed(document);
                            inputs.extend(connections.iter().map(|it| (*it, changed.clone())));
                        }
                        Output::Relay(message) => inputs.extend(
                            connections
                                .iter()
                                .filter(|other| **other != connection)
                                .map(|other| (*other, Input::Relayed(message.clone()))),
                        ),
                        Output::Close(reason) => {
                            eprintln!("connection {connection}: {reason}");
                            output.write_all(&connection.to_le_bytes())?;
                            output.write_all(&NONE.to_le_bytes())?;
                        }
                        Output::Refused { document, reason } => {
                            eprintln!("connection {connection}: {document}: {reason}");
                        }
                        Output::Joined(_) => {}
                    }
                }
            }
        }
        output.flush()?;
    }
    Ok(())
}
