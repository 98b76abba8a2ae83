//! The parser of the text format: against another one, against pages of real exporters, against noise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fleet_scaler::signals::exposition::{
    ExpositionError, LABELS_MAX, LINE_BYTES_MAX, LINES_MAX, Malformed, Wanted, scan,
};
use proptest::prelude::*;

const NODE_EXPORTER: &str = include_str!("../../data/node_exporter-1.5.0-a.txt");
const PROMETHEUS: &str = include_str!("../../data/prometheus-2.42.0.txt");

/// Name, labels, the value's bits (NaN equals itself) and timestamp.
type Plain = (String, BTreeMap<String, String>, u64, Option<i64>);

fn ours(page: &[u8], names: &[String]) -> Result<Vec<Plain>, ExpositionError> {
    let wanted = Wanted::new(names.iter().cloned());
    let mut samples = Vec::new();
    scan(page, &wanted, |family, sample| {
        assert_eq!(wanted.names()[family], sample.name);
        let labels = sample.labels.iter().map(|label| (label.name.to_owned(), label.value.into_owned()));
        let labels: BTreeMap<_, _> = labels.collect();
        for (name, value) in &labels {
            assert_eq!(sample.labels.get(name).as_deref(), Some(value.as_str()));
        }
        samples.push((sample.name.to_owned(), labels, sample.value.to_bits(), sample.timestamp));
    })?;
    Ok(samples)
}

/// Another parser, of well-formed pages only: as plain as can be, a character at a time.
fn reference(page: &str) -> Vec<Plain> {
    page.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(reference_line)
        .collect()
}

fn reference_line(line: &str) -> Plain {
    let mut labels = BTreeMap::new();
    let (mut name, mut label, mut value, mut tail) =
        (String::new(), String::new(), String::new(), String::new());
    let (mut braces, mut quotes, mut escape, mut after) = (false, false, false, false);
    for char in line.chars() {
        if quotes {
            match (escape, char) {
                (true, 'n') => value.push('\n'),
                (false, '\\') => {}
                (false, '"') => {
                    quotes = false;
                    labels.insert(std::mem::take(&mut label), std::mem::take(&mut value));
                }
                (_, other) => value.push(other),
            }
            escape = !escape && char == '\\';
        } else if braces {
            match char {
                '"' => quotes = true,
                '}' => (braces, after) = (false, true),
                ',' | '=' | ' ' => {}
                other => label.push(other),
            }
        } else if after {
            tail.push(char);
        } else {
            match char {
                '{' => braces = true,
                ' ' => after = true,
                other => name.push(other),
            }
        }
    }
    let mut words = tail.split_whitespace();
    let number: f64 = words.next().expect("a value").parse().expect("a number");
    (name, labels, number.to_bits(), words.next().map(|stamp| stamp.parse().expect("a timestamp")))
}

fn names_of(samples: &[Plain]) -> Vec<String> {
    samples.iter().map(|sample| sample.0.clone()).collect()
}

#[test]
fn real_pages_read_as_another_parser_reads_them() {
    for (page, least) in [(NODE_EXPORTER, 500), (PROMETHEUS, 300)] {
        let expected = reference(page);
        assert!(expected.len() >= least, "only {} samples", expected.len());
        assert_eq!(ours(page.as_bytes(), &names_of(&expected)).expect("the page is valid"), expected);
        let crlf = page.replace('\n', "\r\n");
        assert_eq!(ours(crlf.as_bytes(), &names_of(&expected)).expect("the page is valid"), expected);
    }
}

#[test]
fn only_the_families_asked_for_are_given_out() {
    let wanted =
        Wanted::new(["node_load1".to_owned(), "node_cpu_seconds_total".to_owned(), "absent".to_owned()]);
    let mut seen = BTreeMap::new();
    let summary = scan(NODE_EXPORTER.as_bytes(), &wanted, |_, sample| {
        *seen.entry(sample.name).or_insert(0) += 1;
    })
    .expect("the page is valid");
    assert_eq!(seen, BTreeMap::from([("node_load1", 1), ("node_cpu_seconds_total", 16)]));
    assert_eq!(summary.samples, reference(NODE_EXPORTER).len());
    assert!(summary.ends_with_line_feed);
}

