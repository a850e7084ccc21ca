//! What Services were sent, as /metrics/services tells it. IPVS mode's is in the suite `ipvs_mode`.

mod nftables {
    use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
    use crate::support::{PATIENCE, Stage, at, shared};
    use std::collections::BTreeMap;
    use viprule_testkit::client::Failure;
    use viprule_testkit::cluster::{METRICS_PORT, http_get};
    use viprule_testkit::manifests::Endpoint;

    /// The series of the Service that changes, by their names and their own labels.
    fn series(stage: &Stage) -> BTreeMap<String, u64> {
        let path = "/metrics/services";
        let (status, text) = http_get(stage.world.node(), METRICS_PORT, path).unwrap();
        assert_eq!(status, 200, "{text}");
        let own = text
            .lines()
            .filter(|it| it.contains("service=\"changing\""));
        let parse = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
            let labels = labels.split(',');
            let more = labels.filter(|it| it.starts_with("endpoint") || it.starts_with("reason"));
            let name = more.fold(name.to_owned(), |name, label| format!("{name} {label}"));
            (name, value.parse().unwrap())
        };
        own.map(parse).collect()
    }

    #[test]
    fn connections_and_refusals_are_counted_by_service_and_endpoint() {
        let busy = Busy::new(shared());
        let stage = &busy.stage;
        let _servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint));
        busy.write_service();
        busy.write_endpoints(ENDPOINTS.map(ready));
        let mut run = busy.run();
        assert_eq!(series(stage)["viprule_service_connections_total"], 0);
        let mut chosen: BTreeMap<String, u64> = BTreeMap::new();
        for target in [CHANGING[0], CHANGING[1]] {
            for _ in 0..20 {
                let attempt = stage.world.outside().tcp(at(target)).unwrap();
                let backend = attempt.result.unwrap().backend;
                let name = format!("viprule_endpoint_connections_total endpoint=\"{backend}\"");
                *chosen.entry(name).or_default() += 1;
            }
        }
        let counted = series(stage);
        assert_eq!(counted["viprule_service_connections_total"], 40);
        let by_endpoint = counted.iter().filter(|(name, _)| name.contains("endpoint"));
        let by_endpoint: BTreeMap<String, u64> = by_endpoint
            .map(|(name, count)| (name.clone(), *count))
            .collect();
        assert_eq!(by_endpoint, chosen);

        busy.write_endpoints(Vec::<Endpoint>::new());
        run.changed();
        let client = stage.world.outside().timeout(PATIENCE);
        for _ in 0..3 {
            let attempt = client.tcp(at(CHANGING[0])).unwrap();
            assert_eq!(attempt.failure(), Some(&Failure::Refused));
        }
        assert_eq!(series(stage)["viprule_service_rejected_total"], 3);
    }
}
