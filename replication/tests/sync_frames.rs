//! Frames as the stock client writes them, and as nobody should.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use vsm_replication::sync::{
    Ephemeral,
    frame::{Body, Frame, FrameError},
};

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
        .collect()
}

/// Frames as the stock client 2.5.6 writes them.
#[test]
fn the_stock_clients_frames_are_read() {
    let read = |hexadecimal| Frame::decode(&bytes(hexadecimal)).unwrap();
    let join = read(
        "b900046474797065646a6f696e6873656e646572496468636c69656e742d316c706565724d657461\
         64617461b900026973746f726167654964f76b6973457068656d6572616cf57819737570706f7274\
         656450726f746f636f6c56657273696f6e73816131",
    );
    assert_eq!((join.sender.as_str(), join.target), ("client-1", None));
    let versions = Some(vec!["1".to_owned()]);
    assert_eq!(join.body, Body::Join { versions });

    let gossip = read(
        "b900056474797065781a72656d6f74652d737562736372697074696f6e2d6368616e676568746172\
         676574496466736572766572636164648161736672656d6f7665f76873656e646572496468636c69\
         656e742d31",
    );
    assert_eq!(gossip.body, Body::Gossip);

    let request = read(
        "b9000564747970656772657175657374687461726765744964667365727665726a646f63756d656e\
         744964781b31324875714c6a48336b4d67777a5a564a656764794b44474e7a7364646174614a4200\
         00010000000202846873656e646572496468636c69656e742d31",
    );
    assert_eq!(request.target.as_deref(), Some("server"));
    let Body::Sync {
        request,
        document,
        data,
    } = request.body
    else {
        panic!("a request is a sync message");
    };
    assert!(request);
    assert_eq!(document, "12HuqLjH3kMgwzZVJegdyKDGNzs");
    assert_eq!(data, bytes("42000001000000020284"));

    let ephemeral = read(
        "b90007647479706569657068656d6572616c687461726765744964667365727665726a646f63756d\
         656e744964781c3377343454626b466854716b683268774270366a64724258384168586464617461\
         46b9000161780165636f756e74016973657373696f6e49646b62633272727374367267666873656e\
         646572496468636c69656e742d31",
    );
    let expected = Ephemeral {
        document: "3w44TbkFhTqkh2hwBp6jdrBX8AhX".into(),
        sender: "client-1".into(),
        session: "bc2rrst6rgf".into(),
        count: 1,
        data: bytes("b90001617801"),
    };
    assert_eq!(ephemeral.body, Body::Ephemeral(expected));
}

#[test]
fn what_is_written_is_read() {
    let message = Ephemeral {
        document: "d".into(),
        sender: "a".into(),
        session: "s".into(),
        count: 7,
        data: vec![1, 2, 3],
    };
    let frame = Frame::decode(&Frame::ephemeral("b", &message)).unwrap();
    assert_eq!(frame.body, Body::Ephemeral(message));
    let frame = Frame::decode(&Frame::sync("a", "b", "d".into(), vec![9])).unwrap();
    assert_eq!(
        (frame.sender.as_str(), frame.target.as_deref()),
        ("a", Some("b"))
    );
    assert!(matches!(frame.body, Body::Sync { request: false, data, .. } if data == [9]));
}

/// Lengths that promise more than there is, endless nesting, and a list of
/// millions: refused without the memory that they ask for.
#[test]
fn hostile_cbor_is_refused() {
    let field = |name: &str, value: &[u8]| {
        let mut frame = vec![0xa1, 0x60 + u8::try_from(name.len()).unwrap()];
        frame.extend(name.bytes());
        frame.extend(value);
        frame
    };
    let mut many = vec![0x9a, 0x00, 0x40, 0x00, 0x00];
    many.extend(std::iter::repeat_n(0x60, 1 << 22));
    for frame in [
        vec![],
        vec![0xff],
        b"not cbor".to_vec(),
        field(
            "data",
            &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        field(
            "type",
            &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        field(
            "other",
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        field("other", &vec![0x81; 1 << 20]),
        field("other", &vec![0xc1; 1 << 20]),
        field("other", &vec![0xa1; 1 << 20]),
        field("data", &vec![0xc1; 1 << 20]),
        field("other", &vec![0x9f; 1 << 20]),
        field("data", &[0x80]),
        field("count", &[0x20]),
        vec![0x81; 1 << 20],
    ] {
        assert!(matches!(
            Frame::decode(&frame),
            Err(FrameError::Malformed(_))
        ));
    }
    let frame = field("supported", &[0x80]);
    assert_eq!(Frame::decode(&frame), Err(FrameError::Type(String::new())));
    let mut frame = vec![0xa1, 0x78, 25];
    frame.extend(b"supportedProtocolVersions");
    frame.extend(&many);
    assert!(matches!(
        Frame::decode(&frame),
        Err(FrameError::Malformed(_))
    ));
    let mut frame = Frame::peer("a", "b", "c");
    frame.push(0);
    assert_eq!(Frame::decode(&frame), Err(FrameError::Trailing));
}
