//! Sessions between nodes: seeded runs over connections that break, nodes that
//! crash, lose their tails and come back, and peers that lie.


mod hostile;
mod node;
mod pair;

mod random;

mod rules;
mod schedules;
mod world;
