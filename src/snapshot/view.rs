//! What one node sees of a snapshot.
//!
//! A view is a snapshot and the groups whose audience the node belongs to; nothing is copied. It
//! gives versions: a resource's own digest, and for those that Envoy forgets when something else
//! changes, that digest over both (protocol rule 3).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Audience, Changes, Group, Snapshot, Table, entry};
use crate::resource::{Digest, Kind, Name, Node, Resource};

/// A snapshot as one node sees it. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    audiences: Arc<[Audience]>,
    groups: Arc<[Arc<Group>]>,
}

/// What a view holds under a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// This resource.
    One(&'a Arc<Resource>),
    /// Nothing.
    Nothing,
    /// Different resources for different audiences, to more than one of which the node belongs.
    /// It must receive neither, and keep what it has.
    Contested,
}

impl View {
    /// What `node` sees; a client that did not say who it is sees only what is for everyone.
    pub fn new(snapshot: Arc<Snapshot>, node: Option<&Node>) -> View {
        let belongs = |audience: &&Audience| match (audience, node) {
            (None, _) => true,
            (Some(selector), Some(node)) => selector.matches(node),
            (Some(_), None) => false,
        };
        let audiences: Arc<[Audience]> = snapshot.audiences.iter().filter(belongs).cloned().collect();
        View::of_audiences(snapshot, audiences)
    }

    /// What the same node sees of another snapshot.
    #[must_use]
    pub fn of(&self, snapshot: Arc<Snapshot>, node: Option<&Node>) -> View {
        if snapshot.has_audiences_of(&self.snapshot) {
            View::of_audiences(snapshot, self.audiences.clone())
        } else {
            View::new(snapshot, node)
        }
    }

    fn of_audiences(snapshot: Arc<Snapshot>, audiences: Arc<[Audience]>) -> View {
        let groups = audiences.iter().filter_map(|audience| snapshot.groups.get(audience)).cloned().collect();
        View { snapshot, audiences, groups }
    }

    /// The snapshot that is seen.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The audiences to which the node belongs. Of one snapshot, those who belong to the same see the same.
    pub fn audiences(&self) -> &Arc<[Audience]> {
        &self.audiences
    }

