//! A server's own certificate as the one that is trusted.
//!
//! A kubeconfig may name the certificate that the server serves as its authority. Go's clients take
//! a certificate that is among the roots for a chain by itself (`Certificate.Verify` in
//! `crypto/x509`); webpki wants one that an authority made (`CaUsedAsEndEntity`, `UnknownIssuer`).

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use kube::Config;
use kube::client::ConfigExt as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tower::BoxError;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::ExtendedKeyUsage;

/// kube's connections over TLS, which accept a certificate that is a root itself.
pub(super) fn connector<H>(config: &Config, connector: H) -> Result<HttpsConnector<H>, BoxError> {
    let mut tls = config.rustls_client_config()?;
    // A pod's authority is a file that kube reads again as it rotates.
    if let (Some(roots), None, false) = (
        &config.root_cert,
        &config.root_cert_file,
        config.accept_invalid_certs,
    ) {
        let verifier = Verifier::new(&tls, roots)?;
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone())?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(connector))
}

/// webpki's verdict, but for certificates that are roots.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(tls: &ClientConfig, roots: &[Vec<u8>]) -> Result<Self, BoxError> {
        let roots: Vec<_> = roots.iter().cloned().map(CertificateDer::from).collect();
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone())?;
        }
        let provider = Arc::clone(tls.crypto_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
        Ok(Self {
            webpki: webpki.build()?,
            roots,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if verdict.is_ok() || !self.roots.iter().any(|root| root == end_entity) {
            return verdict;
        }
        let Ok(certificate) = Certificate::from_der(end_entity) else {
            return verdict;
        };
        may_serve(&certificate, now)?;
        // Refuses critical extensions that it doesn't know as well.
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The certificate is valid now, and one for servers or for any purpose (RFC 5280 4.2.1.12).
fn may_serve(certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
    let certificate = certificate.tbs_certificate();
    let validity = certificate.validity();
    let unix = |time: Duration| UnixTime::since_unix_epoch(time);
    let not_before = unix(validity.not_before.to_unix_duration());
    let not_after = unix(validity.not_after.to_unix_duration());
    if now < not_before {
        let time = now;
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if now > not_after {
        let time = now;
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    let serves = match certificate.get_extension::<ExtendedKeyUsage>() {
        Ok(None) => true,
        Ok(Some((_, purposes))) => {
            let serves =
                |purpose: &_| [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE].contains(purpose);
            purposes.0.iter().any(serves)
        }
        Err(_) => return Err(CertificateError::BadEncoding),
    };
    if serves {
        Ok(())
    } else {
        Err(CertificateError::InvalidPurpose)
    }
}
