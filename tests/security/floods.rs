//! Clients that take more than their share: slow ones, many, and those that open and give up.

use std::process::Command;

use tonic::Code;
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant::{Delta, Sotw};

use super::certificates::Ca;
use super::common::bridge::{Address, program, run};
use super::common::xds::Client;
use super::common::{free_port, wait_until};
use super::raw::{Raw, goaway};
use super::{Home, SOON, receives};

/// HTTP/2's ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

fn tcp(port: u16) -> Address {
    Address::Tcp(port)
}

#[test]
fn clients_that_say_nothing_are_sent_away_and_hold_nobody_up() {
    let home = Home::new();
    let daemon = home.serve(&["--listen", "127.0.0.1:0", "--request-deadline", "1s"]);
    let port = daemon.port();
    let mut slow: Vec<Raw> = (0..40).map(|_| Raw::silent(port)).collect();
    for (at, raw) in slow.iter_mut().enumerate() {
        // Nothing, a part of the preface, the preface alone, and headers without an end.
        match at % 4 {
            0 => {}
            1 => assert!(raw.write(b"PRI * HTTP/2.0\r\n")),
            2 => *raw = Raw::connect(port),
            _ => {
                *raw = Raw::connect(port);
                assert!(raw.open_with(1, 3, true));
            }
        }
    }
    daemon.serves(&tcp(port));
    for raw in &mut slow {
        raw.expect_close();
    }
    // A stream is opened, and nothing is asked on it.
    let client = Client::try_connect(&tcp(port), None).expect("it accepts connections");
    for variant in [Delta, Sotw] {
        let status = client.ads(variant).expect_end();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    // One that has asked may be silent from then on.
    let mut stream = client.ads(Delta);
    receives(&mut stream, "a");
    let status = client.ads(Delta).expect_end();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    stream.expect_silence();
}

/// Whether a client has its stream: who is turned away has been accepted all the same.
fn is_let_in(address: &Address) -> bool {
    Client::try_connect(address, None).is_ok_and(|client| client.open(Delta, None).is_ok())
}

#[test]
fn handshakes_that_do_not_end_hold_nobody_up_and_are_cut() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    let server = ca.server();
    home.put("server.crt", &server.certificate);
    home.put("server.key", &server.key);
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
    let daemon = home.serve(&[&["--listen", "127.0.0.1:0", "--handshake-deadline", "2s"], &tls[..]].concat());
    let mut slow: Vec<Raw> = (0..100).map(|_| Raw::silent(daemon.port())).collect();
    slow.iter_mut().step_by(2).for_each(|raw| assert!(raw.write(&[22, 3, 1, 1])));
    let client = Client::try_connect(&daemon.address(), Some(ca.client(None))).expect("others shake hands");
    receives(&mut client.ads(Delta), "a");
    for raw in &mut slow {
        raw.expect_close();
    }
    assert_eq!(daemon.lines("no TLS within").len(), 1, "one line for all of them");
}

#[test]
fn a_flood_of_connections_is_turned_away_and_leaves_room_for_others() {
    let home = Home::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let most = ["--max-connections", "30", "--max-connections-per-client", "20", "--admin", &admin];
    let daemon = home.serve(&[&["--listen", "127.0.0.1:0", "--listen", "unix:x.sock"], &most[..]].concat());
    let [tcp, unix] = &daemon.addresses()[..] else { panic!("two addresses") };
    let client = Client::try_connect(tcp, None).expect("the first of all");
    let mut stream = client.ads(Delta);
    receives(&mut stream, "a");
    let mut flood: Vec<Raw> = (0..200).map(|_| Raw::silent(daemon.port())).collect();
    // The first nineteen have a seat beside the client, all others are closed at once.
    let kept: Vec<Raw> = flood.drain(..19).collect();
    flood.iter_mut().for_each(|raw| assert_eq!(raw.expect_close(), [0u8; 0]));
    daemon.serves(unix);
    let reload = run(["reload", "--admin", &admin]);
    assert!(reload.status.success(), "who looks into it: {}", String::from_utf8_lossy(&reload.stderr));
    stream.expect_silence();
    assert_eq!(daemon.lines("connections are turned away").len(), 1, "one line a minute");
    drop((flood, kept));
    wait_until(SOON, "the seats to be free again", || is_let_in(tcp));
    daemon.serves(tcp);
}

