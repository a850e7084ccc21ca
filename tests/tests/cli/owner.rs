//! Addresses that several Services ask for: every verb gives them to the same one, in both modes.

use viprule_testkit::LIMIT;

use crate::support::Place;

/// A Service with an external IP, and its endpoint.
fn external(
    created: &str,
    name: &str,
    cluster_ip: &str,
    external_ip: &str,
    endpoint: &str,
) -> String {
    format!(
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: {name}, namespace: shop, creationTimestamp: {created}}}\n\
         spec: {{clusterIP: {cluster_ip}, externalIPs: [{external_ip}], \
         ports: [{{name: dns, port: 53, protocol: UDP}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-a, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: dns, port: 53, protocol: UDP}}]\n\
         endpoints: [{{addresses: [{endpoint}]}}]\n"
    )
}

const MESSAGE: &str = "external IP 10.96.0.10:53/udp of shop/evil belongs to shop/dns as its cluster \
                       IP; change one of the two Services";

/// An external IP that is another Service's cluster IP (kubernetes/kubernetes#97076).
fn cluster_ip_is_asked_for(place: &Place) {
    let dns = external("null", "dns", "10.96.0.10", "198.51.100.1", "10.244.1.5");
    place.write("2.yaml", &dns);
    // The older one, and the first.
    let evil = external(
        "2020-01-01T00:00:00Z",
        "evil",
        "10.96.9.9",
        "10.96.0.10",
        "10.244.1.66",
    );
    place.write("1.yaml", &evil);
}

#[test]
fn an_external_ip_takes_nothing_from_a_cluster_ip() {
    let place = Place::new();
    cluster_ip_is_asked_for(&place);
    let render = place.viprule("render --node node-0 --manifests {}");
    assert_eq!(render.code, 0, "{}", render.err);
    let warned =
        format!("1.yaml: document 1, line 1: Service shop/evil: spec.externalIPs: {MESSAGE}\n");
    assert!(render.err.ends_with(&warned), "{}", render.err);
    assert_eq!(render.err.lines().count(), 1, "{}", render.err);
    let to = |ip: &str| {
        let rules = render
            .out
            .lines()
            .filter(|line| line.contains("-A KUBE-SERVICES"));
        let rules = rules.filter(|line| line.contains(&format!("-d {ip}/32 ")));
        rules.map(str::to_owned).collect::<Vec<_>>()
    };
    let rules = to("10.96.0.10");
    assert!(
        rules.len() == 1 && rules[0].contains("shop/dns:dns cluster IP"),
        "{rules:?}"
    );
    assert_eq!(to("10.96.9.9").len(), 1);

    let diff = place.viprule("diff --node node-0 --manifests {}");
    assert_eq!(diff.code, 1, "{}", diff.err);
    assert!(diff.err.contains(MESSAGE), "{}", diff.err);
    let applied = place.viprule("apply --node node-0 --manifests {}");
    assert_eq!(applied.code, 0, "{}", applied.err);
    assert_eq!(place.viprule("diff --node node-0 --manifests {}").out, "");
}

#[test]
fn in_ipvs_mode_neither() {
    let place = Place::new();
    cluster_ip_is_asked_for(&place);
    let render = place.viprule("render --proxy-mode ipvs --node node-0 --manifests {}");
    assert_eq!(render.code, 0, "{}", render.err);
    assert!(render.err.contains(MESSAGE), "{}", render.err);
    let destinations = |server: &str| -> Vec<String> {
        let of_server = format!("-a -u {server} -r ");
        let lines = render
            .out
            .lines()
            .filter_map(|line| line.strip_prefix(&of_server));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(destinations("10.96.0.10:53"), ["10.244.1.5:53"]);
    assert_eq!(destinations("10.96.9.9:53"), ["10.244.1.66:53"]);
}

/// kubernetes/kubernetes#69599.
#[test]
fn a_shared_external_ip_is_the_oldest_services() {
    let place = Place::new();
    let nginx = |name, created, cluster_ip, endpoint| {
        let text = external(created, name, cluster_ip, "172.17.0.1", endpoint);
        place.write(&format!("{name}.yaml"), &text);
    };
    let owner = || {
        let render = place.viprule("render --node node-0 --manifests {}");
        let mut rules = render
            .out
            .lines()
            .filter(|line| line.contains("-d 172.17.0.1/32 "));
        let owner = rules.next().unwrap().to_owned();
        assert!(rules.next().is_none(), "{}", render.out);
        owner
    };
    nginx("nginx", "null", "10.96.1.91", "10.244.1.1");
    nginx("nginx2", "null", "10.96.1.92", "10.244.1.2");
    assert!(
        owner().contains("shop/nginx:dns external IP"),
        "{}",
        owner()
    );
    nginx("nginx2", "2020-01-01T00:00:00Z", "10.96.1.92", "10.244.1.2");
    assert!(
        owner().contains("shop/nginx2:dns external IP"),
        "{}",
        owner()
    );
}

#[test]
fn the_agent_says_so_once() {
    let place = Place::new();
    cluster_ip_is_asked_for(&place);
    let mut agent = place.run();
    let line = agent.wait_for_line(MESSAGE, LIMIT).unwrap();
    assert!(line.contains("WARN") && line.contains("1.yaml"), "{line}");
    // A change of what has nothing to do with it.
    let evil = external(
        "2020-01-01T00:00:00Z",
        "evil",
        "10.96.9.9",
        "10.96.0.10",
        "10.244.1.67",
    );
    place.write("1.yaml", &evil);
    agent.wait_for_line("changed: ", LIMIT).unwrap();
    let told = agent
        .lines()
        .iter()
        .filter(|line| line.contains(MESSAGE))
        .count();
    assert_eq!(told, 1);
}
