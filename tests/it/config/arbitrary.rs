//! Whatever a file holds, loading answers, and never with a panic.

use proptest::prelude::*;

use super::{FLEET, SERVICE, folder, golden, load_bare};

/// The maximal fleet with something done to it: the mistakes that are nearly right are the interesting ones.
fn damaged(text: &str) -> impl Strategy<Value = String> + use<> {
    let letters: Vec<char> = text.chars().collect();
    let edit = (0..letters.len(), 0..40_usize, "[ -~\u{e4}\n]{0,6}");
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut letters = letters.clone();
        for (at, length, put) in edits {
            let start = at.min(letters.len());
            let end = (start + length).min(letters.len());
            letters.splice(start..end, put.chars());
        }
        letters.into_iter().collect()
    })
}

fn maximal(file: &str) -> String {
    std::fs::read_to_string(golden("maximal").join(file)).expect("a file of the maximal folder")
}

/// Loads, and holds every error to its promise: a place that exists, a key, and words.
fn answers(service: &str, fleet: &str) -> Result<(), TestCaseError> {
    let dir = folder(service, fleet);
    let Err(errors) = load_bare(dir.path()) else { return Ok(()) };
    prop_assert!(!errors.errors.is_empty());
    for error in errors.errors {
        let text = if error.file.ends_with("fleet-scaler.toml") { service } else { fleet };
        prop_assert!(error.line >= 1 && error.line <= text.split('\n').count(), "{error}");
        prop_assert!(error.column >= 1 && !error.key.is_empty() && !error.message.is_empty(), "{error}");
        prop_assert!(!error.to_string().contains('\n'), "{error}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text(service in "\\PC{0,200}", fleet in "(\\PC|\n){0,200}") {
        answers(&service, &fleet)?;
    }

    #[test]
    fn any_toml_like_text(fleet in "([a-z_]{1,8}|size|rule|launch|\\[|\\]|\\[\\[|\\]\\]|=|\"|'|,|\\.|[0-9]{1,3}| |\n){0,60}") {
        answers(SERVICE, &fleet)?;
    }

    #[test]
    fn a_damaged_fleet(fleet in damaged(&maximal("fleets/web.toml"))) {
        answers(SERVICE, &fleet)?;
    }

    #[test]
    fn a_damaged_service(service in damaged(&maximal("fleet-scaler.toml"))) {
        answers(&service, FLEET)?;
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let fleet = format!("{FLEET}x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let dir = folder(SERVICE, &fleet);
    load_bare(dir.path()).expect_err("nested too deep");
}

/// Telling each mistake by looking at the whole file again would take hours.
#[test]
fn a_file_of_mistakes_alone_is_answered() {
    for line in ["[x\n", "x\n", "x = = [\n", "[[", "= ", "\"\n", "a.b = \n", "[a]\nb\n", "\u{e4}\n", "{,"] {
        let fleet = line.repeat((1 << 20) / line.len());
        let dir = folder(SERVICE, &fleet);
        let errors = load_bare(dir.path()).expect_err("nothing but mistakes").errors;
        assert!((1..=51).contains(&errors.len()), "{line:?}: {} errors", errors.len());
    }
}

/// The same for mistakes that only a reader of the keys sees, and for what is right and far too much.
#[test]
fn a_file_of_very_many_keys_is_answered() {
    let numbered = |form: fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = form(number);
            if text.len() + line.len() > 1_000_000 {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    for fleet in [
        numbered(|number| format!("k{number} = 1\n")),
        numbered(|number| format!("[t{number}]\n")),
        numbered(|number| {
            format!("[[rule]]\nname = \"r{number}\"\nwhen = \"cpu.avg > 0.5\"\naction = {{ add = 1 }}\n")
        }),
        numbered(|number| format!("[[target]]\nname = \"t{number}\"\nsignal = \"cpu.avg\"\nvalue = 0.5\n")),
        numbered(|number| {
            format!("[[metrics.query]]\nname = \"q{number}\"\nurl = \"http://h\"\nquery = \"up\"\n")
        }),
    ] {
        let dir = folder(SERVICE, &format!("{FLEET}{fleet}"));
        if let Err(errors) = load_bare(dir.path()) {
            assert!((1..=51).contains(&errors.errors.len()), "{} errors", errors.errors.len());
        }
    }
}

#[test]
fn a_file_too_large_is_refused_unread() {
    let dir = folder(SERVICE, &format!("{FLEET}# {}\n", "x".repeat(1 << 20)));
    let errors = load_bare(dir.path()).expect_err("too large").to_string();
    assert!(errors.contains("is larger than 1048576 bytes"), "{errors}");
}
