//! What answers on the port for Envoys: the discovery services, and beside them gRPC's own health and
//! reflection, by which load balancers and `grpcurl` find out that they are there.

use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::hall::Hall;
use super::limits::Limits;
use super::window::Desk;
use super::{AppError, Settings};
use crate::envoy_api::Api;
use crate::resource::Kind;
use crate::serve::{ADS, Admission, Discovery, Rules};

/// The overall health, as gRPC names it.
const ALL: &str = "";

/// gRPC clients take messages of 4 MiB by default; this leaves room for the frame around them.
const MAX_RESPONSE: usize = 3 * 1024 * 1024 + 512 * 1024;

/// Envoy takes any size; this bounds what is buffered for one stream.
const MAX_RESPONSE_ENVOY: usize = 64 * 1024 * 1024;

/// Names that one stream may subscribe to, of one type: twenty times the largest reconnect that was seen.
const MAX_NAMES: usize = 1_000_000;

/// The discovery services, on the terms of the settings.
pub fn discovery(
    hall: &Hall,
    settings: &Settings,
    limits: &Limits,
    draining: watch::Receiver<bool>,
) -> Discovery {
    let rules = Rules {
        pace: settings.pace,
        max_response: MAX_RESPONSE,
        max_response_envoy: MAX_RESPONSE_ENVOY,
        max_names: MAX_NAMES,
        server: format!("xds-bridge/{} {}", env!("CARGO_PKG_VERSION"), settings.instance).into(),
    };
    let admission = Admission {
        access: settings.access.clone(),
        secrets_in_clear: settings.insecure,
        streams: limits.streams,
        streams_per_connection: limits.streams_per_connection,
        first_request: limits.first_request,
    };
    Discovery::new(hall.store.clone(), rules, admission, hall.clients.clone(), draining)
}

/// The services, and by what their health is told.
pub async fn routes(api: &Api, discovery: Discovery) -> Result<(Routes, HealthReporter), AppError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::NotServing).await;
    let names: Vec<&str> = services().collect();
    let descriptors = api.descriptors_of(&names);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error: tonic_reflection::server::Error| AppError::Serve(format!("reflection: {error}"));
    let mut routes = Routes::new(health_service)
        .add_service(reflection().build_v1().map_err(failed)?)
        .add_service(reflection().build_v1alpha().map_err(failed)?);
    let router = std::mem::take(routes.axum_router_mut()).fallback_service(discovery);
    *routes.axum_router_mut() = router;
    Ok((routes.prepare(), health))
}

/// What answers on the admin address.
pub fn admin(desk: Desk) -> Routes {
    let mut routes = Routes::default();
    let router = std::mem::take(routes.axum_router_mut()).fallback_service(desk);
    *routes.axum_router_mut() = router;
    routes.prepare()
}

/// Tells the health of all services: they share one.
pub async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in std::iter::once(ALL).chain(services()) {
        health.set_service_status(service, status).await;
    }
}

fn services() -> impl Iterator<Item = &'static str> {
    std::iter::once(ADS).chain(Kind::ALL.into_iter().map(Kind::service))
}
