//! Rule 27: whatever a client sends, at most its own stream ends, with a status that says why.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::common::SOON;
use crate::common::xds::Node;
use tonic::Code;

const ADS_DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const ADS_SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// A daemon and a well-behaved client, whose stream is looked at after each misdeed of another.
struct Bystander {
    world: World,
    stream: Stream,
    content: u32,
}

impl Bystander {
    fn new() -> Bystander {
        Bystander::with_flags(&[])
    }

    fn with_flags(flags: &[&str]) -> Bystander {
        let world = World::with_flags(&[("all.yaml", &one_of_each("a", 1))], flags);
        let mut stream = world.delta();
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster);
        Bystander { world, stream, content: 1 }
    }

    #[track_caller]
    fn goes_on(&mut self) {
        self.content += 1;
        self.world.put("all.yaml", &one_of_each("a", self.content));
        assert_eq!(self.stream.take(Kind::Cluster).says(), ["a"]);
    }
}

#[test]
fn rule_27_an_unknown_type_is_answered_as_empty_once_and_ends_nothing() {
    let mut world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    for variant in [Delta, Sotw] {
        let mut stream = world.client.ads(variant);
        for name in ["nobody.knows.This", "envoy.config.overload.v3.OverloadManager"] {
            let url = format!("type.googleapis.com/{name}");
            stream.send(&url, Ask { subscribe: &["x"], ..Ask::default() });
            let answer = stream.next();
            assert_eq!((answer.type_url.as_str(), answer.says()), (url.as_str(), vec![]));
            stream.ack(&answer);
        }
        // v2 names are unknown, too.
        let v2 = "type.googleapis.com/envoy.api.v2.Cluster";
        stream.send(v2, Ask::default());
        assert_eq!(stream.next().says(), [""; 0]);
        stream.ask(Kind::Cluster, &[]);
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
        stream.expect_silence();
    }
    world.bridge.wait_for_line(0, "nobody.knows.This");
    let log = world.bridge.log();
    assert_eq!(log.lines().filter(|line| line.contains("a type that is not served")).count(), 1, "{log}");
}

#[test]
fn rule_27_types_without_end_cost_nothing() {
    let mut bystander = Bystander::new();
    let mut stream = bystander.world.delta();
    for n in 0..10_000 {
        stream.send(&format!("type.googleapis.com/made.up.Type{n}"), Ask::default());
    }
    stream.send(&"x".repeat(1 << 20), Ask::default());
    stream.ask(Kind::Cluster, &[]);
    let mut foreign = 0;
    while stream.next().type_url != Kind::Cluster.type_url() {
        foreign += 1;
    }
    assert!(foreign <= 16, "{foreign} answers to made-up types");
    bystander.goes_on();
}

#[test]
fn rule_27_a_request_without_or_with_a_foreign_type_ends_that_stream() {
    let mut bystander = Bystander::new();
    for variant in [Delta, Sotw] {
        let mut stream = bystander.world.client.ads(variant);
        stream.send("", Ask::default());
        let end = stream.expect_end();
        assert_eq!(end.code(), Code::InvalidArgument);
        assert!(end.message().contains("type_url"), "{end:?}");
        let mut stream = bystander.world.client.single(variant, Kind::Cluster);
        stream.ask(Kind::Listener, &[]);
        let end = stream.expect_end();
        assert_eq!(end.code(), Code::InvalidArgument);
        assert!(end.message().contains("Cluster") && end.message().contains("Listener"), "{end:?}");
    }
    bystander.goes_on();
}

#[test]
fn rule_27_bytes_that_are_no_request_end_that_stream() {
    let mut bystander = Bystander::new();
    let deep: Vec<u8> = (0..5_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        // `node.metadata` within structs within structs.
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    });
    let cases: [&[u8]; 8] = [
        &[0xff; 64],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x12, 3, 0xff, 0xfe, 0xfd],
        &[0x07],
        &[0x08],
        &[0x1a, 0x80],
        &deep,
    ];
    for (variant, only) in
        [(Delta, None), (Sotw, None), (Delta, Some(Kind::Secret)), (Sotw, Some(Kind::Secret))]
    {
        for case in cases {
            let mut stream = bystander.world.client.open(variant, only).unwrap();
            stream.send_bytes(case.to_vec());
            // Some are valid messages by chance: then nothing is asked for that is not refused.
            let end = stream.expect_end();
            assert_eq!(
                end.code(),
                Code::InvalidArgument,
                "{stream:?} {:?}: {end:?}",
                &case[..case.len().min(16)]
            );
        }
    }
    bystander.goes_on();
}

