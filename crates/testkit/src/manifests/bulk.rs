//! Data sets of any size, written as a stream.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

/// `services` TCP Services of one port with `endpoints` endpoints each.
///
/// Cluster IPs are in 10.96.0.0/12 (at most 1,048,566 Services), pods in 10.128.0.0/9 (at most
/// 8,388,607). Addresses depend on the numbers only, so that two runs write the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk {
    /// How many Services.
    pub services: u32,
    /// How many endpoints each Service has.
    pub endpoints: u32,
    /// How many nodes the endpoints are spread over, `node-0` and on. At least 1.
    pub nodes: u32,
}

/// What the control plane puts into a slice at most.
const SLICE_SIZE: u32 = 100;
const FIRST_CLUSTER_IP: u32 = u32::from_be_bytes([10, 96, 0, 10]);
const POD_RANGE: u32 = u32::from_be_bytes([10, 128, 0, 0]);
const POD_RANGE_SIZE: u32 = 1 << 23;

impl Bulk {
    /// A data set on 100 nodes.
    pub fn new(services: u32, endpoints: u32) -> Self {
        Self {
            services,
            endpoints,
            nodes: 100,
        }
    }

    /// Where Service number `service` (from 0) is reached, on port 80.
    pub fn cluster_ip(&self, service: u32) -> Ipv4Addr {
        (FIRST_CLUSTER_IP + service).into()
    }

    /// `namespace/name` of a Service.
    pub fn name(&self, service: u32) -> String {
        format!("bulk-{}/svc-{service}", service % 50)
    }

    /// The address of an endpoint, on port 8080. In revision 0 everything is as written by
    /// [`Self::write_to`]; in each further revision endpoint 0 of a Service has an address that
    /// nobody had before, until the pod range is used up.
    pub fn endpoint(&self, service: u32, endpoint: u32, revision: u32) -> Ipv4Addr {
        let used = u64::from(self.services) * u64::from(self.endpoints) + 1;
        let size = u64::from(POD_RANGE_SIZE);
        let index = if revision > 0 && endpoint == 0 {
            let spare = u64::from(revision - 1) * u64::from(self.services) + u64::from(service);
            used + spare % size.saturating_sub(used).max(1)
        } else {
            u64::from(service) * u64::from(self.endpoints) + u64::from(endpoint) + 1
        };
        (POD_RANGE + u32::try_from(index % size).unwrap_or_default()).into()
    }

    /// The Service's document.
    pub fn write_service(&self, service: u32, out: &mut impl Write) -> io::Result<()> {
        let name = self.name(service);
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        let ip = self.cluster_ip(service);
        writeln!(
            out,
            "---\napiVersion: v1\nkind: Service\n\
             metadata: {{namespace: {namespace}, name: {name}}}\n\
             spec: {{type: ClusterIP, clusterIP: {ip}, clusterIPs: [{ip}], ipFamilies: [IPv4], \
             ports: [{{name: http, port: 80, targetPort: 8080, protocol: TCP}}]}}"
        )
    }

    /// The documents of the Service's slices, 100 endpoints each.
    pub fn write_slices(
        &self,
        service: u32,
        revision: u32,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let name = self.name(service);
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        for (number, first) in (0..self.endpoints).step_by(SLICE_SIZE as usize).enumerate() {
            writeln!(
                out,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{namespace: {namespace}, name: {name}-{number}, \
                 labels: {{kubernetes.io/service-name: {name}}}}}\n\
                 addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints:"
            )?;
            for endpoint in first..self.endpoints.min(first + SLICE_SIZE) {
                let ip = self.endpoint(service, endpoint, revision);
                let index = u64::from(service) * u64::from(self.endpoints) + u64::from(endpoint);
                let node = index % u64::from(self.nodes.max(1));
                writeln!(
                    out,
                    "- {{addresses: [{ip}], conditions: {{ready: true, serving: true, \
                     terminating: false}}, nodeName: node-{node}}}"
                )?;
            }
        }
        Ok(())
    }

    /// All documents, Services with their slices.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        for service in 0..self.services {
            self.write_service(service, out)?;
            self.write_slices(service, 0, out)?;
        }
        Ok(())
    }

    /// Writes all documents to a file.
    pub fn write_file(&self, path: &Path) -> Result<()> {
        File::create(path)
            .and_then(|file| {
                let mut out = BufWriter::with_capacity(1 << 20, file);
                self.write_to(&mut out)?;
                out.flush()
            })
            .map_err(Error::io(format!("writing {}", path.display())))
    }
}
