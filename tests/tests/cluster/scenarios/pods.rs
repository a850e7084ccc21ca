//! What the API server hears of pods: the kubelet's side of it.

use super::Stage;
use crate::support::LIMIT;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use viprule_testkit::k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

/// A pod of one container named `main`, removed by the test.
fn run(stage: &Stage, name: &str, spec: &Value) {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "version": "v1" } },
        "spec": { "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 2 },
    });
    let main = json!({ "name": "main", "image": "main:v1", "ports": [{ "containerPort": 8080 }] });
    object["spec"]["containers"] = json!([main]);
    merge(&mut object["spec"], spec);
    stage.api().apply(&object).unwrap();
}

/// Lays `over` on a pod's spec; what is said of `main` goes to its container.
fn merge(spec: &mut Value, over: &Value) {
    for (key, value) in over.as_object().unwrap() {
        if key == "main" {
            for (key, value) in value.as_object().unwrap() {
                spec["containers"][0][key] = value.clone();
            }
        } else {
            spec[key] = value.clone();
        }
    }
}

fn status(stage: &Stage, name: &str) -> Option<PodStatus> {
    let pod = stage.api().get::<Pod>(&format!("default/{name}"));
    pod.unwrap()?.status
}

fn main_of(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.as_ref()?.first()
}

fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    let mut ready = conditions.filter(|it| it.type_ == "Ready");
    ready.any(|it| it.status == "True")
}

#[track_caller]
fn wait(stage: &Stage, name: &str, what: &str, condition: impl Fn(&PodStatus) -> Option<bool>) {
    stage.wait(&format!("pod {name}: {what}"), |_| {
        condition(&status(stage, name)?)
    });
}

/// How long it takes until a deleted pod's object is gone.
#[track_caller]
fn delete(stage: &Stage, name: &str) -> Duration {
    let start = Instant::now();
    let path = format!("default/{name}");
    stage.api().delete::<Pod>(&path).unwrap();
    stage.wait(&format!("pod {name} to be gone"), |api| {
        Some(api.get::<Pod>(&path).ok()?.is_none())
    });
    start.elapsed()
}

#[test]
fn a_pod_is_reported_with_its_node_addresses_and_conditions() {
    let stage = Stage::enter();
    run(&stage, "plain", &json!({}));
    wait(&stage, "plain", "ready", |it| Some(is_ready(it)));
    let status = status(&stage, "plain").unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let pod = stage.pod("plain");
    let own: Vec<_> = pod.addresses().iter().map(ToString::to_string).collect();
    let told = status.pod_ips.iter().flatten().map(|it| it.ip.clone());
    assert_eq!(told.collect::<Vec<_>>(), own);
    assert_eq!(own.len(), 2, "both families");
    assert_eq!(status.host_ips.as_ref().map(Vec::len), Some(2));
    assert_eq!(status.observed_generation, Some(1));
    assert!(status.start_time.is_some());
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        let mut conditions = status.conditions.iter().flatten();
        let found = conditions.find(|it| it.type_ == kind);
        assert_eq!(found.map(|it| it.status.as_str()), Some("True"), "{kind}");
    }
    assert_eq!(pod.identity().version, "v1");
    delete(&stage, "plain");
}

#[test]
fn a_container_that_fails_its_liveness_probe_is_restarted() {
    let stage = Stage::enter();
    let probe = json!({
        "httpGet": { "path": "/live", "port": 8080 },
        "periodSeconds": 1,
        "timeoutSeconds": LIMIT.as_secs(),
        "failureThreshold": 2,
    });
    run(
        &stage,
        "mortal",
        &json!({ "main": { "livenessProbe": probe } }),
    );
    wait(&stage, "mortal", "ready", |it| Some(is_ready(it)));
    let id = |it: &PodStatus| main_of(it)?.container_id.clone();
    let first = id(&status(&stage, "mortal").unwrap());
    stage.pod("mortal").switches().set_live(false);
    wait(&stage, "mortal", "restarted and ready", |it| {
        Some(main_of(it)?.restart_count == 1 && is_ready(it))
    });
    let status = status(&stage, "mortal").unwrap();
    assert_ne!(id(&status), first);
    let last = main_of(&status).unwrap().last_state.clone().unwrap();
    assert_eq!(last.terminated.unwrap().exit_code, 0);
    delete(&stage, "mortal");
}

