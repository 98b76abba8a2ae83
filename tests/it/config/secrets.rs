//! What may be a password is never shown.

use fleet_scaler::config::load;

use super::{FLEET, SERVICE, errors_of, folder, load_bare};

const SECRET: &str = "hunter2";

#[test]
fn a_loaded_configuration_hides_it() {
    let service = SERVICE.replace("embedded", "postgres://scaler:hunter2@db/scaler");
    let dir = folder(&service, FLEET);
    let configuration = load_bare(dir.path()).expect("a valid folder");
    let shown = format!("{configuration:?}");
    assert!(shown.contains("SecretUrl") && !shown.contains(SECRET), "{shown}");
}

#[test]
fn no_error_repeats_it() {
    for database in [
        "url = \"mysql://scaler:hunter2@db/scaler\"",
        "url = \"postgres://scaler:hunter2@db:port/scaler\"",
        "url = \"hunter2\"",
        "url = [\"postgres://scaler:hunter2@db/scaler\"]",
        "url = \"postgres://scaler:hunter2@db/scaler",
        "url = postgres://scaler:hunter2@db/scaler",
        "url = 'postgres://scaler:hunter2@db/scaler\"",
        "url = \"postgres://scaler:\\hunter2@db/scaler\"",
        "ulr = \"postgres://scaler:hunter2@db/scaler\"",
        "url = \"embedded\"\nurl = \"postgres://scaler:hunter2@db/scaler\"",
        "url_file = \"db-url\"",
        "url = \"embedded\"\ndata_dir = 1 # hunter2",
        "max_connections = \"postgres://scaler:hunter2@db/scaler\"",
        "url = \"embedded\"\n[http]\nlisten = \"postgres://scaler:hunter2@db/scaler\"",
        "url = \"embedded\"\n[http]\ntokens_file = [\"hunter2\"]",
    ] {
        let dir = folder(&SERVICE.replace("url = \"embedded\"", database), FLEET);
        std::fs::write(dir.path().join("db-url"), "scaler:hunter2@db").expect("write the URL's file");
        let errors = errors_of(dir.path());
        assert!(!errors.contains(SECRET), "{database}\n{errors}");
    }
}

#[test]
fn no_error_repeats_the_environment() {
    let dir = folder(SERVICE, FLEET);
    let errors =
        load(dir.path(), &|_| Some("mysql://scaler:hunter2@db/scaler".to_owned())).expect_err("no Postgres");
    assert_eq!(
        errors.to_string(),
        "environment:1:1: DATABASE_URL: is not a Postgres URL: write \"postgres://user@host/database\" or \"embedded\""
    );
}

/// A fleet's text goes into the audit trail, so a password has no place in it.
#[test]
fn a_query_may_not_carry_one() {
    let query =
        "[[metrics.query]]\nname = \"qps\"\nurl = \"http://reader:hunter2@prom:9090\"\nquery = \"up\"\n";
    let errors = errors_of(folder(SERVICE, &format!("{FLEET}{query}")).path());
    assert!(errors.contains("metrics.query[0].url: holds a user or a password"), "{errors}");
    assert!(!errors.contains(SECRET), "{errors}");
}
