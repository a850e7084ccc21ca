//! Kubeconfigs.

use std::process::Command;
use std::{env, fs};

use viprule_source::kube::{Access, ApiServer};

use crate::log::Log;
use crate::server::{FakeServer, SERVICES};
use crate::world::Ear;

pub(crate) fn kubeconfig(url: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: \"{url}\"}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    )
}

pub(crate) async fn open(
    kubeconfig: &std::path::Path,
    master: Option<&str>,
) -> Result<ApiServer, String> {
    let access = Access {
        kubeconfig: Some(kubeconfig.to_owned()),
        master: master.map(str::to_owned),
        pipes: false,
    };
    ApiServer::new(access)
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_changed_kubeconfig_is_read_where_the_token_is_not_accepted() {
    let mut server = FakeServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig(&server.url(), "{token: first}")).unwrap();
    let api = open(&path, None).await.unwrap();
    let ear = Ear::of(&api);
    let request = server.next(SERVICES).await;
    assert!(request.head.contains("authorization: bearer first\r\n"));
    fs::write(&path, kubeconfig(&server.url(), "{token: second}")).unwrap();
    request.refuse(401, "Unauthorized", "Unauthorized").await;
    let request = server.next(SERVICES).await;
    assert!(request.head.contains("authorization: bearer second\r\n"));
    drop(ear);
}

/// The old one counts as long as a connection leads there.
#[tokio::test]
async fn where_the_server_is_reached_is_told_and_follows_the_kubeconfig() {
    let text = |url: String| url.trim_start_matches("http://").to_owned();
    let (mut server, mut next) = (FakeServer::start().await, FakeServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig(&server.url(), "{token: t}")).unwrap();
    let api = open(&path, None).await.unwrap();
    let mut reached = api.addresses();
    let mut until = async |expected: &mut [String]| {
        expected.sort();
        let is_told = |all: &std::collections::BTreeSet<std::net::SocketAddr>| {
            let mut all: Vec<_> = all.iter().map(ToString::to_string).collect();
            all.sort();
            all == expected
        };
        reached.wait_for(is_told).await.unwrap();
    };
    let (first, second) = (text(server.url()), text(next.url()));
    until(&mut [first.clone()]).await;
    let ear = Ear::of(&api);
    let request = server.next(SERVICES).await;
    fs::write(&path, kubeconfig(&next.url(), "{token: t}")).unwrap();
    request.refuse(401, "Unauthorized", "Unauthorized").await;
    let _request = next.next(SERVICES).await;
    until(&mut [first, second.clone()]).await;
    drop(server);
    until(&mut [second]).await;
    drop(ear);
}

#[tokio::test]
async fn the_master_replaces_the_kubeconfigs_server() {
    let mut server = FakeServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let token = folder.path().join("token");
    fs::write(&token, "from-a-file").unwrap();
    let user = format!("{{tokenFile: \"{}\"}}", token.display());
    fs::write(&path, kubeconfig("https://192.0.2.1:6443", &user)).unwrap();
    let api = open(&path, Some(&server.url())).await.unwrap();
    let _ear = Ear::of(&api);
    let request = server.next(SERVICES).await;
    assert!(
        request
            .head
            .contains("authorization: bearer from-a-file\r\n")
    );
}

#[tokio::test]
async fn errors_name_the_file_and_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let missing = open(&path, None).await.unwrap_err();
    assert!(
        missing.starts_with(&format!("kubeconfig {}: ", path.display())),
        "{missing}"
    );
    assert!(missing.contains("no such file"), "{missing}");

    fs::write(&path, "contexts: 5\n").unwrap();
    let broken = open(&path, None).await.unwrap_err();
    assert!(
        broken.contains("contexts") || broken.contains("line 1"),
        "{broken}"
    );

    let user = "{client-certificate: /nowhere/cert.pem, client-key: /nowhere/key.pem}";
    fs::write(&path, kubeconfig("https://192.0.2.1", user)).unwrap();
    let certificate = open(&path, None).await.unwrap_err();
    assert!(certificate.contains("/nowhere/cert.pem"), "{certificate}");
}

