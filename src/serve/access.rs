//! Who may claim to be which node.
//!
//! Comes in: what a connection proves ([`Proof`]) and the node that its client says it is. Goes out: yes, or
//! the reason why not. Without rules everyone may claim everything; with rules only what a rule allows.

use wildmatch::WildMatch;

use super::peer::{Peer, Proof};
use crate::resource::Node;

/// Stands for the node's id in an identity: that certificate may claim this id and no other.
pub const ID: &str = "{id}";

/// The same for the node's cluster.
pub const CLUSTER: &str = "{cluster}";

/// The rules; none: everyone may claim everything.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Any may allow it.
    pub rules: Vec<ClientRule>,
}

/// Clients with this identity may claim these nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// Who.
    pub who: Who,
    /// Globs over the node's id; none: any.
    pub ids: Option<Vec<String>>,
    /// Globs over the node's cluster; none: any.
    pub clusters: Option<Vec<String>>,
}

/// An identity that a connection can prove. Texts are globs, in which [`ID`] and [`CLUSTER`] may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A URI among the subject alternative names of the client's certificate.
    SanUri(String),
    /// A DNS name there.
    SanDns(String),
    /// The user at the other end of a unix socket.
    UnixUid(u32),
}

impl Access {
    /// Whether this client may be this node; if not, the reason. A client that says nothing of itself claims
    /// the empty id and cluster.
    pub fn check(&self, peer: &Peer, node: Option<&Node>) -> Result<(), String> {
        let (id, cluster) = node.map_or(("", ""), |node| (node.id.as_str(), node.cluster.as_str()));
        if self.rules.is_empty() || self.rules.iter().any(|rule| rule.allows(&peer.proof, id, cluster)) {
            return Ok(());
        }
        let who = match (&peer.proof, peer.credential()) {
            (_, Some(credential)) => format!("a client with the identity {credential}"),
            (Proof::Nothing, None) => "a client on plain TCP, which proves no identity,".to_owned(),
            (_, None) => "a client without an identity".to_owned(),
        };
        Err(format!(
            "{who} may not claim the node id {id:?} in cluster {cluster:?}: no rule of `clients` in the settings of xds-bridge allows it"
        ))
    }
}

impl ClientRule {
    fn allows(&self, proof: &Proof, id: &str, cluster: &str) -> bool {
        let any = |globs: &Option<Vec<String>>, text: &str| {
            globs.as_ref().is_none_or(|globs| globs.iter().any(|glob| WildMatch::new(glob).matches(text)))
        };
        self.who.is(proof, id, cluster) && any(&self.ids, id) && any(&self.clusters, cluster)
    }
}

impl Who {
    fn is(&self, proof: &Proof, id: &str, cluster: &str) -> bool {
        match (self, proof) {
            (Who::UnixUid(own), Proof::Unix { uid }) => Some(*own) == *uid,
            (Who::SanUri(glob), Proof::Tls { uris, .. }) => {
                let glob = filled(glob, id, cluster, &['/', '*', '?']);
                glob.is_some_and(|glob| uris.iter().any(|uri| glob.matches(uri)))
            }
            (Who::SanDns(glob), Proof::Tls { dns, .. }) => {
                // Of two names with a dot between it could not be told where one ends.
                let two = glob.contains(ID) && glob.contains(CLUSTER);
                let bars: &[char] = if two { &['.', '*', '?'] } else { &['*', '?'] };
                let (id, cluster) = (id.to_ascii_lowercase(), cluster.to_ascii_lowercase());
                let glob = filled(&glob.to_ascii_lowercase(), &id, &cluster, bars);
                glob.is_some_and(|glob| dns.iter().any(|name| glob.matches(&name.to_ascii_lowercase())))
            }
            _ => false,
        }
    }
}

