//! TLS connections that Dropscope makes: whom they trust, and what is wrong with a certificate in words of their own.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where distributions keep the certificates they trust.
const TRUSTED: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// A client that trusts the authorities in the PEM file `own`, or else those of this host; SSL_CERT_FILE names others.
///
/// # Errors
/// When there are no certificates to trust.
pub(crate) fn client(own: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let named = own.map(Path::to_owned).or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    let file = match named {
        Some(file) => file,
        None => TRUSTED.iter().map(PathBuf::from).find(|file| file.is_file()).ok_or_else(|| {
            io::Error::other("this host has no certificates to trust (ca-certificates is not installed; SSL_CERT_FILE)")
        })?,
    };
    let unreadable = |why: String| io::Error::other(format!("the certificates in {} cannot be read: {why}", file.display()));
    let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| unreadable(error.to_string()))?;
    let mut store = RootCertStore::empty();
    // A host's bundle may hold one that nobody can read; the others are trusted all the same.
    let (added, _) = store.add_parsable_certificates(certificates.flatten());
    if added == 0 {
        return Err(unreadable("there is no certificate in PEM in it".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What is wrong, for people, where it is TLS that failed; `None` for anything else.
pub(crate) fn why(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(wrong) => format!("its certificate {}", wrong_with(wrong)),
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".into(),
        other => format!("TLS failed: {other}"),
    })
}

fn wrong_with(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer => "is signed by nobody who is trusted here".into(),
        CertificateError::NotValidForName => "is for another name".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("is not for {} but for {}", expected.to_str(), presented.join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: is this host's clock right?".into()
        }
        CertificateError::Revoked => "was revoked".into(),
        other => format!("cannot be accepted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/no/such/file.pem")] {
            let told = client(Some(path)).unwrap_err().to_string();
            assert!(told.starts_with(&format!("the certificates in {} cannot be read: ", path.display())), "{told}");
        }
        assert!(client(Some(Path::new("tests/tls/ca.pem"))).is_ok());
    }
}
