//! Sessions between nodes: seeded runs over connections that break, nodes that
//! crash, lose their tails and come back, and peers that lie.


mod node;

mod random;

mod schedules;
mod world;
