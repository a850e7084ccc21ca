//! The Node object, and the Lease that says that the node lives.

use super::NodeSettings;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// Well below the 40 s of the lease and the controller's 50 s.
const RENEWAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);

/// Registers the node, says that it is ready and renews its lease.
pub(super) async fn keep(client: Client, settings: &NodeSettings) {
    while let Err(error) = register(&client, settings).await {
        tracing::debug!("registering node {}: {error}", settings.name);
        sleep(RETRY).await;
    }
    loop {
        let pause = match renew(&client, &settings.name).await {
            Ok(()) => RENEWAL,
            Err(error) => {
                tracing::debug!("renewing the lease of {}: {error}", settings.name);
                RETRY
            }
        };
        sleep(pause).await;
    }
}

async fn register(client: &Client, settings: &NodeSettings) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .patch(&settings.name, &mine(), &Patch::Apply(object(settings)))
        .await?;
    let status = Patch::Merge(json!({ "status": status(settings) }));
    let params = PatchParams::default();
    nodes.patch_status(&settings.name, &params, &status).await?;
    Ok(())
}

fn object(settings: &NodeSettings) -> Value {
    let mut labels = settings.labels.clone();
    let hostname = "kubernetes.io/hostname".to_owned();
    labels.entry(hostname).or_insert(settings.name.clone());
    let ranges: Vec<_> = settings
        .pod_ranges
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": settings.name, "labels": labels },
        "spec": {
            "podCIDR": ranges.first(),
            "podCIDRs": ranges,
        },
    })
}

fn status(settings: &NodeSettings) -> Value {
    let now = Timestamp::now().to_string();
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind,
            "status": status,
            "reason": "TestKubelet",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    };
    let addresses = settings.addresses.iter();
    let addresses = addresses.map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let size = json!({ "cpu": "8", "memory": "16Gi", "pods": "250" });
    json!({
        "addresses": addresses.collect::<Vec<_>>(),
        "capacity": size,
        "allocatable": size,
        "conditions": [
            condition("Ready", "True"),
            condition("MemoryPressure", "False"),
            condition("DiskPressure", "False"),
            condition("PIDPressure", "False"),
            condition("NetworkUnavailable", "False"),
        ],
    })
}

async fn renew(client: &Client, node: &str) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node },
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": 40,
            "renewTime": MicroTime(Timestamp::now()),
        },
    });
    leases.patch(node, &mine(), &Patch::Apply(lease)).await?;
    Ok(())
}

fn mine() -> PatchParams {
    PatchParams::apply("test-kubelet").force()
}
