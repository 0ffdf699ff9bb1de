//! Clients with Automerge's own sync states and sessions converge, whatever
//! the order of deliveries, losses of connections, and delays of the log.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use proptest::prelude::*;
use support::{Client, ID, Server, heads};
use vsm_replication::sync::{Access, Input};

const CLIENTS: usize = 3;
/// The last client may only read.
const READER: usize = CLIENTS - 1;

#[derive(Clone, Debug)]
enum Step {
    ClientEdits(usize, u64),
    ServerEdits(u64),
    ToServer(usize),
    ToClient(usize),
    Commit,
    Reconnect {
        client: usize,
        remembers: bool,
    },
    /// Every session is lost, and what waited for the log with them.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), any::<u64>()).prop_map(|(it, seed)| Step::ClientEdits(it, seed)),
        2 => any::<u64>().prop_map(Step::ServerEdits),
        6 => client.clone().prop_map(Step::ToServer),
        6 => client.clone().prop_map(Step::ToClient),
        4 => Just(Step::Commit),
        1 => (client, any::<bool>())
            .prop_map(|(client, remembers)| Step::Reconnect { client, remembers }),
        1 => Just(Step::Restart),
    ]
}

struct World {
    server: Server,
    clients: Vec<Client>,
    frames: usize,
}

fn access(client: usize) -> Access {
    if client == READER {
        Access::Read
    } else {
        Access::Write
    }
}

impl World {
    fn new(part_bytes_max: usize) -> Self {
        let mut server = Server::new(CLIENTS);
        server.limits.part_bytes_max = part_bytes_max;
        server.limits.parts_ahead_max = 2;
        let mut world = Self {
            server,
            clients: (0..CLIENTS).map(Client::new).collect(),
            frames: 0,
        };
        for client in 0..CLIENTS {
            world.reconnect(client, false);
        }
        world
    }

    fn reconnect(&mut self, client: usize, remembers: bool) {
        self.server.connect(client, access(client));
        self.clients[client].connect(remembers);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::ClientEdits(client, seed) => {
                self.clients[client].edit(seed);
                self.clients[client].generate();
            }
            Step::ServerEdits(seed) => self.server.edit(seed),
            Step::ToServer(client) => {
                if let Some(frame) = self.clients[client].outbox.pop_front() {
                    self.frames += 1;
                    self.server.input(client, Input::Frame(frame));
                }
            }
            Step::ToClient(client) => {
                if let Some(frame) = self.server.outboxes[client].pop_front() {
                    self.frames += 1;
                    self.clients[client].receive(&frame);
                }
            }
            Step::Commit => self.server.commit(),
            Step::Reconnect { client, remembers } => self.reconnect(client, remembers),
            Step::Restart => {
                self.server.log.clear();
                for client in 0..CLIENTS {
                    self.reconnect(client, true);
                }
            }
        }
    }

    /// Delivers everything until nobody has anything to say.
    fn settle(&mut self) {
        self.frames = 0;
        while !self.server.log.is_empty()
            || self.server.outboxes.iter().any(|it| !it.is_empty())
            || self.clients.iter().any(|it| !it.outbox.is_empty())
        {
            for client in 0..CLIENTS {
                self.step(Step::ToServer(client));
                self.step(Step::ToClient(client));
            }
            self.step(Step::Commit);
            assert!(self.frames < 2_000, "they talk for ever");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn clients_and_server_converge(
        steps in prop::collection::vec(step(), 1..120),
        part in prop_oneof![Just(200_usize), Just(256 << 10)],
    ) {
        let mut world = World::new(part);
        for step in steps {
            world.step(step);
        }
        for client in 0..CLIENTS {
            world.reconnect(client, client == 0);
        }
        world.settle();
        prop_assert!(world.server.closed.is_empty(), "{:?}", world.server.closed);
        let server = world.server.heads();
        for client in 0..READER {
            prop_assert_eq!(heads(&world.clients[client].document), server.clone());
        }
        // The reader has everything, and nothing of it is here.
        let reader = &world.clients[READER].document;
        let document = world.server.library.document(&ID).unwrap();
        for change in document.get_changes(&[]) {
            prop_assert!(reader.get_change_meta_by_hash(&change.hash()).is_some());
            prop_assert_ne!(change.actor_id(), reader.get_actor());
        }
        prop_assert!(world.server.refused.is_empty(), "a reader isn't asked for changes");
    }
}

/// A client that knows more than a server that lost its log's tail: the
/// server asks again, and gets back what it lost.
#[test]
fn what_the_server_lost_comes_back() {
    let mut world = World::new(1 << 20);
    world.settle();
    for seed in 0..20 {
        world.step(Step::ClientEdits(0, seed));
    }
    world.settle();
    let whole = world.server.heads();
    let mut fresh = Server::new(CLIENTS);
    std::mem::swap(&mut world.server, &mut fresh);
    world.reconnect(0, true);
    world.reconnect(1, true);
    world.reconnect(READER, true);
    world.settle();
    assert_eq!(world.server.heads(), whole);
}
