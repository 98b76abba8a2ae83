//! What is accepted, what is refused and with which words, and what an accepted condition says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decide::signal::{HOST_SIGNALS, Value};
use crate::domain::time::Timestamp;

fn catalog() -> Catalog {
    Catalog {
        host: HOST_SIGNALS.iter().map(|&name| name.to_owned()).chain(["gpu".to_owned()]).collect(),
        fleet: ["qps".to_owned(), "errors".to_owned()].into(),
    }
}

fn observation(values: &[(&str, f64)]) -> Observation {
    Observation {
        at: Timestamp::UNIX_EPOCH,
        values: values
            .iter()
            .map(|&(name, value)| (name.to_owned(), Value::exact(value)))
            .collect::<BTreeMap<_, _>>(),
        hosts_heard: 1,
        hosts_asked: 1,
        recommended: None,
        candidates: BTreeMap::new(),
        faults: Vec::new(),
        quarantined: Vec::new(),
        unserved: Vec::new(),
        trails: BTreeMap::new(),
    }
}

fn parse(text: &str) -> Condition {
    Condition::parse(text, &catalog()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn truth(text: &str, values: &[(&str, f64)]) -> Truth {
    parse(text).evaluate(&observation(values), Facet::Heard)
}

fn refusal(text: &str) -> (Option<usize>, String) {
    let error = Condition::parse(text, &catalog()).expect_err(text);
    (error.offset, error.message)
}

#[test]
fn numbers_mix_and_arithmetic_binds_as_written() {
    for (text, expected) in [
        ("cpu.avg > 0.75", Truth::Holds),
        ("cpu.avg > 1", Truth::Fails),
        ("qps < 200", Truth::Holds),
        ("qps < 200u", Truth::Holds),
        ("qps / 4 == 37.5", Truth::Holds),
        ("0.4*cpu.avg + 0.3*gpu.p95 > 0.59", Truth::Holds),
        ("0.4 * (cpu.avg + gpu.p95) > 0.7", Truth::Fails),
        ("qps - 50 - 50 == 50", Truth::Holds),
        ("-qps < -149.5", Truth::Holds),
        ("!(cpu.avg > 0.75) || qps != 150", Truth::Fails),
        ("cpu.avg > 0.9 || gpu.p95 >= 0.9 && qps > 1e2", Truth::Holds),
        ("(cpu.avg > 0.75) == (qps > 1000)", Truth::Fails),
        ("qps > 100 ? cpu.avg > 0.8 : cpu.avg > 0.99", Truth::Holds),
        ("(qps > 100 ? cpu.avg : gpu.p95) < 0.85", Truth::Holds),
        ("hosts.healthy + hosts.pending >= 3 && true", Truth::Holds),
    ] {
        let values = [
            ("cpu.avg", 0.82),
            ("gpu.p95", 0.9),
            ("qps", 150.0),
            ("hosts.healthy", 2.0),
            ("hosts.pending", 1.0),
        ];
        assert_eq!(truth(text, &values), expected, "{text}");
    }
}

#[test]
fn a_signal_without_a_value_makes_the_whole_expression_unknown() {
    assert_eq!(truth("cpu.avg > 0.5 || qps > 1", &[("cpu.avg", 0.9)]), Truth::Unknown);
    assert_eq!(truth("false && qps > 1", &[]), Truth::Unknown);
    assert_eq!(truth("true ? cpu.avg > 0.5 : qps > 1", &[("cpu.avg", 0.9)]), Truth::Unknown);
    assert_eq!(truth("qps > 1", &[("qps", f64::NAN)]), Truth::Unknown);
    assert_eq!(truth("qps > 1", &[("qps", f64::INFINITY)]), Truth::Unknown);
}

#[test]
fn what_cannot_be_computed_is_unknown_unless_it_does_not_matter() {
    let idle = [("qps", 0.0), ("errors", 0.0)];
    assert_eq!(truth("errors / qps > 0.01", &idle), Truth::Unknown);
    assert_eq!(truth("qps > 0 && errors / qps > 0.01", &idle), Truth::Fails);
    assert_eq!(truth("errors / qps > 0.01 && qps > 0", &idle), Truth::Fails);
    assert_eq!(truth("qps == 0 || errors / qps < 0.01", &idle), Truth::Holds);
    assert_eq!(truth("qps > 0 ? errors / qps > 0.01 : false", &idle), Truth::Fails);
    assert_eq!(truth("qps * 1e308 * 1e308 > 1", &[("qps", 5.0)]), Truth::Unknown);
}

#[test]
fn each_facet_is_asked_for_itself() {
    let mut seen = observation(&[]);
    seen.values.insert("cpu.avg".into(), Value { heard: 0.6, if_idle: 0.3, if_busy: 0.8 });
    let hot = parse("cpu.avg > 0.5");
    assert_eq!(hot.evaluate(&seen, Facet::Heard), Truth::Holds);
    assert_eq!(hot.evaluate(&seen, Facet::IfIdle), Truth::Fails);
    assert_eq!(hot.evaluate(&seen, Facet::IfBusy), Truth::Holds);
}

#[test]
fn a_wrong_name_says_what_would_be_right() {
    assert_eq!(
        refusal("0.1 < cpu"),
        (
            Some(6),
            "`cpu` is measured on every host; say which aggregate: cpu.avg, cpu.min, cpu.max, cpu.p50, cpu.p90, \
             cpu.p95, cpu.p99, cpu.sum"
                .to_owned()
        )
    );
    let (offset, message) = refusal("qps > 1 && cpuu.avg > 0.5");
    assert_eq!(offset, Some(11));
    assert_eq!(
        message,
        "no signal is called `cpuu.avg`; did you mean `cpu.avg`? This fleet has cpu, disk, gpu, load1, memory, \
         net_rx, net_tx (each with .avg .min .max .p50 .p90 .p95 .p99 .sum), errors, qps, hosts.healthy, \
         hosts.in_service, hosts.pending"
    );
    assert!(refusal("cpu.mean > 0.5").1.contains("did you mean `cpu."));
    assert!(
        refusal("latency_seconds > 0.5")
            .1
            .starts_with("no signal is called `latency_seconds`; this fleet has")
    );
    assert_eq!(
        refusal("qps.avg > 5").1,
        "`qps` is one number for the whole fleet; write `qps`, without `.avg`"
    );
    assert!(refusal("hosts > 5").1.starts_with("no signal is called `hosts`"));
}

#[test]
fn a_wrong_type_is_found_at_load() {
    for (text, offset, words) in [
        ("cpu.avg", 0, "this is a number, and a condition must be true or false"),
        ("cpu.avg > 'high'", 10, "a text cannot be compared with a signal"),
        ("cpu.avg > true", 8, "> compares two numbers; on its left is a number, on its right true or false"),
        ("!cpu.avg", 1, "! needs true or false here, not a number"),
        ("cpu.avg && true", 0, "&& needs true or false here, not a number"),
        ("1 + (cpu.avg > 1) > 1", 13, "+ needs a number here, not true or false"),
        ("qps % 2 == 0", 4, "CEL has no % for doubles"),
        ("size(qps) > 1", 4, "there is no function size"),
        ("qps in [1, 2]", 4, "lists have no place here"),
        ("[1].exists(x, x > qps)", 10, "macros over lists"),
        ("qps == null", 7, "null is no value here"),
        ("qps > 1 ? 1 : true", 14, "both answers of ? : must be of one kind, not a number and true or false"),
        ("1e999 < qps", 0, "invalid double literal"),
    ] {
        let (found, message) = refusal(text);
        assert!(message.contains(words), "{text}: {message}");
        assert_eq!(found, Some(offset), "{text}: {message}");
    }
}

#[test]
fn what_is_no_cel_is_refused_with_its_place() {
    for (text, offset) in [("", 0), ("   ", 0), ("cpu.avg >", 9), ("cpu.avg > 1 and qps > 2", 12), ("a é", 2)]
    {
        let (found, message) = refusal(text);
        assert_eq!(found, Some(offset), "{text}: {message}");
    }
    assert_eq!(refusal("cpu.avg\n  >> 1").0, Some(11));
}

#[test]
fn nothing_that_an_operator_writes_ends_the_process() {
    // Three quarters of the smallest stack that a configuration is ever read on, in the fattest build.
    let reader = std::thread::Builder::new().stack_size(3 << 19).spawn(|| {
        let deep = |inner: &str| format!("{}{inner}{} < qps", "(".repeat(8), ")".repeat(8));
        parse(&format!("{}qps > 1", "qps > 1 || ".repeat(40)));
        parse(&deep(&format!("1{}", " + 1".repeat(110))));
        parse(&format!("{}true", "qps > 1 ? true : ".repeat(40)));
        for text in [
            deep(&deep("1")),
            "(".repeat(4096),
            format!("{}qps > 1{}", "(".repeat(400), ")".repeat(400)),
            format!("{}qps > 1", "!(".repeat(60)),
            format!("{}qps > 1", "!".repeat(2000)),
            format!("qps{} > 0", ".a".repeat(127)),
            format!("{}[1, 2", "f(".repeat(7)),
            "qps > 1 ? ".repeat(60),
            "-".repeat(4096),
            "-".repeat(120),
            "qps > 1 || ".repeat(1000),
        ] {
            Condition::parse(&text, &catalog()).expect_err(&text);
        }
    });
    reader.unwrap().join().unwrap();
}

#[test]
fn the_explanation_shows_the_numbers_that_decided() {
    let seen = observation(&[("cpu.avg", 0.82), ("memory.avg", 0.4), ("qps", 1840.0), ("gpu.max", 0.7501)]);
    for (text, expected) in [
        ("cpu.avg > 0.75", "cpu.avg 0.82 > 0.75"),
        ("cpu.avg > 0.75 || memory.avg > 0.85", "cpu.avg 0.82 > 0.75"),
        ("cpu.avg > 0.9 || memory.avg > 0.85", "cpu.avg 0.82 > 0.90 || memory.avg 0.40 > 0.85"),
        ("cpu.avg > 0.9 && memory.avg < 0.85", "cpu.avg 0.82 > 0.90"),
        ("cpu.avg>0.5&&qps>200", "cpu.avg 0.82 > 0.50 && qps 1840 > 200"),
        ("0.4*cpu.avg + 0.3*(gpu.max-1) > 0.8", "0.40 * cpu.avg 0.82 + 0.30 * (gpu.max 0.7501 - 1) > 0.80"),
        ("!(qps < 5) == true", "!(qps 1840 < 5) == true"),
        ("errors > 5", "errors unknown > 5"),
        ("(qps > 1 ? cpu.avg : 1) > 0.5", "(qps 1840 > 1 ? cpu.avg 0.82 : 1) > 0.50"),
    ] {
        assert_eq!(parse(text).explain(&seen, Facet::Heard), expected, "{text}");
    }
}

#[test]
fn a_condition_is_its_text_where_it_is_stored_and_knows_its_signals() {
    let condition = parse("cpu.avg > 0.5 || qps > 1 || cpu.avg > 2");
    assert_eq!(condition.signals(), ["cpu.avg", "qps"]);
    assert_eq!(condition.missing(&observation(&[("qps", 1.0)])), ["cpu.avg"]);
    assert_eq!(condition.text(), "cpu.avg > 0.5 || qps > 1 || cpu.avg > 2");
    assert_eq!(serde_json::to_string(&condition).unwrap(), "\"cpu.avg > 0.5 || qps > 1 || cpu.avg > 2\"");
    assert_eq!(condition, parse(condition.text()));
    let shared: &(dyn std::any::Any + Send + Sync) = &condition;
    assert!(shared.is::<Condition>());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z0-9 ().<>=!&|?:+*/%'\"\\[\\]{},_-]{0,60}") {
        let _ = Condition::parse(&text, &catalog());
    }

    #[test]
    fn evaluation_is_total(cpu in any::<f64>(), qps in any::<f64>()) {
        let seen = observation(&[("cpu.avg", cpu), ("qps", qps)]);
        for text in ["cpu.avg / qps > 0.5", "qps > 0 && cpu.avg * qps - 1 >= cpu.avg", "cpu.avg == qps"] {
            let condition = parse(text);
            let truth = condition.evaluate(&seen, Facet::Heard);
            if !cpu.is_finite() || !qps.is_finite() {
                prop_assert_eq!(truth, Truth::Unknown);
            }
            prop_assert!(!condition.explain(&seen, Facet::Heard).is_empty());
        }
    }
}