    /// What stands under a name.
    pub fn find(&self, kind: Kind, name: &str) -> Found<'_> {
        if self.is_contested(kind, name) {
            return Found::Contested;
        }
        match self.tables(kind).find_map(|table| table.by_name.get(name)) {
            Some(resource) => Found::One(resource),
            None => Found::Nothing,
        }
    }

    /// The resource under a name, unless there is none or it is contested.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        match self.find(kind, name) {
            Found::One(resource) => Some(resource),
            Found::Nothing | Found::Contested => None,
        }
    }

    /// Whether the node belongs to several audiences of which each has its own resource of this name.
    pub fn is_contested(&self, kind: Kind, name: &str) -> bool {
        if self.snapshot.contested.is_empty() {
            return false;
        }
        let Some(homes) = self.snapshot.contested.get(&(kind, Name::from(name))) else { return false };
        homes.iter().filter(|home| self.audiences.contains(home)).count() > 1
    }

    /// The contested names that this node would otherwise receive.
    pub fn contested(&self) -> impl Iterator<Item = (Kind, &Name)> {
        let keys = self.snapshot.contested.keys().map(|(kind, name)| (*kind, name));
        keys.filter(|(kind, name)| self.is_contested(*kind, name))
    }

    /// The name of the virtual host that has this alias.
    pub fn by_alias(&self, alias: &str) -> Option<&Name> {
        self.groups.iter().find_map(|group| group.aliases.get(alias))
    }

    /// All uncontested resources of a kind, group by group.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.tables(kind)
            .flat_map(|table| table.by_name.values())
            .filter(move |resource| !self.is_contested(kind, resource.name()))
    }

    /// The resources of a kind that are valid at their receiver for a time only.
    pub fn mortal(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.tables(kind).flat_map(|table| &table.mortal).filter_map(move |name| self.get(kind, name))
    }

    /// How many resources of a kind there are, contested ones included.
    pub fn count(&self, kind: Kind) -> usize {
        self.tables(kind).map(|table| table.by_name.len()).sum()
    }

    /// The version of what stands under a name.
    pub fn version(&self, kind: Kind, name: &str) -> Option<Digest> {
        self.get(kind, name).map(|resource| self.version_of(resource))
    }

    /// The version of a resource of this view.
    ///
    /// A changed cluster waits for its endpoints to be sent anew, and a new route configuration
    /// starts without virtual hosts: so the version of an endpoint assignment covers the clusters
    /// that use it, and that of a virtual host its route configuration.
    pub fn version_of(&self, resource: &Resource) -> Digest {
        let digest = resource.digest();
        match resource.kind() {
            Kind::Endpoint => {
                let digest_of = |user: &Name| Some(self.get(Kind::Cluster, user)?.digest());
                if self.groups.len() < 2 {
                    // Of one group they are in order, and each is there once.
                    return digest.covering(self.users_of(resource.name()).filter_map(digest_of));
                }
                let users: BTreeSet<&Name> = self.users_of(resource.name()).collect();
                digest.covering(users.into_iter().filter_map(digest_of))
            }
            Kind::VirtualHost => {
                let route = route_of(resource.name()).and_then(|route| self.get(Kind::Route, &route));
                digest.covering(route.map(|route| route.digest()))
            }
            _ => digest,
        }
    }

    /// The clusters that take their endpoints from an assignment.
    pub fn users_of<'a>(&'a self, assignment: &'a str) -> impl Iterator<Item = &'a Name> {
        self.groups.iter().flat_map(move |group| group.users_of(assignment))
    }

    /// The version of a whole type: a digest over its resources in this view (protocol rule 4).
    pub fn type_version(&self, kind: Kind) -> Digest {
        self.type_version_but(kind, [])
    }

    /// The same for somebody who has something else under these names: this version, or nothing. Costs as much as
    /// there are of those.
    pub fn type_version_but<'n>(
        &self,
        kind: Kind,
        others: impl IntoIterator<Item = (&'n Name, Option<Digest>)>,
    ) -> Digest {
        let sum = |kind| self.tables(kind).fold(0u128, |sum, table| sum.wrapping_add(table.sum));
        let covered = match kind {
            Kind::Endpoint => Some(sum(Kind::Cluster)),
            Kind::VirtualHost => Some(sum(Kind::Route)),
            _ => None,
        };
        let mut all = sum(kind);
        for (name, version) in others {
            let here = self.homonyms(kind, name).map(|resource| entry(name, resource.digest()));
            all = here.fold(all, u128::wrapping_sub);
            all = all.wrapping_add(version.map_or(0, |version| entry(name, version)));
        }
        Digest(all).covering(covered.map(Digest))
    }

    /// The version of a type of which somebody has just this.
    pub fn version_of_all<'n>(all: impl Iterator<Item = (&'n Name, Digest)>) -> Digest {
        let sum = all.fold(0u128, |sum, (name, version)| sum.wrapping_add(entry(name, version)));
        Digest(sum).covering([])
    }

    /// The names whose version may differ between an `older` view of the same node and this one, by
    /// kind and in order.
    pub fn changed_since(&self, older: &View) -> BTreeSet<(Kind, Name)> {
        let mut names = BTreeSet::new();
        if Arc::ptr_eq(&self.snapshot, &older.snapshot) {
            return names;
        }
        if self.audiences == older.audiences {
            let changes = self.snapshot.diff(&older.snapshot);
            self.collect(&changes, |audience| self.audiences.contains(audience), older, &mut names);
        } else {
            self.collect_by_audience(older, &mut names);
        }
        names
    }

    /// The node's audiences themselves differ: those that came or went count with all they hold.
    fn collect_by_audience(&self, older: &View, names: &mut BTreeSet<(Kind, Name)>) {
        let nothing = Snapshot::unloaded();
        let common =
            |audience: &Audience| self.audiences.contains(audience) && older.audiences.contains(audience);
        let changes = self.snapshot.diff(&older.snapshot);
        self.collect(&changes, common, older, names);
        for (view, other) in [(self, older), (older, self)] {
            let came = |audience: &Audience| {
                view.audiences.contains(audience) && !other.audiences.contains(audience)
            };
            if view.audiences.iter().any(came) {
                self.collect(&view.snapshot.diff(&nothing), came, older, names);
            }
        }
    }

    fn collect(
        &self,
        changes: &Changes,
        of: impl Fn(&Audience) -> bool,
        older: &View,
        names: &mut BTreeSet<(Kind, Name)>,
    ) {
        for change in changes.iter().filter(|change| of(&change.audience)) {
            names.insert((change.kind, change.name.clone()));
            match change.kind {
                // Whatever audience it changed for: that may have made the name contested, or ended it.
                Kind::Cluster => {
                    for resource in
                        [self, older].iter().flat_map(|view| view.homonyms(Kind::Cluster, &change.name))
                    {
                        names.extend(
                            resource.references_to(Kind::Endpoint).map(|n| (Kind::Endpoint, n.clone())),
                        );
                    }
                }
                Kind::Route => {
                    for view in [self, older] {
                        names.extend(view.hosts_of(&change.name).map(|n| (Kind::VirtualHost, n.clone())));
                    }
                }
                _ => {}
            }
        }
    }

    /// The virtual hosts of a route configuration: their names begin with its name and a slash.
    fn hosts_of<'a>(&'a self, route: &'a Name) -> impl Iterator<Item = &'a Name> {
        let prefix: Name = format!("{route}/").into();
        self.tables(Kind::VirtualHost).flat_map(move |table| {
            let prefix = prefix.clone();
            table
                .by_name
                .range(prefix.clone()..)
                .map(|(name, _)| name)
                .take_while(move |name| name.starts_with(&*prefix))
                .filter(move |name| route_of(name).as_deref() == Some(&**route))
        })
    }

    /// What stands under a name in each of the groups: more than one thing if it is contested.
    pub fn homonyms<'a>(&'a self, kind: Kind, name: &'a Name) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.tables(kind).filter_map(move |table| table.by_name.get(name))
    }

    fn tables(&self, kind: Kind) -> impl Iterator<Item = &Table> {
        self.groups.iter().map(move |group| group.table(kind))
    }
}

/// `<route config>/<virtual host>`: hosts hold no slash, names of route configurations may.
fn route_of(virtual_host: &Name) -> Option<Name> {
    virtual_host.rsplit_once('/').map(|(route, _)| route.into())
}
