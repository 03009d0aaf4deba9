//! A glance at what the daemon serves, without an Envoy: one delta stream, one answer.
//!
//! Comes in: where it listens, a type, a node id. Goes out: the names and bytes that a new client
//! with that id is given, or nothing while the daemon does not answer.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Status, client};

use super::bridge::Address;

/// A daemon that has something to say says it at once; this is for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that waits for a first good load says nothing in this time either.
const SILENCE: Duration = Duration::from_millis(500);

pub const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    type_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaResponse {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, optional, tag = "2")]
    resource: Option<prost_types::Any>,
    #[prost(string, tag = "3")]
    name: String,
}

/// What a new client is given of a type, by name; panics if nothing comes.
#[track_caller]
pub fn peek(address: &Address, type_url: &str, node_id: &str) -> BTreeMap<String, Vec<u8>> {
    ask(address, type_url, node_id, PATIENCE)
        .unwrap_or_else(|| panic!("{address} answers nothing to {type_url}"))
}

/// The names of the clusters that a new client is given.
#[track_caller]
pub fn clusters(address: &Address) -> Vec<String> {
    peek(address, CLUSTERS, "peek").into_keys().collect()
}

/// Whether a new client is left without an answer.
pub fn is_silent(address: &Address) -> bool {
    ask(address, CLUSTERS, "peek", SILENCE).is_none()
}

fn ask(address: &Address, type_url: &str, id: &str, patience: Duration) -> Option<BTreeMap<String, Vec<u8>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Address::Tcp(port) = address else { panic!("only TCP is peeked at") };
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a valid address");
    let request = DeltaRequest { node: Some(Node { id: id.to_owned() }), type_url: type_url.to_owned() };
    let answer = async {
        let channel = endpoint.connect().await.expect("the daemon accepts connections");
        let mut grpc = client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
        grpc.ready().await.expect("the connection is there");
        let method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
        let path = http::uri::PathAndQuery::from_static(method);
        // The stream of requests stays open: its end would end the stream of answers.
        let requests = tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
        let answers = grpc.streaming(Request::new(requests), path, Prost::<DeltaResponse>(PhantomData)).await;
        let mut answers = answers.expect("the stream is taken").into_inner();
        answers.message().await.expect("an answer").expect("an answer before the end")
    };
    let answer = runtime.block_on(async { tokio::time::timeout(patience, answer).await }).ok()?;
    let body =
        |resource: &Resource| resource.resource.as_ref().map(|any| any.value.clone()).unwrap_or_default();
    Some(answer.resources.iter().map(|resource| (resource.name.clone(), body(resource))).collect())
}

/// Protobuf messages as gRPC carries them.
struct Prost<Answer>(PhantomData<Answer>);

impl<Answer: Message + Default + 'static> Codec for Prost<Answer> {
    type Encode = DeltaRequest;
    type Decode = Answer;
    type Encoder = Prost<Answer>;
    type Decoder = Prost<Answer>;

    fn encoder(&mut self) -> Self::Encoder {
        Prost(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Prost(PhantomData)
    }
}

impl<Answer> Encoder for Prost<Answer> {
    type Item = DeltaRequest;
    type Error = Status;

    fn encode(&mut self, item: DeltaRequest, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<Answer: Message + Default> Decoder for Prost<Answer> {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        Answer::decode(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
