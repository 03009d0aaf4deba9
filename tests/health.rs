//! gRPC's own health and reflection on the port for Envoys, asked with gRPC's own clients.

mod common;

use std::time::Duration;

use common::bridge::{Address, Bridge};
use common::files::put;
use common::{SOON, free_port, wait_until};
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
    let Some(MessageResponse::FileDescriptorResponse(file)) = file.message_response else { panic!("a file") };
    assert!(!file.file_descriptor_proto.is_empty());
}
