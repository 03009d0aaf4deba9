//! Holds that `proto/xds_bridge/control` says what the daemon does: a message that our code writes reads by
//! that file as what `/status` shows of it, field by field.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use serde_json::json;
use xds_bridge::admin::{
    Bridge, Change, Client, Entry, Finding, Fragment, Refused, Serving, Status, Stream, Summary, Type,
    Version,
};
use xds_bridge::app::{HistoryResponse, ReloadResponse};

fn pool() -> DescriptorPool {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let set = protox::compile(["xds_bridge/control/v1/control.proto"], [root]).expect("the file is right");
    DescriptorPool::from_file_descriptor_set(set).expect("it stands alone")
}

/// A message as JSON with all fields, those with default values as well.
fn shown(message: &DynamicMessage) -> serde_json::Value {
    let descriptor = message.descriptor();
    let field = |field: prost_reflect::FieldDescriptor| {
        (field.name().to_owned(), value(&message.get_field(&field), message.has_field(&field)))
    };
    serde_json::Value::Object(descriptor.fields().map(field).collect())
}

fn value(of: &Value, is_set: bool) -> serde_json::Value {
    match of {
        Value::Bool(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Message(_) if !is_set => json!(null),
        Value::Message(message) => shown(message),
        Value::List(list) => list.iter().map(|one| value(one, true)).collect(),
        Value::Map(map) => {
            let entry = |(key, of): (&prost_reflect::MapKey, &Value)| {
                (key.as_str().expect("names").to_owned(), value(of, true))
            };
            serde_json::Value::Object(map.iter().map(entry).collect())
        }
        other => panic!("the API has no {other:?}"),
    }
}

#[track_caller]
fn agrees<M: Message + serde::Serialize>(name: &str, message: &M) {
    let descriptor =
        pool().get_message_by_name(&format!("xds_bridge.control.v1.{name}")).expect("it is there");
    let read = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("it reads");
    assert_eq!(shown(&read), serde_json::to_value(message).expect("JSON"));
}

fn text(of: &str) -> Vec<String> {
    vec![of.to_owned(), format!("{of} 2")]
}

fn client() -> Client {
    let version = |version: &str| Some(Version { version: version.into(), at: "t".into(), age_seconds: 3 });
    let refused = Refused {
        name: "r".into(),
        version: "v".into(),
        at: text("f:1"),
        message: "m".into(),
        since: "s".into(),
        age_seconds: 4,
    };
    let of = Type {
        kind: "clusters".into(),
        wildcard: true,
        names: 5,
        sent: version("1"),
        acknowledged: None,
        rejected: version("3"),
        behind: 6,
        behind_names: text("b"),
        refused: vec![refused],
        contested: text("c"),
        pending: true,
        missing: text("m"),
    };
    let stream = Stream {
        id: 7,
        peer: "p".into(),
        variant: "delta".into(),
        service: "ads".into(),
        since: "s".into(),
        age_seconds: 8,
        types: vec![of, Type::default()],
    };
    Client {
        node_id: "n".into(),
        node_cluster: "c".into(),
        agent: "a".into(),
        address: "h".into(),
        identity: "i".into(),
        state: "behind".into(),
        why: text("w"),
        streams: vec![stream],
    }
}

const SUMMARY: Summary = Summary { clients: 1, in_sync: 2, behind: 3, refused: 4, streams: 5, left_out: 6 };

fn finding() -> Finding {
    Finding {
        severity: "error".into(),
        code: "c".into(),
        file: "f".into(),
        line: 1,
        column: 2,
        path: "p".into(),
        message: "m".into(),
        hint: "h".into(),
    }
}

#[test]
fn the_status_reads_by_the_published_file() {
    let fragment = Fragment {
        path: "p".into(),
        state: "stale".into(),
        since: "s".into(),
        age_seconds: 1,
        why: "w".into(),
        findings: vec![finding()],
    };
    let counts = |name: &str| [(name.to_owned(), 9)].into();
    let serving = Serving {
        ready: true,
        problems: text("p"),
        generation: 2,
        published: "t".into(),
        resources: counts("r"),
        files: counts("f"),
        findings: counts("n"),
    };
    let bridge = Bridge {
        version: "v".into(),
        pid: 3,
        started: "t".into(),
        listen: text("l"),
        config_dirs: text("d"),
    };
    let status = Status {
        schema_version: 1,
        at: "t".into(),
        bridge,
        serving,
        summary: SUMMARY,
        fragments: vec![fragment],
        warnings: vec![finding()],
        clients: vec![client()],
    };
    agrees("Status", &status);
}

#[test]
fn outcomes_read_by_the_published_file() {
    let change = Change { change: "added".into(), kind: "clusters".into(), name: "n".into() };
    let entry = Entry {
        at: "t".into(),
        outcome: "published".into(),
        generation: 1,
        added: 2,
        changed: 3,
        removed: 4,
        changes: vec![change],
        files: text("f"),
        file_count: 5,
        why: text("w"),
        took_micros: 6,
    };
    agrees("HistoryResponse", &HistoryResponse { entries: vec![entry] });
    let reload = ReloadResponse {
        generation: 1,
        added: 2,
        changed: 3,
        removed: 4,
        held: text("h"),
        problems: text("p"),
        summary: Some(SUMMARY),
        clients: vec![client()],
        findings: vec![finding()],
    };
    agrees("ReloadResponse", &reload);
}
