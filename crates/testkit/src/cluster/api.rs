//! The Kubernetes API for tests that block.
//!
//! Objects are named `namespace/name`, those of the whole cluster `name`.

use super::users::User;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, PropagationPolicy,
};
use kube::{Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Who owns fields that were applied.
const MANAGER: &str = "viprule-tests";

/// A client of one user, on threads inside the namespace that it was connected from.
pub struct Api {
    runtime: Option<Runtime>,
    client: Client,
}

type Objects = kube::Api<DynamicObject>;

impl Api {
    /// A client in `namespace` for the API server at `server`, trusting the authorities of a PEM
    /// file. Connects when it is first asked something.
    pub fn connect(
        namespace: &Namespace,
        server: &str,
        authority: &Path,
        user: User,
    ) -> Result<Self> {
        let url = server.parse().map_err(|error| Error::Address {
            what: format!("{server:?}"),
            why: format!("it is no URL: {error}"),
        })?;
        let inside = namespace.try_clone()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("test API client")
            .on_thread_start(move || {
                // A thread that stayed outside couldn't connect, which the first request tells.
                let _ = inside.enter_thread();
            })
            .enable_all()
            .build()
            .map_err(Error::io("starting the runtime of an API client"))?;
        let mut config = Config::new(url);
        config.root_cert = Some(certificates(authority)?);
        config.auth_info.token = Some(user.token().to_owned().into());
        config.default_retry = false;
        let client = {
            let _context = runtime.enter();
            Client::try_from(config).map_err(Error::api(format!("a client for {server}")))?
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
        })
    }

    /// The asynchronous client, to be used within [`Self::run`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs `work` inside the namespace and waits for it.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::NotInWorld {
            what: "runtime for this request; it panicked or was shut down".to_owned(),
        };
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (send, receive) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _ = send.send(work.await);
        });
        receive.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Whether the API server says that it is ready.
    pub fn is_ready(&self) -> bool {
        let client = self.client();
        self.run(async move {
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .map_err(|error| Error::Malformed {
                    what: "a request for /readyz".to_owned(),
                    why: error.to_string(),
                })?;
            let ask = client.request_text(request);
            let answer = tokio::time::timeout(Duration::from_secs(5), ask).await;
            Ok(matches!(answer, Ok(Ok(text)) if text == "ok"))
        })
        .unwrap_or(false)
    }

    /// The text of the answer to a GET of this path, such as `/api/v1/services`.
    pub fn text(&self, path: &str) -> Result<String> {
        let client = self.client();
        let request =
            http::Request::get(path)
                .body(Vec::new())
                .map_err(|error| Error::Malformed {
                    what: format!("a request for {path}"),
                    why: error.to_string(),
                })?;
        let what = format!("GET {path}");
        self.run(async move {
            let answer = client.request_text(request).await;
            answer.map_err(Error::api(what))
        })
    }

    /// Makes an object what the JSON says, creating it if it isn't there; its `status` too if the
    /// JSON has one. Fields that were applied before and aren't any more go.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let (client, object) = (self.client(), object.clone());
        self.run(async move { apply(&client, &object).await })
    }

    /// [`Self::apply`] for each document of a YAML text.
    pub fn apply_yaml(&self, text: &str) -> Result<()> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| Error::Malformed {
                what: "YAML for the API server".to_owned(),
                why: error.to_string(),
            })?;
        documents.iter().try_for_each(|object| self.apply(object))
    }

    /// Creates many objects, `at_once` requests at a time. Far cheaper than applying them.
    pub fn create_all(
        &self,
        objects: impl IntoIterator<Item = Value>,
        at_once: usize,
    ) -> Result<()> {
        let objects: Vec<Value> = objects.into_iter().collect();
        let client = self.client();
        self.run(async move {
            let mut tasks = JoinSet::new();
            for object in objects {
                if tasks.len() >= at_once {
                    finished(tasks.join_next().await)?;
                }
                let client = client.clone();
                tasks.spawn(async move { create(&client, object).await });
            }
            while let Some(result) = tasks.join_next().await {
                finished(Some(result))?;
            }
            Ok(())
        })
    }

    /// Reads an object.
    pub fn get<K>(&self, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
    {
        let (objects, name, what) = self.named::<K>("get", name);
        self.run(async move {
            let found = objects.get_opt(&name).await.map_err(Error::api(&what))?;
            found.map(|object| parse(object, &what)).transpose()
        })
    }

    /// All objects of a kind in all namespaces that have this label, such as `app=web`; the empty
    /// label is all.
    pub fn list<K>(&self, label: &str) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
    {
        let resource = ApiResource::erase::<K>(&());
        let objects = Objects::all_with(self.client(), &resource);
        let what = format!("list {} {label}", resource.plural);
        let params = ListParams::default().labels(label);
        self.run(async move {
            let found = objects.list(&params).await.map_err(Error::api(&what))?;
            found
                .items
                .into_iter()
                .map(|object| parse(object, &what))
                .collect()
        })
    }

    /// Changes fields of an object (JSON merge patch, RFC 7386).
    pub fn patch<K: Resource<DynamicType = ()>>(&self, name: &str, patch: Value) -> Result<()> {
        let (objects, name, what) = self.named::<K>("patch", name);
        self.run(async move {
            let params = PatchParams::default();
            let patched = objects.patch(&name, &params, &Patch::Merge(patch)).await;
            patched.map(drop).map_err(Error::api(what))
        })
    }

    /// [`Self::patch`] for the status; `patch` is an object with a `status`.
    pub fn patch_status<K: Resource<DynamicType = ()>>(
        &self,
        name: &str,
        patch: Value,
    ) -> Result<()> {
        let (objects, name, what) = self.named::<K>("patch status of", name);
        self.run(async move {
            let params = PatchParams::default();
            let patch = Patch::Merge(patch);
            let patched = objects.patch_status(&name, &params, &patch).await;
            patched.map(drop).map_err(Error::api(what))
        })
    }

    /// Deletes an object, what it owns in the background. Nothing happens if it isn't there.
    pub fn delete<K: Resource<DynamicType = ()>>(&self, name: &str) -> Result<()> {
        let (objects, name, what) = self.named::<K>("delete", name);
        self.run(async move {
            let params = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                ..DeleteParams::default()
            };
            match objects.delete(&name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                result => result.map(drop).map_err(Error::api(what)),
            }
        })
    }

    /// Evicts a pod, which may be refused by a `PodDisruptionBudget` (code 429).
    pub fn evict(&self, name: &str) -> Result<()> {
        let (objects, name, what) = self.named::<Pod>("evict", name);
        self.run(async move {
            let eviction = serde_json::json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": { "name": name },
            });
            let params = PostParams::default();
            let evicted: kube::Result<Value> = objects
                .create_subresource("eviction", &name, &params, &eviction)
                .await;
            evicted.map(drop).map_err(Error::api(what))
        })
    }

    /// Asks `condition` every 20 ms until it is true; how long that took. Errors of the API server
    /// count as "not yet" and the last of them is told in the end.
    pub fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let context = match condition(self) {
                Ok(true) => return Ok(start.elapsed()),
                Ok(false) => String::new(),
                Err(error) => format!("; the last error: {error}"),
            };
            if start.elapsed() >= patience {
                return Err(Error::Deadline {
                    what: what.to_owned(),
                    waited: patience,
                    context,
                });
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The objects of a kind, the bare name of one of them, and a request in words.
    fn named<K: Resource<DynamicType = ()>>(
        &self,
        verb: &str,
        name: &str,
    ) -> (Objects, String, String) {
        let resource = ApiResource::erase::<K>(&());
        let what = format!("{verb} {} {name}", resource.kind);
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, name),
        };
        let objects = objects(&self.client, &resource, namespace);
        (objects, name.to_owned(), what)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // A watch under way must not hold up the end of a test.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn apply(client: &Client, object: &Value) -> Result<()> {
    let (objects, name, what) = of(client, object, "apply")?;
    let mut spec = object.clone();
    let status = spec.as_object_mut().and_then(|spec| spec.remove("status"));
    let params = PatchParams::apply(MANAGER).force();
    let applied = objects.patch(&name, &params, &Patch::Apply(spec)).await;
    applied.map_err(Error::api(&what))?;
    if let Some(status) = status {
        // Merged: a node with two addresses of one type can't be applied.
        let patch = Patch::Merge(json!({ "status": status }));
        let params = PatchParams::default();
        let patched = objects.patch_status(&name, &params, &patch).await;
        patched.map_err(Error::api(format!("{what}, its status")))?;
    }
    Ok(())
}

