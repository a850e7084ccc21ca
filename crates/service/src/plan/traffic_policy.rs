//! Internal and external traffic policies (contract 1.5).

use crate::model::{Service, ServiceType};

/// Which sets of endpoints the traffic to one port needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uses {
    /// Some traffic goes by the Cluster policy.
    pub(super) cluster: bool,
    /// Some traffic goes by the Local policy.
    pub(super) local: bool,
}

/// `externalTrafficPolicy: Local` where the Service's type gives it a meaning.
pub(super) fn external_local(service: &Service) -> bool {
    service.external_policy_local
        && match service.kind {
            ServiceType::LoadBalancer | ServiceType::NodePort => true,
            ServiceType::ClusterIp => !service.external_ips.is_empty(),
        }
}

/// What a port uses, given whether it can be reached from outside the cluster.
pub(super) fn uses(service: &Service, externally_accessible: bool) -> Uses {
    let internal_local = service.internal_policy_local;
    Uses {
        cluster: !internal_local || externally_accessible,
        local: internal_local || (external_local(service) && externally_accessible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{ip, service};

    #[test]
    fn external_local_needs_a_type_that_is_reachable_from_outside() {
        let mut service = service("a");
        service.external_policy_local = true;
        assert!(!external_local(&service));
        service.external_ips = [ip("192.0.2.1")].into();
        assert!(external_local(&service));
        service.external_ips = [].into();
        for kind in [ServiceType::NodePort, ServiceType::LoadBalancer] {
            service.kind = kind;
            assert!(external_local(&service));
        }
        service.external_policy_local = false;
        assert!(!external_local(&service));
    }

    #[test]
    fn policies_and_accessibility_decide_what_is_used() {
        let mut service = service("a");
        service.kind = ServiceType::LoadBalancer;
        // internal Local, external Local, accessible: cluster used, local used.
        let table = [
            (false, false, false, true, false),
            (false, false, true, true, false),
            (false, true, false, true, false),
            (false, true, true, true, true),
            (true, false, false, false, true),
            (true, false, true, true, true),
            (true, true, false, false, true),
            (true, true, true, true, true),
        ];
        for (internal, external, accessible, cluster, local) in table {
            service.internal_policy_local = internal;
            service.external_policy_local = external;
            assert_eq!(
                uses(&service, accessible),
                Uses { cluster, local },
                "{service:?}"
            );
        }
    }
}