#[test]
fn more_streams_than_there_may_be_are_refused_with_a_status() {
    let home = Home::new();
    let most = ["--max-streams", "30", "--max-streams-per-connection", "20"];
    let daemon = home.serve(&[&["--listen", "127.0.0.1:0"], &most[..]].concat());
    let clients = [(); 2].map(|()| Client::try_connect(&daemon.address(), None).expect("it accepts"));
    let streams: Vec<_> = (0..30)
        .map(|at| {
            let mut stream = clients[at / 20].ads(Delta);
            receives(&mut stream, "a");
            stream
        })
        .collect();
    let status = clients[1].open(Delta, None).err().map(|status| status.code());
    assert_eq!(status, Some(Code::ResourceExhausted));
    assert_eq!(daemon.lines("a client was refused a stream").len(), 1);
    // More than one connection may have are refused by HTTP/2 itself; nothing of the others suffers.
    let mut raw = Raw::connect(daemon.port());
    (0..100).for_each(|at| assert!(raw.open(2 * at + 1)));
    drop(raw);
    drop(streams);
    wait_until(SOON, "streams to be free again", || clients[1].open(Delta, None).is_ok());
}

#[test]
fn by_default_a_connection_has_thousands_of_streams_of_single_resources() {
    const STREAMS: usize = 2_000;
    let home = Home::new();
    let endpoints: String =
        (0..STREAMS).map(|at| format!("- {{ cluster_name: c{at}, endpoints: [] }}\n")).collect();
    home.put("config.d/e.yaml", &format!("endpoints:\n{endpoints}"));
    let daemon = home.serve(&["--listen", "127.0.0.1:0"]);
    let client = Client::try_connect(&daemon.address(), None).expect("it accepts");
    let mut streams: Vec<_> = (0..STREAMS).map(|_| client.single(Delta, Kind::Endpoint)).collect();
    for (at, stream) in streams.iter_mut().enumerate() {
        stream.ask(Kind::Endpoint, &[&format!("c{at}")]);
    }
    for (at, stream) in streams.iter_mut().enumerate() {
        assert_eq!(stream.expect(Kind::Endpoint).says(), [format!("c{at}")]);
    }
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection_and_no_other() {
    let home = Home::new();
    let daemon = home.serve(&["--listen", "127.0.0.1:0"]);
    let client = Client::try_connect(&daemon.address(), None).expect("it accepts");
    let mut stream = client.ads(Delta);
    receives(&mut stream, "a");
    let mut raw = Raw::connect(daemon.port());
    let mut cut = false;
    for at in 0..50_000 {
        cut = !(raw.open(2 * at + 1) && raw.reset(2 * at + 1));
        if cut {
            break;
        }
    }
    let answer = raw.expect_close();
    assert!(cut || goaway(&answer) == Some(CALM), "fifty thousand resets were taken: {:?}", goaway(&answer));
    stream.expect_silence();
    daemon.serves(&daemon.address());
}

#[test]
fn headers_without_measure_are_refused_and_hurt_nobody_else() {
    let home = Home::new();
    let daemon = home.serve(&["--listen", "127.0.0.1:0"]);
    let client = Client::try_connect(&daemon.address(), None).expect("it accepts");
    let mut stream = client.ads(Delta);
    receives(&mut stream, "a");
    let before = daemon.process.memory();
    for endless in [false, true] {
        let mut raw = Raw::connect(daemon.port());
        // Fifty megabytes of headers; what is refused is a stream or the whole connection.
        let all = raw.open_with(1, 50_000, endless);
        let answer = raw.read_some();
        assert!(!all || !answer.is_empty(), "fifty megabytes of headers were taken without a word");
    }
    let after = daemon.process.memory();
    assert!(after < before + (20 << 20), "{before} bytes before, {after} after");
    stream.expect_silence();
    daemon.serves(&daemon.address());
}

#[test]
fn without_file_descriptors_it_goes_on_serving_those_it_has() {
    let home = Home::new();
    let mut command = Command::new("sh");
    let own = program();
    for (name, value) in own.get_envs().filter(|(_, value)| value.is_none()) {
        assert!(value.is_none());
        command.env_remove(name);
    }
    command.env("XDS_BRIDGE_ADMIN", "none").current_dir(home.path());
    let serve = format!("ulimit -n 40; exec {} serve --listen 127.0.0.1:0", own.get_program().display());
    let daemon = home.start(command.args(["-c", &serve]));
    let client = Client::try_connect(&daemon.address(), None).expect("it accepts");
    let mut stream = client.ads(Delta);
    receives(&mut stream, "a");
    let flood: Vec<Raw> = (0..100).map(|_| Raw::silent(daemon.port())).collect();
    home.put("config.d/a.yaml", "clusters: [{ name: a, type: STATIC, connect_timeout: 2s }]\n");
    assert_eq!(stream.take(Kind::Cluster).says(), ["a"], "changes go on to those who are connected");
    drop(flood);
    wait_until(SOON, "room for another", || is_let_in(&daemon.address()));
    let told =
        daemon.lines("cannot accept connections").len() + daemon.lines("connections are turned away").len();
    assert!(daemon.lines("the limit of open files bounds the connections").len() == 1 && told <= 2);
}
