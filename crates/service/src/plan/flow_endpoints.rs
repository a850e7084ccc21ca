//! Endpoints of one IP family in little memory: every Service of a cluster has some.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

/// Endpoints that flows of a Service port may lead to, all of one IP family. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEndpoints(Addresses);

/// A `SocketAddr` has 32 bytes for either family, an IPv4 one alone has 6.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Addresses {
    None,
    V4(Arc<[SocketAddrV4]>),
    V6(Arc<[SocketAddrV6]>),
}

impl FlowEndpoints {
    /// True where the endpoint is one of them.
    pub fn contains(&self, endpoint: &SocketAddr) -> bool {
        match (&self.0, endpoint) {
            (Addresses::V4(all), SocketAddr::V4(endpoint)) => all.contains(endpoint),
            (Addresses::V6(all), SocketAddr::V6(endpoint)) => all.contains(endpoint),
            _ => false,
        }
    }

    /// Each of them, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let (v4, v6): (&[SocketAddrV4], &[SocketAddrV6]) = match &self.0 {
            Addresses::None => (&[], &[]),
            Addresses::V4(all) => (all, &[]),
            Addresses::V6(all) => (&[], all),
        };
        let v4 = v4.iter().copied().map(SocketAddr::V4);
        v4.chain(v6.iter().copied().map(SocketAddr::V6))
    }
}

impl Default for FlowEndpoints {
    fn default() -> Self {
        Self(Addresses::None)
    }
}

impl FromIterator<SocketAddr> for FlowEndpoints {
    /// Those of the family of the first one.
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(endpoints: T) -> Self {
        let mut endpoints = endpoints.into_iter();
        Self(match endpoints.next() {
            None => Addresses::None,
            Some(SocketAddr::V4(first)) => {
                let others = endpoints.filter_map(|endpoint| match endpoint {
                    SocketAddr::V4(endpoint) => Some(endpoint),
                    SocketAddr::V6(_) => None,
                });
                Addresses::V4(std::iter::once(first).chain(others).collect())
            }
            Some(SocketAddr::V6(first)) => {
                let others = endpoints.filter_map(|endpoint| match endpoint {
                    SocketAddr::V6(endpoint) => Some(endpoint),
                    SocketAddr::V4(_) => None,
                });
                Addresses::V6(std::iter::once(first).chain(others).collect())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_of_one_family_are_found() {
        for all in [
            ["10.0.0.2:53", "10.0.0.1:53"],
            ["[fd00::2]:53", "[fd00::1]:53"],
        ] {
            let endpoints: FlowEndpoints = all.map(at).into_iter().collect();
            assert_eq!(endpoints.iter().collect::<Vec<_>>(), all.map(at));
            assert!(all.iter().all(|one| endpoints.contains(&at(one))));
            assert!(!endpoints.contains(&at("10.0.0.2:54")));
            assert!(!endpoints.contains(&at("[fd00::2]:54")));
        }
    }

    #[test]
    fn there_may_be_none() {
        let none = FlowEndpoints::default();
        assert_eq!(none, FlowEndpoints::from_iter([]));
        assert_eq!(none.iter().count(), 0);
        assert!(!none.contains(&at("10.0.0.2:53")));
    }

    #[test]
    fn the_first_one_decides_the_family() {
        let mixed: FlowEndpoints = ["10.0.0.2:53", "[fd00::1]:53"]
            .map(at)
            .into_iter()
            .collect();
        assert_eq!(mixed.iter().collect::<Vec<_>>(), [at("10.0.0.2:53")]);
    }
}
