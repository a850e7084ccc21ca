//! Topology hints: prefer endpoints meant for this node, else for its zone (contract 1.7,
//! KEP-2433, KEP-3015).

use crate::model::Endpoint;

/// Which ready endpoints cluster traffic keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology<'a> {
    /// All of them.
    Anywhere,
    /// Those hinted for this node.
    Node(&'a str),
    /// Those hinted for this zone.
    Zone(&'a str),
}

impl<'a> Topology<'a> {
    /// Decides over the ready endpoints of a port. Hints count only where every one has some.
    pub(super) fn of<'e>(
        ready: &(impl Iterator<Item = &'e Endpoint> + Clone),
        node: &'a str,
        zone: Option<&'a str>,
    ) -> Self {
        // Without hints, which is the usual case, the first endpoint settles it.
        if ready
            .clone()
            .next()
            .is_none_or(|endpoint| endpoint.hints.is_none())
        {
            return Self::Anywhere;
        }
        let every_has = |count: fn(&Endpoint) -> usize| ready.clone().all(|e| count(e) > 0);
        if every_has(|e| e.hints.as_ref().map_or(0, |hints| hints.nodes.len())) {
            let same_node = Self::Node(node);
            if ready.clone().any(|endpoint| same_node.admits(endpoint)) {
                return same_node;
            }
        }
        let zone = zone.filter(|zone| !zone.is_empty()).map(Self::Zone);
        if let Some(same_zone) = zone
            && every_has(|e| e.hints.as_ref().map_or(0, |hints| hints.zones.len()))
            && ready.clone().any(|endpoint| same_zone.admits(endpoint))
        {
            return same_zone;
        }
        Self::Anywhere
    }

    /// True where a ready endpoint may be used from this node.
    pub(super) fn admits(self, endpoint: &Endpoint) -> bool {
        let holds = |names: &[Box<str>], name: &str| names.iter().any(|n| **n == *name);
        let hints = endpoint.hints.as_deref();
        match self {
            Self::Anywhere => true,
            Self::Node(name) => hints.is_some_and(|hints| holds(&hints.nodes, name)),
            Self::Zone(name) => hints.is_some_and(|hints| holds(&hints.zones, name)),
        }
    }
}

/// True where the plan of an endpoint's port may depend on this node's zone.
pub(crate) fn depends_on_zone(endpoint: &Endpoint) -> bool {
    endpoint
        .hints
        .as_ref()
        .is_some_and(|hints| !hints.zones.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hints;
    use crate::plan::testing::{READY, endpoint};

    fn hinted(zones: &[&str], nodes: &[&str]) -> Endpoint {
        let boxed = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        let hints = Hints {
            zones: boxed(zones),
            nodes: boxed(nodes),
        };
        Endpoint {
            hints: Some(Box::new(hints)),
            ..endpoint("10.0.0.1", READY, "n")
        }
    }

    fn bare() -> Endpoint {
        endpoint("10.0.0.1", READY, "n")
    }

    fn decide(endpoints: &[Endpoint]) -> Topology<'static> {
        Topology::of(&endpoints.iter(), "this", Some("east"))
    }

    #[test]
    fn no_endpoint_and_no_hint_mean_no_topology() {
        assert_eq!(decide(&[]), Topology::Anywhere);
        assert_eq!(decide(&[bare(), bare()]), Topology::Anywhere);
    }

    #[test]
    fn this_node_is_preferred_to_its_zone() {
        let endpoints = [hinted(&["east"], &["this"]), hinted(&["east"], &["other"])];
        assert_eq!(decide(&endpoints), Topology::Node("this"));
        assert!(decide(&endpoints).admits(&endpoints[0]));
        assert!(!decide(&endpoints).admits(&endpoints[1]));
    }

    #[test]
    fn one_endpoint_without_node_hints_leaves_the_choice_to_zones() {
        let endpoints = [hinted(&["east"], &["this"]), hinted(&["west"], &[])];
        assert_eq!(decide(&endpoints), Topology::Zone("east"));
    }

    #[test]
    fn node_hints_for_other_nodes_leave_the_choice_to_zones() {
        let endpoints = [hinted(&["east"], &["a"]), hinted(&["west"], &["b"])];
        assert_eq!(decide(&endpoints), Topology::Zone("east"));
    }

    #[test]
    fn one_endpoint_without_hints_switches_topology_off() {
        assert_eq!(
            decide(&[hinted(&["east"], &["this"]), bare()]),
            Topology::Anywhere
        );
        assert_eq!(
            decide(&[bare(), hinted(&["east"], &["this"])]),
            Topology::Anywhere
        );
    }

    #[test]
    fn hints_for_other_zones_only_switch_topology_off() {
        assert_eq!(
            decide(&[hinted(&["west"], &[]), hinted(&["north"], &[])]),
            Topology::Anywhere
        );
    }

    #[test]
    fn an_unknown_or_empty_zone_never_matches() {
        let endpoints = [hinted(&["east", ""], &[])];
        assert_eq!(
            Topology::of(&endpoints.iter(), "this", None),
            Topology::Anywhere
        );
        assert_eq!(
            Topology::of(&endpoints.iter(), "this", Some("")),
            Topology::Anywhere
        );
    }

    #[test]
    fn an_endpoint_hinted_for_many_zones_serves_each() {
        let endpoints = [hinted(&["west", "east"], &[]), hinted(&["west"], &[])];
        assert_eq!(decide(&endpoints), Topology::Zone("east"));
        assert!(decide(&endpoints).admits(&endpoints[0]));
        assert!(!decide(&endpoints).admits(&endpoints[1]));
    }
}
