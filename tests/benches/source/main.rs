//! What it costs to learn of a large cluster's Services from a real API server: decoding, the thread
//! that watches, and the server.
//!
//! Run with `scripts/bench-source`. Nothing is asserted about times.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "prints figures that need no 53 bits"
)]

mod server;

use anyhow::Context as _;
use clap::Parser;
use serde::Deserialize;
use server::Server;
use std::path::Path;
use viprule_source::kube::{Access, ApiServer, Resource, Source, count_objects, list_once};
use viprule_testkit::cluster::{Api, Cluster, User};
use viprule_tests::figures::objects::Objects;
use viprule_tests::figures::samples::{Sample, median, time};

/// The node that watches.
const NODE: &str = "node-0";
/// Objects on a page that we ask for; what Go clients ask for.
const PAGES: [usize; 2] = [2_000, 500];
/// What a client asks for that has its lists streamed (KEP-3157). The server ends it after the time,
/// seconds; by then the lists are long told.
const STREAM: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                      &allowWatchBookmarks=true&timeoutSeconds=1";

/// Measures processor time for lists of Services and EndpointSlices.
#[derive(Debug, Parser)]
struct Options {
    /// How many Services
    #[arg(long, default_value_t = 10_000)]
    services: u32,
    /// Endpoints of each
    #[arg(long, default_value_t = 5)]
    endpoints: u32,
    /// How often each is measured; medians are printed
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What something cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    own: Sample,
    /// Processor time of the API server, milliseconds.
    server: f64,
}

#[derive(Debug, Deserialize)]
struct Head {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(rename = "continue", default)]
    next: String,
}

const RESOURCES: [(Resource, &str); 2] = [
    (Resource::Service, "/api/v1/services"),
    (
        Resource::EndpointSlice,
        "/apis/discovery.k8s.io/v1/endpointslices",
    ),
];

/// All pages of both lists.
fn pages(api: &Api, limit: usize) -> anyhow::Result<Vec<(Resource, String)>> {
    let mut pages = Vec::new();
    for (resource, path) in RESOURCES {
        let mut next = String::new();
        loop {
            let text = api.text(&format!("{path}?limit={limit}&continue={next}"))?;
            next = serde_json::from_str::<Head>(&text)?.metadata.next;
            pages.push((resource, text));
            if next.is_empty() {
                break;
            }
        }
    }
    Ok(pages)
}

/// Both lists as streams. Returns how many lines came.
fn streams(api: &Api) -> anyhow::Result<usize> {
    let mut lines = 0;
    for (_, path) in RESOURCES {
        lines += api.text(&format!("{path}?{STREAM}"))?.lines().count();
    }
    Ok(lines)
}

fn measure<T>(
    server: &Server,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Cost, T)> {
    let before = server.time()?;
    let (made, own) = time(work);
    let server = server.time()?.saturating_sub(before).as_secs_f64() * 1e3;
    Ok((Cost { own, server }, made?))
}

/// What the agent does at its start. Returns how many events it heard.
fn watch(kubeconfig: &Path) -> anyhow::Result<usize> {
    alone(async {
        let server = ApiServer::new(access(kubeconfig)).await?;
        let mut source = Source::start(&server, NODE, &Resource::USUAL, 0);
        let mut heard = 0;
        loop {
            let batch = source.next().await.context("the watches ended")?;
            heard += batch.events.len();
            if batch.complete {
                return Ok(heard);
            }
        }
    })
}

/// What verbs do that end.
fn list(kubeconfig: &Path) -> anyhow::Result<usize> {
    alone(async {
        let server = ApiServer::new(access(kubeconfig)).await?;
        Ok(list_once(&server, NODE, &Resource::USUAL, 0)
            .await?
            .events
            .len())
    })
}

fn access(kubeconfig: &Path) -> Access {
    Access {
        kubeconfig: Some(kubeconfig.to_owned()),
        master: None,
        pipes: false,
    }
}

/// On this thread and no other.
fn alone<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

fn print(what: &str, costs: &[Cost]) {
    let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part));
    println!(
        "{what:<44} {:>9.0} {:>9.0} {:>9.0}",
        of(|it| it.own.cpu),
        of(|it| it.server),
        of(|it| it.own.wall)
    );
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let cluster = Cluster::start(1).context("starting a cluster")?;
    let objects = Objects::new(options.services, options.endpoints);
    let api = cluster.api()?;
    objects.create(api)?;
    let least = 2 * options.services as usize;
    let server = Server::find()?;
    let kubeconfig = cluster.kubeconfig(User::KubeProxy)?;
    let texts = pages(api, PAGES[0])?;
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    eprintln!(
        "{} Services x {} endpoints, {bytes} bytes in {} pages",
        options.services,
        options.endpoints,
        texts.len()
    );

    let mut all: [Vec<Cost>; 6] = Default::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let decode = || {
            texts.iter().try_fold(0, |count, (resource, text)| {
                anyhow::Ok(count + count_objects(*resource, NODE, text)?)
            })
        };
        let node = cluster.node(0).namespace();
        let [decoded, watched, listed, pages, go_pages, streamed] = &mut all;
        let mut heard = Vec::new();
        let mut take = |costs: &mut Vec<Cost>, (cost, count)| {
            costs.push(cost);
            heard.push(count);
        };
        take(decoded, measure(&server, decode)?);
        take(
            watched,
            node.run(|| measure(&server, || watch(&kubeconfig)))??,
        );
        take(
            listed,
            node.run(|| measure(&server, || list(&kubeconfig)))??,
        );
        take(streamed, measure(&server, || streams(api))?);
        anyhow::ensure!(
            heard.iter().all(|count| *count >= least),
            "{heard:?} objects"
        );
        for (costs, limit) in [pages, go_pages].into_iter().zip(PAGES) {
            costs.push(measure(&server, || self::pages(api, limit))?.0);
        }
    }
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "milliseconds, medians", "thread", "server", "wall"
    );
    let [decoded, watched, listed, pages, go_pages, streamed] = &all;
    print("decode and convert all pages, nothing else", decoded);
    print("the agent's start: lists, watches", watched);
    print("a verb that ends: lists by pages of 2,000", listed);
    print("the same pages, read by another client", pages);
    print("pages of 500, as Go clients ask for", go_pages);
    print("streams of JSON, ended after 1 s each", streamed);
    Ok(())
}
