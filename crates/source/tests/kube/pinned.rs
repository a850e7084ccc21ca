//! Certificates that a kubeconfig names as the authority, and a server that has them or others.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::oneshot;

use crate::connecting::{kubeconfig, open, with};
use crate::world::Ear;

const ADDRESS: &str = "127.0.0.1";
const NAME: &str = "kube-apiserver.test";

/// A certificate and its key.
struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn self_signed(params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Pair { certificate, key }
}

/// The fields of a cluster.
fn authority(certificate: &Certificate) -> String {
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        BASE64.encode(certificate.der())
    );
    let data = BASE64.encode(pem.as_bytes());
    format!("certificate-authority-data: {data}")
}

/// The first request's head, or why the client did not ask.
fn served(stream: TcpStream, tls: Arc<ServerConfig>) -> Result<String, String> {
    let connection = ServerConnection::new(tls).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let length = stream.read(&mut byte).map_err(|error| error.to_string())?;
        if length == 0 {
            return Err("closed".to_owned());
        }
        head.extend(byte);
    }
    let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    Ok(String::from_utf8(head).unwrap())
}

/// What the first connection comes to between a server with this certificate and a client whose
/// kubeconfig has these fields.
async fn outcome(server: &Pair, fields: &str) -> Result<String, String> {
    let key = PrivateKeyDer::try_from(server.key.serialize_der()).unwrap();
    let chain = vec![server.certificate.der().clone()];
    let tls = ServerConfig::builder().with_no_client_auth();
    let key = tls.crypto_provider().key_provider.load_private_key(key);
    // Whether the key is the certificate's is not asked.
    let certified = SingleCertAndKey::from(CertifiedKey::new(chain, key.unwrap()));
    let tls = Arc::new(tls.with_cert_resolver(Arc::new(certified)));
    let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (told, outcome) = oneshot::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let _ = told.send(served(stream, tls));
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, with(&kubeconfig(&url, "{token: t}"), fields)).unwrap();
    let api = open(&path, None).await.unwrap();
    let _ear = Ear::of(&api);
    outcome.await.unwrap()
}

#[track_caller]
fn asked(outcome: Result<String, String>) {
    let head = outcome.unwrap();
    assert!(head.starts_with("GET /api"), "{head}");
}

#[track_caller]
fn refused(outcome: &Result<String, String>, why: &str) {
    let reason = outcome.as_ref().unwrap_err();
    assert!(reason.contains(why), "{reason}");
}

#[tokio::test]
async fn the_servers_own_certificate_may_be_the_authority() {
    for is_ca in [
        IsCa::Ca(BasicConstraints::Unconstrained),
        IsCa::ExplicitNoCa,
        IsCa::NoCa,
    ] {
        let mut params = params(ADDRESS);
        params.is_ca = is_ca;
        let server = self_signed(&params);
        asked(outcome(&server, &authority(&server.certificate)).await);
    }
}

#[tokio::test]
async fn one_that_another_authority_made_may_be_it_too() {
    let issuer = self_signed(&params("issuer.test"));
    let issuer = Issuer::new(params("issuer.test"), issuer.key);
    let mut params = params(ADDRESS);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "served");
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let server = Pair { certificate, key };
    asked(outcome(&server, &authority(&server.certificate)).await);
}

#[tokio::test]
async fn it_has_to_be_for_the_name_that_is_asked_for() {
    let server = self_signed(&params(NAME));
    let fields = authority(&server.certificate);
    refused(&outcome(&server, &fields).await, "BadCertificate");
    let named = |name: &str| format!("{fields}, tls-server-name: {name}");
    asked(outcome(&server, &named(NAME)).await);
    let other = outcome(&server, &named("other.test")).await;
    refused(&other, "BadCertificate");
}

#[tokio::test]
async fn it_has_to_be_valid_now() {
    let mut expired = params(ADDRESS);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut early = params(ADDRESS);
    early.not_before = date_time_ymd(4000, 1, 1);
    for params in [expired, early] {
        let server = self_signed(&params);
        let outcome = outcome(&server, &authority(&server.certificate)).await;
        refused(&outcome, "CertificateExpired");
    }
}

#[tokio::test]
async fn it_has_to_be_for_servers() {
    let with = |purpose| {
        let mut params = params(ADDRESS);
        params.extended_key_usages = vec![purpose];
        self_signed(&params)
    };
    let server = with(ExtendedKeyUsagePurpose::ServerAuth);
    asked(outcome(&server, &authority(&server.certificate)).await);
    let client = with(ExtendedKeyUsagePurpose::ClientAuth);
    let outcome = outcome(&client, &authority(&client.certificate)).await;
    refused(&outcome, "UnsupportedCertificate");
}

#[tokio::test]
async fn another_certificate_with_its_name_is_refused() {
    let [server, twin] = [(); 2].map(|()| self_signed(&params(ADDRESS)));
    let other = outcome(&server, &authority(&twin.certificate)).await;
    other.unwrap_err();
    asked(outcome(&twin, &authority(&twin.certificate)).await);
}

/// Who has the certificate and not its key.
#[tokio::test]
async fn the_server_has_to_have_its_key() {
    let [server, other] = [(); 2].map(|()| self_signed(&params(ADDRESS)));
    let thief = Pair {
        certificate: server.certificate,
        key: other.key,
    };
    let outcome = outcome(&thief, &authority(&thief.certificate)).await;
    refused(&outcome, "DecryptError");
}