#[test]
fn what_the_format_allows_is_read() {
    let one = |line: &str| {
        let samples =
            ours(line.as_bytes(), &["a".to_owned()]).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(samples.len(), 1, "{line:?}");
        samples
            .into_iter()
            .next()
            .map(|(_, labels, bits, stamp)| (labels, f64::from_bits(bits), stamp))
            .unwrap()
    };
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(one("a 1"), (labels(&[]), 1.0, None));
    assert_eq!(one("a 1.5e3 1700000000000\n"), (labels(&[]), 1500.0, Some(1_700_000_000_000)));
    assert_eq!(one("a -0.25 -5\n"), (labels(&[]), -0.25, Some(-5)));
    assert_eq!(one("\t a \t 1 \t 2 \t\r\n"), (labels(&[]), 1.0, Some(2)));
    assert_eq!(one("a{} +Inf\n"), (labels(&[]), f64::INFINITY, None));
    assert_eq!(one("a{x=\"\",} -Inf\n"), (labels(&[("x", "")]), f64::NEG_INFINITY, None));
    assert!(one("a{x=\"1\"}NaN\n").1.is_nan());
    assert_eq!(one("a { x = \"1\" , y = \"2\" } 3\n").0, labels(&[("x", "1"), ("y", "2")]));
    assert_eq!(one("a{x=\"q\\\"b\\\\n\\n,}{# =\"} 3\n").0, labels(&[("x", "q\"b\\n\n,}{# =")]));
    assert_eq!(one("a{x=\"Größe ☃\"} 3\n").0, labels(&[("x", "Größe ☃")]));
    assert_eq!(
        one("# HELP a \n# TYPE a counter\n#\n# anything at all\n\n  \na 3\n# EOF\n"),
        (labels(&[]), 3.0, None)
    );
}

