//! gRPC's own health and reflection on the port for Envoys, asked with gRPC's own clients.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::bridge::{Address, Bridge};
use common::files::put;
use common::{SOON, free_port, wait_until};
use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use xds_bridge::resource::Kind;
use xds_bridge::serve::ADS;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn connect(bridge: &Bridge) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", bridge.address())).expect("an address");
    endpoint.timeout(SOON).connect().await.expect("the daemon accepts connections")
}

async fn health(bridge: &Bridge, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let response = HealthClient::new(connect(bridge).await).check(request).await.expect("a known service");
    response.into_inner().status()
}

#[test]
fn health_is_serving_when_the_first_fragment_is_loaded() {
    let dir = tempfile::tempdir().expect("a folder for temporary files");
    let bridge = Bridge::serve_on(dir.path(), Address::Tcp(free_port()));
    let runtime = runtime();
    assert_eq!(runtime.block_on(health(&bridge, "")), ServingStatus::NotServing);
    assert_eq!(runtime.block_on(health(&bridge, ADS)), ServingStatus::NotServing);
    put(dir.path(), "c.yaml", "clusters:\n- name: c\n");
    for service in ["", ADS, Kind::Cluster.service(), Kind::VirtualHost.service()] {
        wait_until(SOON, &format!("{service:?} to be serving"), || {
            runtime.block_on(health(&bridge, service)) == ServingStatus::Serving
        });
    }
}

async fn ask(bridge: &Bridge, request: MessageRequest) -> ServerReflectionResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(connect(bridge).await);
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("a stream");
    let answer = tokio::time::timeout(Duration::from_secs(10), answers.into_inner().next()).await;
    answer.expect("in time").expect("an answer").expect("no error")
}

fn files_in(answer: ServerReflectionResponse) -> Vec<FileDescriptorProto> {
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("files")
    };
    let files = files.file_descriptor_proto.iter();
    files.map(|file| FileDescriptorProto::decode(file.as_slice()).expect("a file")).collect()
}

#[test]
fn reflection_lists_every_discovery_service_and_describes_its_messages() {
    let bridge = Bridge::serve_on(std::path::Path::new("config.d"), Address::Tcp(free_port()));
    let runtime = runtime();
    let list = runtime.block_on(ask(&bridge, MessageRequest::ListServices(String::new())));
    let Some(MessageResponse::ListServicesResponse(list)) = list.message_response else { panic!("a list") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for service in Kind::ALL.into_iter().map(Kind::service).chain([ADS, "grpc.health.v1.Health"]) {
        assert!(names.contains(&service), "{service} is not in {names:?}");
    }
    let symbol = "envoy.service.discovery.v3.DeltaDiscoveryRequest".to_owned();
    let file = runtime.block_on(ask(&bridge, MessageRequest::FileContainingSymbol(symbol)));
    let mut open = files_in(file);
    let mut files = BTreeMap::new();
    // As grpcurl does: what a file imports is asked for by name.
    while let Some(file) = open.pop() {
        for import in file.dependency.iter().filter(|import| !files.contains_key(*import)) {
            open.extend(files_in(
                runtime.block_on(ask(&bridge, MessageRequest::FileByFilename(import.clone()))),
            ));
        }
        files.insert(file.name().to_owned(), file);
    }
    let set = FileDescriptorSet { file: files.into_values().collect() };
    let pool = DescriptorPool::from_file_descriptor_set(set).expect("nothing is missing");
    let request = pool.get_message_by_name("envoy.service.discovery.v3.DeltaDiscoveryRequest");
    assert!(request.expect("it was asked for").get_field_by_name("initial_resource_versions").is_some());
}
