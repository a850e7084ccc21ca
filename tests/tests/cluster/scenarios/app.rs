//! Deployments and a Service of a scenario.

use super::Stage;
use super::traffic::Traffic;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use viprule_testkit::k8s_openapi::api::apps::v1::Deployment;
use viprule_testkit::k8s_openapi::api::core::v1::{Pod, Service};

/// The port of the Service.
const PORT: u16 = 80;

/// What a scenario has of its own, under its own name. It is removed on drop.
#[derive(Debug)]
pub(crate) struct App<'s> {
    stage: &'s Stage,
    name: String,
    deployments: RefCell<Vec<String>>,
}

impl<'s> App<'s> {
    pub(super) fn new(stage: &'s Stage, name: &str) -> Self {
        Self {
            stage,
            name: name.to_owned(),
            deployments: RefCell::default(),
        }
    }

    /// Makes or changes the Deployment of a track (`""` for the only one): so many replicas of a
    /// version.
    pub(crate) fn deploy(&self, track: &str, replicas: u32, version: &str) {
        let name = self.deployment(track);
        let labels = json!({ "app": self.name, "track": track, "version": version });
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name, "namespace": "default" },
            "spec": {
                "replicas": replicas,
                "strategy": { "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } },
                "selector": { "matchLabels": { "app": self.name, "track": track } },
                "template": { "metadata": { "labels": labels }, "spec": pod_spec(version) },
            },
        });
        self.stage.api().apply(&object).unwrap();
        let mut deployments = self.deployments.borrow_mut();
        if !deployments.contains(&name) {
            deployments.push(name);
        }
    }

    /// Waits until a Deployment is as it was asked for, and pods that had to go are gone.
    #[track_caller]
    pub(crate) fn settled(&self, track: &str) {
        let name = format!("default/{}", self.deployment(track));
        self.stage.wait(&format!("{name} to be rolled out"), |api| {
            let deployment = api.get::<Deployment>(&name).ok()??;
            let (spec, status) = (deployment.spec?, deployment.status?);
            let wanted = spec.replicas;
            let current = status.observed_generation == deployment.metadata.generation;
            let counts = [
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ];
            // Absent is zero.
            Some(current && counts.iter().all(|n| n.unwrap_or(0) == wanted.unwrap_or(0)))
        });
        let selector = format!("app={},track={track}", self.name);
        self.stage
            .wait(&format!("old pods of {name} to be gone"), |api| {
                let pods = api.list::<Pod>(&selector).ok()?;
                let mut pods = pods.iter();
                Some(pods.all(|pod| pod.metadata.deletion_timestamp.is_none()))
            });
    }

    /// Waits until so many pods, and no others, are in use on every node.
    #[track_caller]
    pub(crate) fn in_use(&self, count: usize) {
        self.stage.wait_in_use(&self.name, count);
    }

    /// The names of a track's pods.
    pub(crate) fn pods(&self, track: &str) -> Vec<String> {
        let selector = format!("app={},track={track}", self.name);
        let pods = self.stage.api().list::<Pod>(&selector).unwrap();
        pods.into_iter()
            .filter_map(|pod| pod.metadata.name)
            .collect()
    }

    /// Makes or changes the Service, of type `NodePort` unless `extra` (a part of its spec) says
    /// otherwise. It leads to the pods of `track`, or to all for `None`.
    pub(crate) fn expose(&self, track: Option<&str>, extra: Value) {
        let mut selector = json!({ "app": self.name });
        if let Some(track) = track {
            selector["track"] = track.into();
        }
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": self.name, "namespace": "default" },
            "spec": {
                "type": "NodePort",
                "selector": selector,
                "ports": [{ "name": "http", "port": PORT, "targetPort": "http" }],
            },
        });
        if let (Some(spec), Value::Object(extra)) = (object["spec"].as_object_mut(), extra) {
            spec.extend(extra);
        }
        self.stage.api().apply(&object).unwrap();
    }

    /// The Service's address in the cluster.
    #[track_caller]
    pub(crate) fn cluster_ip(&self) -> SocketAddr {
        let spec = self.service().spec.unwrap();
        let ip: IpAddr = spec.cluster_ip.unwrap().parse().unwrap();
        SocketAddr::new(ip, PORT)
    }

    /// The Service's port on every node.
    #[track_caller]
    pub(crate) fn node_port(&self) -> u16 {
        let ports = self.service().spec.unwrap().ports.unwrap();
        ports[0].node_port.unwrap().try_into().unwrap()
    }

    /// Says that a load balancer has this address.
    pub(crate) fn set_load_balancer(&self, ip: &str) {
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } } });
        let name = self.service_name();
        self.stage
            .api()
            .patch_status::<Service>(&name, status)
            .unwrap();
    }

    /// Begins the usual traffic, once everybody is answered.
    #[track_caller]
    pub(crate) fn traffic(&self) -> Traffic<'s> {
        let ports =
            [0, 1].map(|node| SocketAddr::new(self.stage.node_address(node), self.node_port()));
        Traffic::start(self.stage, &self.name, self.cluster_ip(), &ports)
    }

    fn service(&self) -> Service {
        let found = self.stage.api().get::<Service>(&self.service_name());
        found.unwrap().unwrap()
    }

    fn service_name(&self) -> String {
        format!("default/{}", self.name)
    }

    fn deployment(&self, track: &str) -> String {
        let separator = if track.is_empty() { "" } else { "-" };
        format!("{}{separator}{track}", self.name)
    }
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let api = self.stage.api();
        for deployment in self.deployments.take() {
            api.delete::<Deployment>(&format!("default/{deployment}"))
                .unwrap();
        }
        api.delete::<Service>(&self.service_name()).unwrap();
        // The next scenario shall have the machine to itself.
        let selector = format!("app={}", self.name);
        self.stage.wait("the scenario's pods to be gone", |api| {
            Some(api.list::<Pod>(&selector).ok()?.is_empty())
        });
    }
}

/// A pod that is asked every second whether it is ready, and that goes on serving for two seconds
/// when it shall end, until no node leads to it any more.
fn pod_spec(version: &str) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 10,
        "containers": [{
            "name": "web",
            "image": format!("web:{version}"),
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "readinessProbe": {
                "httpGet": { "path": "/ready", "port": "http" },
                "periodSeconds": 1,
                "timeoutSeconds": 5,
                "failureThreshold": 1,
            },
            "lifecycle": { "preStop": { "sleep": { "seconds": 2 } } },
        }],
    })
}