#[test]
fn what_is_malformed_anywhere_spoils_the_page_and_names_its_line() {
    let value = |text: &str| Malformed::Value(text.to_owned());
    for (line, what) in [
        ("<html><body>hello</body></html>", Malformed::Name("<html><body>hello</body></html>".to_owned())),
        ("1a 5", Malformed::Name("1a 5".to_owned())),
        ("a.b 5", Malformed::Name("a.b 5".to_owned())),
        ("a", Malformed::Name("a".to_owned())),
        ("{\"a\"} 5", Malformed::QuotedName),
        ("a ", Malformed::Name("a".to_owned())),
        ("a{x=\"1\"}", value("")),
        ("a five", value("five")),
        ("a 0x10", value("0x10")),
        ("a 1_000", value("1_000")),
        ("a 5 soon", Malformed::Timestamp("soon".to_owned())),
        ("a 5 1.5", Malformed::Timestamp("1.5".to_owned())),
        ("a 5 6 7", Malformed::Trailing("7".to_owned())),
        ("a 5 # {trace=\"x\"} 1", Malformed::Exemplar),
        ("a 5 6 # {trace=\"x\"} 1", Malformed::Exemplar),
        ("a{x=\"1\"", Malformed::Unclosed),
        ("a{x=\"1\",", Malformed::Unclosed),
        ("a{x=\"1} 5", Malformed::Unclosed),
        ("a{x=\"1\\", Malformed::Unclosed),
        ("a{x=\"\\d\"} 5", Malformed::Escape),
        ("a{,} 5", Malformed::Label(",} 5".to_owned())),
        ("a{x} 5", Malformed::Label("x} 5".to_owned())),
        ("a{x='1'} 5", Malformed::Label("x='1'} 5".to_owned())),
        ("a{1x=\"1\"} 5", Malformed::Label("1x=\"1\"} 5".to_owned())),
        ("a{x=\"1\" y=\"2\"} 5", Malformed::Label("x=\"1\" y=\"2\"} 5".to_owned())),
        ("a{x=\"1\",x=\"2\"} 5", Malformed::LabelTwice("x".to_owned())),
        ("# TYPE a speed", Malformed::Comment(" TYPE a speed".to_owned())),
        ("# TYPE a", Malformed::Comment(" TYPE a".to_owned())),
        ("# HELP", Malformed::Comment(" HELP".to_owned())),
    ] {
        let page = format!("fine 1\r\n\n{line}\nfine 2\n");
        // Whether the family was asked for makes no difference.
        for asked in [vec!["a".to_owned()], vec!["fine".to_owned()], Vec::new()] {
            let error = ours(page.as_bytes(), &asked).expect_err(line);
            assert_eq!(error, ExpositionError { line: 3, what: what.clone() }, "{line}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let error = ours(b"a 1\na{x=\"\xff\xfe\"} 2\n", &[]).expect_err("not UTF-8");
    assert_eq!(error, ExpositionError { line: 2, what: Malformed::NotUtf8 });
}

#[test]
fn lines_their_number_and_their_labels_are_capped() {
    let long = format!("a 1\na{{x=\"{}\"}} 1\n", "y".repeat(LINE_BYTES_MAX));
    assert_eq!(ours(long.as_bytes(), &[]), Err(ExpositionError { line: 2, what: Malformed::LineTooLong }));
    let many = "a 1\n".repeat(LINES_MAX);
    assert!(ours(many.as_bytes(), &[]).is_ok());
    let too_many = ExpositionError { line: LINES_MAX + 1, what: Malformed::TooManyLines };
    assert_eq!(ours((many + "a 1\n").as_bytes(), &[]), Err(too_many.clone()));
    assert_eq!(
        ours("\n".repeat(LINES_MAX + 5).as_bytes(), &[]).map_err(|error| error.what),
        Err(too_many.what)
    );
    let labels = |count: usize| (0..count).map(|n| format!("l{n}=\"\"")).collect::<Vec<_>>().join(",");
    assert!(ours(format!("a{{{}}} 1\n", labels(LABELS_MAX)).as_bytes(), &[]).is_ok());
    let error = ours(format!("a{{{}}} 1\n", labels(LABELS_MAX + 1)).as_bytes(), &[]).expect_err("too many");
    assert_eq!(error.what, Malformed::TooManyLabels);
}

#[test]
fn an_error_quotes_a_stranger_briefly_and_harmlessly() {
    let page = format!("a \u{1b}[31m{}\n", "x".repeat(500));
    let error = ours(page.as_bytes(), &[]).expect_err("no number").to_string();
    assert!(error.starts_with("line 1: expected a number as the value; found `\\u{1b}[31m"), "{error}");
    assert!(error.chars().count() < 120, "{error}");
}

fn sample() -> impl Strategy<Value = Plain> {
    let value = prop_oneof![
        any::<f64>(),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-1_000_000_i32..1_000_000).prop_map(f64::from),
    ];
    let labels = prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", "[^\r]{0,12}", 0..5);
    let stamp = prop::option::of(any::<i64>());
    ("[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", labels, value, stamp).prop_map(|(name, labels, value, stamp)| {
        // A NaN prints without its payload.
        let value = if value.is_nan() { f64::NAN } else { value };
        (name, labels, value.to_bits(), stamp)
    })
}

fn print(samples: &[Plain], blank: &str, end: &str) -> String {
    let mut page = String::new();
    for (name, labels, bits, stamp) in samples {
        let labels = labels.iter().map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}{blank}={blank}\"{value}\"")
        });
        let labels = labels.collect::<Vec<_>>().join(&format!("{blank},"));
        let stamp = stamp.map_or(String::new(), |stamp| format!(" {stamp}"));
        let value = f64::from_bits(*bits);
        write!(page, "{blank}{name}{blank}{{{labels}{blank}}} {blank}{value:?}{stamp}{blank}{end}").unwrap();
    }
    page
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        samples in prop::collection::vec(sample(), 0..12),
        blank in prop::sample::select(vec!["", " ", "\t", " \t "]),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let page = print(&samples, blank, end);
        prop_assert_eq!(ours(page.as_bytes(), &names_of(&samples)), Ok(samples));
    }

    #[test]
    fn bytes_never_make_it_panic(page in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = ours(&page, &["a".to_owned()]);
    }

    #[test]
    fn nearly_right_text_never_makes_it_panic(page in "([a1_{}=\",\\\\ \t\r\n#NTYPEH+.-]|é){0,200}") {
        let _ = ours(page.as_bytes(), &["a".to_owned()]);
    }

    #[test]
    fn a_real_page_with_a_byte_changed_is_read_or_refused(at in 0..NODE_EXPORTER.len(), byte in any::<u8>()) {
        let mut page = NODE_EXPORTER.as_bytes().to_vec();
        page[at] = byte;
        let line = 1 + NODE_EXPORTER[..at].matches('\n').count();
        // A changed line feed joins two lines, or splits one.
        if let Err(error) = ours(&page, &["node_load1".to_owned()]) {
            prop_assert!((line..=line + 1).contains(&error.line), "{} is not {}", error, line);
        }
    }

    #[test]
    fn a_page_cut_anywhere_gives_a_beginning_or_nothing(at in 0..NODE_EXPORTER.len()) {
        let whole = reference(NODE_EXPORTER);
        if let Ok(samples) = ours(&NODE_EXPORTER.as_bytes()[..at], &names_of(&whole)) {
            // The last sample may have lost digits: that is what the missing line feed tells.
            let sure = samples.len().saturating_sub(1);
            prop_assert_eq!(&samples[..sure], &whole[..sure]);
        }
    }
}
