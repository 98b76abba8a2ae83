//! What is a trace, and what is told of one that is none.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn parse(name: &str, text: &str) -> Result<Trace, String> {
    Trace::parse(Path::new(name), text.as_bytes(), None).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, with: &[&str]) {
    let error = parse("load_60s.csv", text).unwrap_err();
    for part in with {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn the_last_column_is_the_load_unless_one_is_called_so() {
    let trace =
        parse("site_60s.csv", "minute,requests\n1998-04-30 21:30:00,2\n1998-04-30 21:31:00,11\n").unwrap();
    assert_eq!(trace, Trace { name: "site_60s".to_owned(), step: 60, load: vec![2.0, 11.0] });
    assert_eq!(parse("a_60s.csv", "load,memory\n1,9\n2,8\n").unwrap().load, [1.0, 2.0]);
    let text = "cpu,memory\n1,9\n2,8\n".as_bytes();
    assert_eq!(Trace::parse(Path::new("a_60s.csv"), text, Some("cpu")).unwrap().load, [1.0, 2.0]);
}

#[test]
fn the_interval_is_in_the_name() {
    for (name, step) in [("a_1s.csv", 1), ("a_b_5m.csv", 300), ("a_1h.csv.gz", 3600), ("_24h.csv", 86400)] {
        assert_eq!(parse(name, "load\n1\n2\n").unwrap().step, step, "{name}");
    }
    let bad = [
        "a.csv",
        "60s.csv",
        "a_60.csv",
        "a_0s.csv",
        "a_25h.csv",
        "a_+5m.csv",
        "a_99999999999h.csv",
        "a_60s.txt",
    ];
    for name in bad {
        let error = parse(name, "load\n1\n2\n").unwrap_err();
        assert!(error.starts_with(name), "{error}");
    }
    assert!(parse("a.csv", "").unwrap_err().contains("a_60s.csv"), "it says what would be right");
}

#[test]
fn a_value_that_is_no_load_is_refused_with_its_place() {
    refused("t,load\n1,2\n2,NaN\n", &["load_60s.csv:3:3:", "NaN", "from 0 on"]);
    refused("t,load\n1,inf\n", &[":2:3:", "inf"]);
    refused("t,load\n1,-4.5\n", &[":2:3:", "-4.5"]);
    refused("t,load\n1,\n", &[":2:3:", "nothing"]);
    refused("t,load\n1,many\n", &[":2:3:", "\"many\""]);
    refused("tä,load\nä,x\n", &[":2:3:"]);
}

#[test]
fn a_row_of_another_width_is_refused() {
    refused("t,load\n1,2\n3\n", &[":3:1:", "2 columns", "has 1"]);
    refused("t,load\n1,2,3\n", &[":2:1:", "has 3"]);
}

#[test]
fn a_file_without_header_rows_or_load_is_refused() {
    refused("", &["empty", "names the columns"]);
    refused("1,2\n3,4\n", &[":1:3:", "names the columns", "2"]);
    refused("load\n", &["0 values"]);
    refused("load\n5\n", &["1 values"]);
    refused("load\n0\n0\n", &["every value is 0"]);
}

#[test]
fn blank_lines_may_only_stand_at_the_end() {
    assert_eq!(parse("a_1s.csv", "load\n1\n2\n\n\n").unwrap().load, [1.0, 2.0]);
    refused("load\n1\n\n2\n", &[":3:1:", "blank"]);
}

#[test]
fn what_spreadsheets_write_is_read() {
    let trace =
        parse("a_1s.csv", "\u{feff}\"time, local\",\"load\"\r\n\"1, 2\",\"3.5\"\r\n4, 5e1 \r\n").unwrap();
    assert_eq!(trace.load, [3.5, 50.0]);
}

#[test]
fn a_column_that_is_not_there_is_told_with_those_that_are() {
    let found = Trace::parse(Path::new("a_1s.csv"), "t,cpu\n1,2\n".as_bytes(), Some("load"));
    let error = found.unwrap_err().to_string();
    assert!(error.contains("\"load\"") && error.contains("t, cpu"), "{error}");
}

#[test]
fn a_line_without_an_end_is_refused() {
    let endless = format!("load\n1\n{}", "9".repeat(1 << 17));
    refused(&endless, &[":3:1:", "65536 bytes"]);
    let found = Trace::parse(Path::new("a_1s.csv"), &b"load\n1\n\xff\n"[..], None);
    assert!(found.unwrap_err().to_string().contains(":3:1:"));
}

#[test]
fn a_folder_is_read_in_the_order_of_names_plain_or_gzip() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b_60s.csv"), "load\n1\n2\n").unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"load\n3\n4\n").unwrap();
    std::fs::write(folder.path().join("a_5m.csv.gz"), gzip.finish().unwrap()).unwrap();
    std::fs::write(folder.path().join("README.md"), "not a trace").unwrap();
    let traces = Trace::read_folder(folder.path(), None).unwrap();
    let found: Vec<_> = traces.iter().map(|trace| (trace.name.as_str(), trace.step, trace.load[0])).collect();
    assert_eq!(found, [("a_5m", 300, 3.0), ("b_60s", 60, 1.0)]);
}

#[test]
fn a_folder_or_file_that_is_not_there_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Trace::read_folder(folder.path(), None).unwrap_err().to_string().contains(".csv.gz"));
    let error = Trace::read(&folder.path().join("gone_60s.csv"), None).unwrap_err();
    assert!(error.to_string().contains("gone_60s.csv"), "{error}");
}

#[test]
fn a_broken_gzip_is_an_error_and_no_short_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all("load\n".as_bytes()).unwrap();
    for value in 0..1000 {
        writeln!(gzip, "{value}").unwrap();
    }
    let whole = gzip.finish().unwrap();
    let file = folder.path().join("cut_60s.csv.gz");
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(Trace::read(&file, None).unwrap_err().to_string().contains("cut_60s.csv.gz"));
}

#[test]
fn quantiles_scaling_and_parts() {
    let trace = Trace { name: String::new(), step: 1, load: (1..=1000).map(f64::from).collect() };
    let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
    close(trace.quantile(0.999), 999.0);
    close(trace.quantile(0.0), 1.0);
    close(trace.quantile(1.0), 1000.0);
    close(trace.scaled(0.999, 99.9).load[499], 50.0);
    let (first, rest) = trace.split(1.0 / 3.0);
    assert_eq!((first.load.len(), rest.load.len()), (333, 667));
    close(rest.load[0], 334.0);
}

proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_a_load_or_an_error_with_its_name(text in "(load|a,load|\\PC{0,8})(\n|\r\n|,|\"|[0-9.eE+-]{0,6}|NaN|\\PC){0,40}") {
        match parse("x_60s.csv", &text) {
            Ok(trace) => {
                prop_assert!(trace.load.len() > 1 && trace.load.iter().all(|value| value.is_finite() && *value >= 0.0));
            }
            Err(error) => prop_assert!(error.starts_with("x_60s.csv"), "{}", error),
        }
    }

    #[test]
    fn whatever_bytes_a_file_holds_nothing_breaks(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Trace::parse(Path::new("x_60s.csv"), bytes.as_slice(), None);
    }

    #[test]
    fn what_was_written_is_read_again(load in proptest::collection::vec(0.0..1e12_f64, 2..50)) {
        let text = load.iter().fold("t,load\n".to_owned(), |text, value| format!("{text}0,{value}\n"));
        prop_assert_eq!(parse("x_60s.csv", &text).map(|trace| trace.load), Ok(load));
    }
}