#[test]
fn rule_27_broken_frames_end_that_call() {
    let mut bystander = Bystander::new();
    let cases: [(&[u8], bool); 7] = [
        // A length that nobody takes.
        (&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3], true),
        // Compressed, without a word on how.
        (&[1, 0, 0, 0, 1, 0], true),
        // A flag that does not exist.
        (&[0x42, 0, 0, 0, 1, 0], true),
        // Less than was announced, and the end.
        (&[0, 0, 0, 0, 9, 1], false),
        (&[0, 0, 0], false),
        // Nothing at all, and the end.
        (&[], false),
        (&[0xff; 1000], true),
    ];
    for path in [ADS_DELTA, ADS_SOTW] {
        for (bytes, open) in cases {
            let client = Client::connect(bystander.world.bridge.address());
            let (status, code) = client.post(path, "application/grpc", bytes, open);
            assert_eq!(status, 200, "{bytes:?}");
            let code = code.unwrap_or_else(|| panic!("{bytes:?} ended without a status"));
            assert_ne!(code, Code::Unknown, "{bytes:?}");
            assert_eq!(code == Code::Ok, bytes.is_empty(), "{bytes:?}: {code:?}");
        }
    }
    bystander.goes_on();
}

#[test]
fn rule_27_what_is_no_http_2_ends_that_connection() {
    let mut bystander = Bystander::new();
    let Address::Tcp(port) = *bystander.world.bridge.address() else { panic!("TCP was asked for") };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frames: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0xff; 4096],
        &[preface.as_slice(), &[0xff; 4096]].concat(),
        &[preface.as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, 4, 8, 0, 0, 0, 0, 7, 0, 0, 0, 0]]
            .concat(),
    ];
    for bytes in frames {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        connection.set_read_timeout(Some(SOON)).unwrap();
        // It may be closed before all is written.
        let _ = connection.write_all(bytes);
        let mut rest = Vec::new();
        match connection.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{:?}", &bytes[..9]),
        }
    }
    bystander.goes_on();
}

#[test]
fn rule_27_a_name_of_a_megabyte_ends_that_stream() {
    let mut bystander = Bystander::new();
    let huge = "n".repeat(1 << 20);
    for (variant, only, kind) in everywhere() {
        let mut stream = bystander.world.client.open(variant, only).unwrap();
        stream.ask(kind, &["a", &huge]);
        let end = stream.expect_end();
        assert_eq!(end.code(), Code::InvalidArgument, "{stream:?}");
        assert!(end.message().len() < 1000, "{} bytes", end.message().len());
    }
    // Where it can do nothing, it does nothing.
    let mut stream = bystander.world.delta();
    stream.resume(Kind::Cluster, &["a"], &[(&huge, &huge)]);
    assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
    bystander.goes_on();
}

#[test]
fn rule_27_many_names_that_do_not_exist_are_each_told() {
    let mut bystander = Bystander::new();
    let names: Vec<String> = (0..50_000).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = bystander.world.delta();
    stream.ask(Kind::Endpoint, &names);
    let mut told = 0;
    while told < names.len() {
        told += stream.take(Kind::Endpoint).removed.len();
    }
    bystander.goes_on();
}

