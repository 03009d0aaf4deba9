//! The kinds of resources that are served, and what xDS and fragments call each.

use std::fmt;

/// The xDS types that are served, declared in the order in which changes are sent
/// (make before break: what is referred to goes before what refers to it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`, SDS.
    Secret,
    /// `envoy.service.runtime.v3.Runtime`, RTDS.
    Runtime,
    /// `envoy.config.core.v3.TypedExtensionConfig`, ECDS.
    ExtensionConfig,
    /// `envoy.config.cluster.v3.Cluster`, CDS.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, EDS.
    Endpoint,
    /// `envoy.config.listener.v3.Listener`, LDS.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`, RDS.
    Route,
    /// `envoy.config.route.v3.ScopedRouteConfiguration`, SRDS.
    ScopedRoute,
    /// `envoy.config.route.v3.VirtualHost`, VHDS.
    VirtualHost,
}

/// What is the same for all resources of a kind.
struct KindFacts {
    fragment_key: &'static str,
    noun: &'static str,
    type_url: &'static str,
    service: &'static str,
    method: &'static str,
    name_field: &'static str,
}

const fn facts(kind: Kind) -> KindFacts {
    match kind {
        Kind::Secret => KindFacts {
            fragment_key: "secrets",
            noun: "secret",
            type_url: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            service: "envoy.service.secret.v3.SecretDiscoveryService",
            method: "Secrets",
            name_field: "name",
        },
        Kind::Runtime => KindFacts {
            fragment_key: "runtimes",
            noun: "runtime",
            type_url: "type.googleapis.com/envoy.service.runtime.v3.Runtime",
            service: "envoy.service.runtime.v3.RuntimeDiscoveryService",
            method: "Runtime",
            name_field: "name",
        },
        Kind::ExtensionConfig => KindFacts {
            fragment_key: "extension_configs",
            noun: "extension config",
            type_url: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            service: "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
            method: "ExtensionConfigs",
            name_field: "name",
        },
        Kind::Cluster => KindFacts {
            fragment_key: "clusters",
            noun: "cluster",
            type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            service: "envoy.service.cluster.v3.ClusterDiscoveryService",
            method: "Clusters",
            name_field: "name",
        },
        Kind::Endpoint => KindFacts {
            fragment_key: "endpoints",
            noun: "endpoint assignment",
            type_url: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            service: "envoy.service.endpoint.v3.EndpointDiscoveryService",
            method: "Endpoints",
            name_field: "cluster_name",
        },
        Kind::Listener => KindFacts {
            fragment_key: "listeners",
            noun: "listener",
            type_url: "type.googleapis.com/envoy.config.listener.v3.Listener",
            service: "envoy.service.listener.v3.ListenerDiscoveryService",
            method: "Listeners",
            name_field: "name",
        },
        Kind::Route => KindFacts {
            fragment_key: "routes",
            noun: "route configuration",
            type_url: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            service: "envoy.service.route.v3.RouteDiscoveryService",
            method: "Routes",
            name_field: "name",
        },
        Kind::ScopedRoute => KindFacts {
            fragment_key: "scoped_routes",
            noun: "scoped route",
            type_url: "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            service: "envoy.service.route.v3.ScopedRoutesDiscoveryService",
            method: "ScopedRoutes",
            name_field: "name",
        },
        Kind::VirtualHost => KindFacts {
            fragment_key: "virtual_hosts",
            noun: "virtual host",
            type_url: "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            service: "envoy.service.route.v3.VirtualHostDiscoveryService",
            method: "VirtualHosts",
            name_field: "name",
        },
    }
}

/// What stands before the message name in a type URL of ours.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

impl Kind {
    /// All kinds in sending order.
    pub const ALL: [Kind; 9] = [
        Kind::Secret,
        Kind::Runtime,
        Kind::ExtensionConfig,
        Kind::Cluster,
        Kind::Endpoint,
        Kind::Listener,
        Kind::Route,
        Kind::ScopedRoute,
        Kind::VirtualHost,
    ];

    /// How many kinds there are; `kind as usize` is below it.
    pub const COUNT: usize = Self::ALL.len();

    /// The key of the list that holds this kind in a fragment, such as `clusters`.
    pub fn fragment_key(self) -> &'static str {
        facts(self).fragment_key
    }

    /// What people call one of them, such as `cluster`.
    pub fn noun(self) -> &'static str {
        facts(self).noun
    }

    /// The type URL, such as `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
    pub fn type_url(self) -> &'static str {
        facts(self).type_url
    }

    /// The full name of the message, such as `envoy.config.cluster.v3.Cluster`.
    pub fn message(self) -> &'static str {
        &facts(self).type_url[TYPE_URL_PREFIX.len()..]
    }

    /// The full name of the type's own discovery service.
    pub fn service(self) -> &'static str {
        facts(self).service
    }

    /// What stands behind `Stream` and `Delta` in the names of the service's methods.
    pub fn method(self) -> &'static str {
        facts(self).method
    }

    /// The field of the message that holds the resource's name.
    pub fn name_field(self) -> &'static str {
        facts(self).name_field
    }

    /// The kind with this type URL, if it is one that we serve.
    pub fn from_type_url(url: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The kind whose message has this full name.
    pub fn from_message(full_name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.message() == full_name)
    }

    /// The kind that stands under this key of a fragment.
    pub fn from_fragment_key(key: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.fragment_key() == key)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_url_message_and_key() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
            assert_eq!(Kind::from_message(kind.message()), Some(kind));
            assert_eq!(Kind::from_fragment_key(kind.fragment_key()), Some(kind));
            assert_eq!(Kind::ALL[kind as usize], kind);
        }
    }
}
