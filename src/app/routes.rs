//! What answers on the port for Envoys: the discovery services, and beside them gRPC's own health and
//! reflection, by which load balancers and `grpcurl` find out that they are there.

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::AppError;
use super::window::Desk;
use crate::envoy_api::Api;
use crate::resource::Kind;
use crate::serve::{ADS, Discovery};

/// The overall health, as gRPC names it.
const ALL: &str = "";

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
