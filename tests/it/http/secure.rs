//! TLS: the service shows its certificate, and a renewed one without a restart.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::pages::serve;
use crate::cli::program::{Folder, WEB, program, run, service_file};

/// A key and a certificate that signs itself, for this machine under this name.
fn renew(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("new.key"))
        .arg("-out")
        .arg(folder.join("new.pem"))
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The key first: a pair that does not fit for a moment must do no harm.
    for kind in ["key", "pem"] {
        std::fs::rename(folder.join(format!("new.{kind}")), folder.join(format!("server.{kind}"))).unwrap();
    }
}

/// Asks for health over TLS, trusting the certificate in this file only, under this name.
fn ask(address: SocketAddr, certificate: &[u8], name: &str) -> Option<u16> {
    let certificate = reqwest::Certificate::from_pem(certificate).unwrap();
    let url = format!("https://{name}:{}/healthz", address.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate])
            .resolve(name, address)
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        client.get(url).send().await.ok().map(|response| response.status().as_u16())
    })
}

fn folder() -> Folder {
    let service = service_file("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:0")
        .replace("[http]\n", "[http]\ncertificate_file = \"server.pem\"\nkey_file = \"server.key\"\n");
    Folder::new(&service, WEB)
}

#[test]
fn the_service_shows_its_certificate_and_a_renewed_one_without_a_restart() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = folder();
    renew(folder.path(), "first.test");
    let first = std::fs::read(folder.join("server.pem")).unwrap();
    let (_running, address) = serve(&folder, &[]);
    assert_eq!(ask(address, &first, "first.test"), Some(200));
    assert_eq!(ask(address, &first, "second.test"), None, "it is not who it says");
    let plain = crate::cli::web::ask(address, "GET", "/healthz", "");
    assert!(plain.is_none(), "without TLS there is no answer: {plain:?}");
    renew(folder.path(), "second.test");
    let second = std::fs::read(folder.join("server.pem")).unwrap();
    let start = Instant::now();
    while ask(address, &second, "second.test") != Some(200) {
        assert!(start.elapsed() < Duration::from_mins(1), "the renewed certificate is not shown");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_key_that_does_not_fit_is_said_before_anything_is_served() {
    let folder = folder();
    renew(folder.path(), "first.test");
    std::fs::copy(folder.join("server.key"), folder.join("old.key")).unwrap();
    renew(folder.path(), "first.test");
    std::fs::rename(folder.join("old.key"), folder.join("server.key")).unwrap();
    let serve = |folder: &Folder| run(program().args(["serve", "--config"]).arg(folder.path()));
    let ran = serve(&folder).ended(2);
    assert!(ran.stderr.contains("server.key: does not fit"), "{}", ran.stderr);
    std::fs::write(folder.join("server.pem"), "nothing").unwrap();
    let ran = serve(&folder).ended(2);
    assert!(ran.stderr.contains("server.pem: ") && ran.stderr.contains("certificate"), "{}", ran.stderr);
}
