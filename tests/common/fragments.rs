//! Fragments that several tests serve.

/// A listener for HTTP of this name at a port of this machine. `routes` are the fields that say where its routes come from,
/// `filters` are items before the router; of several lines, each is to be indented by eight spaces.
pub fn http_listener(name: &str, port: u16, routes: &str, filters: &str) -> String {
    let filters = if filters.is_empty() { String::new() } else { format!("        {filters}\n") };
    format!(
        "listeners:
- name: {name}
  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: {name}
        {routes}
        http_filters:
{filters}        - name: router
          typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"
    )
}
