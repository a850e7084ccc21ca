//! What the tests of manifests share.

#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use viprule_service::model::Event;
use viprule_source::manifest::{Load, Manifests};

/// A folder of its own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("viprule-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// As careful tools write: whoever opens the name sees the old or the new text.
    pub fn replace(&self, name: &str, text: &str) {
        let new = self.write(&format!("{name}.new"), text);
        fs::rename(new, self.0.join(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }

    pub fn manifests(&self) -> Manifests {
        Manifests::new([self.0.clone()], Some("node-0".to_owned()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Service with one port.
pub fn service(name: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{clusterIP: {ip}, ports: [{{port: 80}}]}}\n"
    )
}

/// A slice with one endpoint.
pub fn slice(name: &str, service: &str, ip: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [{ip}]}}]\n"
    )
}

/// This node.
pub fn node(ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: node-0}}\n\
         status: {{addresses: [{{type: InternalIP, address: {ip}}}]}}\n"
    )
}

/// Events about content in one line each.
pub fn events(load: &Load) -> Vec<String> {
    let events = load.events.iter();
    let content =
        events.filter(|event| !matches!(event, Event::Refused(_) | Event::NoLongerRefused(_)));
    content.map(event).collect()
}

/// What a load says of objects that can't be used.
pub fn refused(load: &Load) -> Vec<String> {
    let events = load.events.iter();
    let told =
        events.filter(|event| matches!(event, Event::Refused(_) | Event::NoLongerRefused(_)));
    told.map(event).collect()
}

fn event(event: &Event) -> String {
    match event {
        Event::ServiceApplied(service) => format!("+{} {:?}", service.id, service.cluster_ips),
        Event::ServiceDeleted(id) => format!("-{id}"),
        Event::SliceApplied(slice) => {
            let addresses: Vec<_> = slice
                .endpoints
                .iter()
                .map(|endpoint| endpoint.address.to_string())
                .collect();
            format!("+{}:{} {addresses:?}", slice.id.service, slice.id.name)
        }
        Event::SliceDeleted(id) => format!("-{}:{}", id.service, id.name),
        Event::NodeApplied(node) => format!("+{} {:?}", node.name, node.addresses),
        Event::NodeDeleted => "-node".to_owned(),
        Event::ServiceCidrApplied(cidr) => format!("+{} {:?}", cidr.name, cidr.networks),
        Event::ServiceCidrDeleted(name) => format!("-{name}"),
        Event::ServiceCidrsRelisted(names) => format!("={names:?}"),
        Event::SliceMoved {
            namespace,
            name,
            to,
        } => format!("{namespace}/{name} -> {to:?}"),
        Event::ServicesRelisted(ids) => format!("={ids:?}"),
        Event::SlicesRelisted(ids) => format!("={ids:?}"),
        Event::LocalAddresses(addresses) => format!("{addresses:?}"),
        Event::ApiServer(addresses) => format!("API server {addresses:?}"),
        Event::Refused(refused) => refused.to_string(),
        Event::RefusedAsks(service) => format!("?{} {:?}", service.id, service.cluster_ips),
        Event::NoLongerRefused(refused) => format!("no longer {refused}"),
    }
}

/// Problems as they print, without the folder.
pub fn problems(load: &Load, folder: &Folder) -> Vec<String> {
    let prefix = format!("{}/", folder.path().display());
    load.problems
        .iter()
        .map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}