#[tokio::test]
async fn only_regular_files_of_some_length_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = open(&pipe, None).await.unwrap_err();
    assert!(
        error.contains("is a pipe; only regular files are read"),
        "{error}"
    );
    fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    let error = open(&path, None).await.unwrap_err();
    assert!(error.contains("is longer than 1 MiB"), "{error}");

    for (field, file) in [
        ("tokenFile", "pipe"),
        ("client-certificate", "/dev/zero"),
        ("client-key", "."),
    ] {
        let user = format!("{{{field}: \"{file}\"}}");
        fs::write(&path, kubeconfig("https://192.0.2.1", &user)).unwrap();
        let error = open(&path, None).await.unwrap_err();
        assert!(error.contains(&format!("{field}: ")), "{error}");
        assert!(error.contains("only regular files are read"), "{error}");
    }
    let text = kubeconfig("https://192.0.2.1", "{token: t}");
    fs::write(&path, with(&text, "certificate-authority: pipe")).unwrap();
    let error = open(&path, None).await.unwrap_err();
    assert!(error.contains("certificate-authority: "), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_that_is_read_once_may_be_a_pipe() {
    let server = FakeServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = std::thread::spawn({
        let (pipe, text) = (pipe.clone(), kubeconfig(&server.url(), "{token: t}"));
        move || fs::write(pipe, text)
    });
    // Who opens a pipe at one end waits for the other end.
    let other = fs::File::open(&pipe).unwrap();
    let access = Access {
        kubeconfig: Some(pipe),
        pipes: true,
        ..Access::default()
    };
    ApiServer::new(access).await.unwrap();
    drop(other);
    writer.join().unwrap().unwrap();
}

/// The cluster `k` with another field.
pub(crate) fn with(kubeconfig: &str, field: &str) -> String {
    kubeconfig.replace("cluster: {server", &format!("cluster: {{{field}, server"))
}

#[tokio::test]
async fn a_proxy_in_the_kubeconfig_is_refused() {
    let server = FakeServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let text = kubeconfig(&server.url(), "{token: t}");
    fs::write(&path, with(&text, "proxy-url: \"http://192.0.2.9:3128\"")).unwrap();
    let error = open(&path, None).await.unwrap_err();
    assert!(
        error.contains("the cluster k has a proxy-url, which is not supported"),
        "{error}"
    );
    fs::write(&path, with(&text, "proxy-url: \"\"")).unwrap();
    open(&path, None).await.unwrap();
}

#[test]
fn a_proxy_in_the_environment_is_not_used() {
    // The second one is no URL.
    const PROXIES: [&str; 2] = ["http://192.0.2.9:3128", "proxy.example:3128/"];
    let name = "connecting::a_proxy_in_the_environment_is_not_used";
    if env::var("HTTPS_PROXY").is_ok_and(|url| PROXIES.contains(&url.as_str())) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(behind_a_proxy());
        return;
    }
    for proxy in PROXIES {
        // A process's own environment can't be changed safely.
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .envs([("HTTPS_PROXY", proxy), ("HTTP_PROXY", proxy)])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(output.contains("1 passed"), "{proxy}: {output}");
    }
}

async fn behind_a_proxy() {
    let log = Log::listen();
    let mut server = FakeServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig(&server.url(), "{token: t}")).unwrap();
    let api = open(&path, None).await.unwrap();
    let _ear = Ear::of(&api);
    let request = server.next(SERVICES).await;
    // Reads the configuration again.
    request.refuse(401, "Unauthorized", "Unauthorized").await;
    server.next(SERVICES).await;
    assert_eq!(
        log.lines("WARN", "HTTP_PROXY in the environment is not used"),
        1
    );

    // Only the server's own scheme counts.
    fs::write(&path, kubeconfig("https://192.0.2.1:6443", "{token: t}")).unwrap();
    open(&path, None).await.unwrap();
    assert_eq!(
        log.lines("WARN", "HTTPS_PROXY in the environment is not used"),
        1
    );
}