#[test]
fn a_hanging_container_is_killed_and_comes_back() {
    let stage = Stage::enter();
    // Time enough for one that does not hang, on a slow machine as well.
    let probe = json!({
        "httpGet": { "path": "/live", "port": 8080 },
        "periodSeconds": 1,
        "timeoutSeconds": 10,
        "failureThreshold": 1,
    });
    run(
        &stage,
        "stuck",
        &json!({ "main": { "livenessProbe": probe } }),
    );
    wait(&stage, "stuck", "ready", |it| Some(is_ready(it)));
    let pod = stage.pod("stuck");
    pod.switches().set_holding(true);
    let url = format!("http://{}:8080/held", pod.addresses()[0]);
    let curl = pod.namespace().command("curl").args(["--silent", &url]);
    let mut curl = curl.spawn().unwrap();
    stage.wait("a request to be under way", |_| {
        Some(pod.switches().held() == 1)
    });
    pod.switches().set_hanging(true);
    wait(&stage, "stuck", "restarted", |it| {
        Some(main_of(it)?.restart_count == 1 && is_ready(it))
    });
    let status = status(&stage, "stuck").unwrap();
    let last = main_of(&status).unwrap().last_state.clone().unwrap();
    assert_eq!(last.terminated.unwrap().exit_code, 137);
    assert!(!curl.wait().unwrap().success(), "its request outlived it");
    delete(&stage, "stuck");
}

#[test]
fn a_pod_is_started_and_ready_only_after_its_startup_probe() {
    let stage = Stage::enter();
    let flag = std::env::temp_dir().join(format!("viprule-startup-{}", std::process::id()));
    let startup = json!({
        "exec": { "command": ["test", "-e", flag] },
        "periodSeconds": 1,
        "failureThreshold": 60,
    });
    let readiness = json!({ "grpc": { "port": 8080 }, "periodSeconds": 1 });
    let main = json!({ "startupProbe": startup, "readinessProbe": readiness });
    run(&stage, "slow", &json!({ "main": main }));
    wait(&stage, "slow", "running", |it| {
        Some(main_of(it)?.state.as_ref()?.running.is_some())
    });
    std::thread::sleep(Duration::from_millis(2500));
    let before = status(&stage, "slow").unwrap();
    assert_eq!(main_of(&before).unwrap().started, Some(false));
    assert!(!is_ready(&before));
    std::fs::write(&flag, "").unwrap();
    wait(&stage, "slow", "ready", |it| Some(is_ready(it)));
    let after = status(&stage, "slow").unwrap();
    assert_eq!(main_of(&after).unwrap().started, Some(true));
    std::fs::remove_file(&flag).unwrap();
    delete(&stage, "slow");
}

#[test]
fn a_pod_serves_through_its_pre_stop_hook_and_is_killed_when_its_time_is_over() {
    let stage = Stage::enter();
    let folder = tempfile::tempdir().unwrap();
    let [begun, end] = ["begun", "end"].map(|name| folder.path().join(name));
    let script = format!(
        "touch {}; until test -e {}; do sleep 0.1; done",
        begun.display(),
        end.display()
    );
    let hook = json!({ "preStop": { "exec": { "command": ["sh", "-c", script] } } });
    let patient = json!({
        "main": { "lifecycle": hook },
        "terminationGracePeriodSeconds": LIMIT.as_secs(),
    });
    run(&stage, "polite", &patient);
    let forever = json!({ "preStop": { "exec": { "command": ["sleep", "600"] } } });
    run(
        &stage,
        "eternal",
        &json!({ "main": { "lifecycle": forever } }),
    );
    for name in ["polite", "eternal"] {
        wait(&stage, name, "ready", |it| Some(is_ready(it)));
    }
    let polite = stage.pod("polite");
    let address = polite.addresses()[0];
    let url = format!("http://{address}:8080/");
    stage.api().delete::<Pod>("default/polite").unwrap();
    stage.wait("the polite pod's hook", |_| Some(begun.exists()));
    let curl = stage.node(0).command("curl");
    let answer = curl.args(["--silent", "--fail", &url]).text().unwrap();
    assert!(answer.contains("polite"), "{answer}");
    std::fs::write(&end, "").unwrap();
    stage.wait("the polite pod to be gone", |api| {
        Some(api.get::<Pod>("default/polite").ok()?.is_none())
    });
    // No more than the two seconds that it has.
    let took = delete(&stage, "eternal");
    assert!(took >= Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_pod_that_cannot_run_here_says_why() {
    let stage = Stage::enter();
    let first = json!([{ "name": "first", "image": "first" }]);
    run(&stage, "demanding", &json!({ "initContainers": first }));
    wait(&stage, "demanding", "failed", |it| {
        let message = it.message.as_ref()?;
        Some(it.phase.as_deref() == Some("Failed") && message.contains("init containers"))
    });
    delete(&stage, "demanding");
}

#[test]
fn a_cordoned_node_gets_no_pods() {
    let stage = Stage::enter();
    stage.cordon(0, true);
    for name in ["here-1", "here-2", "here-3"] {
        run(&stage, name, &json!({}));
    }
    for name in ["here-1", "here-2", "here-3"] {
        wait(&stage, name, "ready", |it| Some(is_ready(it)));
        let pod = stage.api().get::<Pod>(&format!("default/{name}"));
        let node = pod.unwrap().unwrap().spec.unwrap().node_name;
        assert_eq!(node.as_deref(), Some("node-1"));
    }
    stage.cordon(0, false);
    for name in ["here-1", "here-2", "here-3"] {
        delete(&stage, name);
    }
}
