//! Connections that stall, and many of them.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Founder, SOON, other};

/// The beginning of a ClientHello that never ends.
const HALF: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_nodes_are_served_while_a_flood_of_handshakes_stalls() {
    let founder = Founder::with(|config| {
        config.api.tls.handshakes_max = 16;
        config.api.tls.handshake_ms = 600_000;
    })
    .await;
    let address = founder.address();
    let authority = founder.authority();
    let honest = other("node-2", &authority, &authority, (-1, 1));
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(HALF).await.unwrap();
        flood.push(stream);
    }
    // And it goes on while they come.
    let mut attackers = JoinSet::new();
    for _ in 0..4 {
        let address = address.clone();
        attackers.spawn(async move {
            let mut held = std::collections::VecDeque::new();
            loop {
                if let Ok(mut stream) = TcpStream::connect(&address).await {
                    let _ = stream.write_all(HALF).await;
                    held.push_back(stream);
                }
                if held.len() > 50 {
                    held.pop_front();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    for _ in 0..20 {
        tokio::time::timeout(SOON, honest.list(&address))
            .await
            .unwrap()
            .unwrap();
    }
    attackers.shutdown().await;
    // The oldest gave way: their connections are closed, long before their time.
    let mut first = flood.swap_remove(0);
    let read = tokio::time::timeout(SOON, first.read(&mut [0])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_its_time_and_no_more() {
    let founder = Founder::with(|config| config.api.tls.handshake_ms = 300).await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(founder.address()).await.unwrap();
    stream.write_all(HALF).await.unwrap();
    let read = tokio::time::timeout(SOON, stream.read(&mut [0])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_instead_of_a_handshake_stops_the_node() {
    let founder = Founder::start().await;
    let address = founder.address();
    let mut seed = 0x5eed_u64;
    for round in 0_usize..300 {
        let mut bytes = vec![0x16, 3, 1];
        for _ in 0..round {
            // xorshift64 (Marsaglia 2003).
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(seed.to_le_bytes()[0]);
        }
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
    }
    let authority = founder.authority();
    let honest = other("node-2", &authority, &authority, (-1, 1));
    honest.list(&address).await.unwrap();
    founder.stop().await;
}