#[test]
fn rule_27_names_asked_for_and_dropped_without_end_do_not_gather() {
    let mut bystander = Bystander::with_flags(&["--ack-deadline", "1h"]);
    let mut stream = bystander.world.delta();
    stream.ask(Kind::Cluster, &["*"]);
    // Never acknowledged: so nothing more is sent, and what is asked for waits.
    stream.expect(Kind::Cluster);
    let before = bystander.world.bridge.memory();
    for round in 0..11 {
        let names: Vec<String> = (0..100_000).map(|n| format!("some-longer-name-{round}-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        stream
            .send(Kind::Cluster.type_url(), Ask { subscribe: &names, unsubscribe: &names, ..Ask::default() });
    }
    // The end of the stream, or a sign that all has been read.
    let mark = "type.googleapis.com/made.up.Mark";
    stream.send(mark, Ask::default());
    match stream.next_within(SOON) {
        Some(Ok(Some(answer))) => assert_eq!(answer.type_url, mark),
        Some(Err(status)) => assert_eq!(status.code(), Code::ResourceExhausted),
        other => panic!("{other:?}"),
    }
    let grown = bystander.world.bridge.memory().saturating_sub(before);
    assert!(grown < 400 << 20, "{grown} bytes more");
    bystander.goes_on();
}

#[test]
fn rule_27_half_closed_and_silent_streams_end_well_or_go_on() {
    let mut bystander = Bystander::new();
    for (variant, only, kind) in everywhere() {
        // No request at all.
        let mut silent = bystander.world.client.open(variant, only).unwrap();
        assert!(silent.next_within(Duration::from_millis(1)).is_none());
        silent.half_close();
        assert_eq!(silent.expect_end().code(), Code::Ok, "{silent:?}");
        // One request, and the end.
        let mut stream = bystander.world.client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        stream.take(kind);
        stream.half_close();
        assert_eq!(stream.expect_end().code(), Code::Ok, "{stream:?}");
    }
    bystander.goes_on();
}

#[test]
fn rule_27_two_thousand_streams_at_once_are_served() {
    let mut bystander = Bystander::new();
    let before = bystander.world.bridge.memory();
    let clients: Vec<Client> = (0..200).map(|_| Client::connect(bystander.world.bridge.address())).collect();
    let mut streams: Vec<Stream> = Vec::new();
    for n in 0..10 {
        for client in &clients {
            let mut stream = client.ads(if n % 2 == 0 { Delta } else { Sotw });
            stream.node = Some(Node::envoy(&format!("n{}", streams.len())));
            stream.ask(Kind::Cluster, &[]);
            stream.ask(Kind::Listener, &[]);
            streams.push(stream);
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
        assert_eq!(stream.take(Kind::Listener).says(), ["a"]);
    }
    bystander.goes_on();
    for stream in &mut streams {
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
        assert_eq!(stream.take(Kind::Listener).says(), ["a"]);
    }
    let grown = bystander.world.bridge.memory().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes for {} streams", streams.len());
}

#[test]
fn rule_27_a_misbehaving_client_gets_one_line_a_minute() {
    let mut bystander = Bystander::new();
    let before = bystander.world.bridge.log().len();
    for n in 0..200 {
        let mut stream = bystander.world.delta();
        match n % 4 {
            0 => stream.send_bytes(vec![0xff; 9]),
            1 => stream.send("", Ask::default()),
            2 => stream.ask(Kind::Cluster, &[&"n".repeat(20_000)]),
            _ => {
                stream.send(&format!("type.googleapis.com/made.up.T{n}"), Ask::default());
                stream.next();
                stream.half_close();
            }
        }
        stream.expect_end();
    }
    bystander.goes_on();
    let log = bystander.world.bridge.log();
    let about =
        |line: &&str| line.contains("a stream was ended") || line.contains("a type that is not served");
    let warnings: Vec<&str> = log[before..].lines().filter(about).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
}

#[test]
fn rule_27_a_client_that_refuses_the_same_again_and_again_does_not_fill_the_log() {
    let mut bystander = Bystander::new();
    let before = bystander.world.bridge.log().len();
    for _ in 0..20 {
        let mut stream = bystander.world.delta();
        stream.ask(Kind::Cluster, &["a"]);
        for _ in 0..10 {
            let answer = stream.expect(Kind::Cluster);
            stream.nack(&answer, "a: no");
            stream.ask(Kind::Cluster, &["a"]);
        }
    }
    bystander.goes_on();
    let log = bystander.world.bridge.log();
    let lines: Vec<&str> = log[before..].lines().filter(|line| line.contains("refused a resource")).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
}