/// The glob with what the client claims in its places; none if that holds what it must not: a claim with a
/// star in it would fit every identity.
fn filled(glob: &str, id: &str, cluster: &str, bars: &[char]) -> Option<WildMatch> {
    let mut text = String::new();
    let mut rest = glob;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        let (claim, behind) = if let Some(behind) = rest[at..].strip_prefix(ID) {
            (id, behind)
        } else {
            (cluster, rest[at..].strip_prefix(CLUSTER)?)
        };
        if claim.is_empty() || claim.contains(bars) {
            return None;
        }
        text.push_str(claim);
        rest = behind;
    }
    text.push_str(rest);
    Some(WildMatch::new(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(who: Who) -> ClientRule {
        ClientRule { who, ids: None, clusters: None }
    }

    fn tls(uri: &str, dns: &str) -> Peer {
        Peer::new("p", Proof::Tls { uris: vec![uri.into()], dns: vec![dns.into()] })
    }

    fn may(rules: &[ClientRule], peer: &Peer, id: &str, cluster: &str) -> bool {
        let node = Node { id: id.into(), cluster: cluster.into(), ..Node::default() };
        Access { rules: rules.to_vec() }.check(peer, Some(&node)).is_ok()
    }

    #[test]
    fn without_rules_everyone_may_claim_everything_and_with_rules_only_what_they_allow() {
        let plain = Peer::new("p", Proof::Nothing);
        assert!(may(&[], &plain, "a", "b"));
        let rules = [
            ClientRule { ids: Some(vec!["edge-*".into()]), ..rule(Who::SanDns("*.Edge.example".into())) },
            ClientRule { clusters: Some(vec!["x".into(), "y".into()]), ..rule(Who::UnixUid(7)) },
        ];
        assert!(may(&rules, &tls("", "a.edge.EXAMPLE"), "edge-1", "any"));
        assert!(!may(&rules, &tls("", "a.edge.example"), "core-1", "any"));
        assert!(!may(&rules, &tls("a.edge.example", "other"), "edge-1", "any"), "a URI is no DNS name");
        let unix = |uid| Peer::new("p", Proof::Unix { uid });
        assert!(may(&rules, &unix(Some(7)), "any", "y") && !may(&rules, &unix(Some(7)), "any", "z"));
        assert!(!may(&rules, &unix(Some(8)), "a", "x") && !may(&rules, &unix(None), "a", "x"));
        assert!(!may(&rules, &plain, "edge-1", "x"));
        assert!(Access { rules: rules.to_vec() }.check(&unix(Some(7)), None).is_err(), "nobody is cluster x");
    }

    #[test]
    fn an_identity_with_the_id_in_it_may_claim_this_id_and_no_other() {
        let rules = [rule(Who::SanUri("spiffe://prod/{cluster}/{id}".into()))];
        let peer = tls("spiffe://prod/edge/e-1", "");
        assert!(may(&rules, &peer, "e-1", "edge"));
        for (id, cluster) in
            [("e-2", "edge"), ("e-1", "core"), ("*", "edge"), ("e-?", "edge"), ("", "edge"), ("e-1", "*")]
        {
            assert!(!may(&rules, &peer, id, cluster), "{id} {cluster}");
        }
        let deep = tls("spiffe://prod/a/b/c", "");
        assert!(!may(&rules, &deep, "b/c", "a") && !may(&rules, &deep, "c", "a/b"));
        let odd = tls("spiffe://prod/edge/{cluster}", "");
        assert!(may(&rules, &odd, "{cluster}", "edge"), "what is claimed is never read as a place again");
        let by_dns = [rule(Who::SanDns("{id}.{cluster}.example".into()))];
        assert!(may(&by_dns, &tls("", "e-1.edge.example"), "E-1", "edge"));
        assert!(!may(&by_dns, &tls("", "a.b.c.example"), "a.b", "c"));
    }

    #[test]
    fn the_refusal_names_who_and_what() {
        let access = Access { rules: vec![rule(Who::UnixUid(1))] };
        let node = Node { id: "edge-1".into(), ..Node::default() };
        let reason = access.check(&tls("spiffe://prod/core", ""), Some(&node)).expect_err("no rule");
        assert!(reason.contains("spiffe://prod/core") && reason.contains("\"edge-1\""), "{reason}");
    }
}