async fn create(client: &Client, object: Value) -> Result<()> {
    let (objects, _, what) = of(client, &object, "create")?;
    let object: DynamicObject =
        serde_json::from_value(object).map_err(|error| malformed(&what, &error))?;
    let created = objects.create(&PostParams::default(), &object).await;
    created.map(drop).map_err(Error::api(what))
}

/// Where an object in JSON belongs, its name, and a request about it in words.
fn of(client: &Client, object: &Value, verb: &str) -> Result<(Objects, String, String)> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    let parts = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let (Some(version), Some(kind), Some(name)) = parts else {
        return Err(Error::Malformed {
            what: format!("object {object}"),
            why: "it has no apiVersion, kind or metadata.name".to_owned(),
        });
    };
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let namespace = text("/metadata/namespace");
    let what = match namespace {
        Some(namespace) => format!("{verb} {kind} {namespace}/{name}"),
        None => format!("{verb} {kind} {name}"),
    };
    Ok((objects(client, &resource, namespace), name.to_owned(), what))
}

fn objects(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Objects {
    match namespace {
        Some(namespace) => Objects::namespaced_with(client.clone(), namespace, resource),
        None => Objects::all_with(client.clone(), resource),
    }
}

fn parse<K>(object: DynamicObject, what: &str) -> Result<K>
where
    K: Resource + DeserializeOwned,
{
    object.try_parse().map_err(|error| malformed(what, &error))
}

fn malformed(what: &str, why: &impl fmt::Display) -> Error {
    Error::Malformed {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

fn finished(task: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match task {
        None | Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(malformed("a request of many", &error)),
    }
}

/// The certificates of a PEM file, DER.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let pem = fs::read_to_string(path).map_err(Error::io(format!("reading {}", path.display())))?;
    let mut found = Vec::new();
    for block in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let text: String = block
            .split("-----END")
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let der = data_encoding::BASE64.decode(text.as_bytes());
        found.push(der.map_err(|error| malformed(&path.display().to_string(), &error))?);
    }
    Ok(found)
}
