//! What a newcomer reads when a configuration is broken.
//!
//! Each folder under `tests/golden/config` that holds an `errors.txt` is refused with exactly these lines; the others are
//! valid. With `UPDATE_GOLDEN` set the files are written anew, to be read before they are committed.

use super::{errors_of, golden, load_bare};

#[test]
fn broken_folders_are_refused_with_their_errors() {
    let mut broken = 0;
    for entry in std::fs::read_dir(golden("")).expect("the golden folders") {
        let dir = entry.expect("a golden folder").path();
        let expected = dir.join("errors.txt");
        if !expected.exists() {
            load_bare(&dir).unwrap_or_else(|errors| panic!("{} is valid, but:\n{errors}", dir.display()));
            continue;
        }
        broken += 1;
        let errors = errors_of(&dir) + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &errors).expect("write the golden errors");
        }
        let golden = std::fs::read_to_string(&expected).expect("the golden errors");
        assert!(golden == errors, "{}\n--- expected\n{golden}--- found\n{errors}", dir.display());
    }
    assert!(broken >= 20, "{broken} broken folders are tried");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let errors = load_bare(&golden("nowhere")).expect_err("nothing is there").to_string();
    assert_eq!(
        errors,
        "tests/golden/config/nowhere:1:1: --config: there is no such folder: name the one that holds fleet-scaler.toml \
         with --config DIR"
    );
}
