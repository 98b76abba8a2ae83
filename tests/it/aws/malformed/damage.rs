//! What can be wrong with a reply.

use std::io::Write as _;

use super::super::server::Reply;

/// A reply that nobody may believe, and what is wrong with it.
type Damaged = (&'static str, Reply);

/// Every damage that this answer can suffer.
pub(super) fn replies(action: &str, whole: &str) -> Vec<Damaged> {
    let mut all = bodies(action, whole);
    all.extend(transfers(whole));
    all.extend(pages());
    all.extend(refusals());
    all.extend(values(whole));
    all
}

/// Documents that are not the answer.
fn bodies(action: &str, whole: &str) -> Vec<Damaged> {
    let doctype = "<!DOCTYPE a [<!ENTITY b \"&c;&c;&c;&c;\"><!ENTITY c \"&d;&d;&d;&d;\"><!ENTITY d \"ha\">]>";
    let operation = action.trim_end_matches("OfLaunch");
    let root = format!("{operation}Response");
    let last = whole.rfind("</").unwrap();
    let inside = |put: &str| format!("{}{put}{}", &whole[..last], &whole[last..]);
    vec![
        ("nothing", Reply::ok("")),
        ("blanks", Reply::ok(" \r\n ")),
        ("no XML", Reply::ok("OK")),
        ("JSON", Reply::ok("{\"ok\":true}")),
        ("another root", Reply::ok(whole.replace(&root, "DescribeVolumesResponse"))),
        ("a root in another case", Reply::ok(whole.replace(&root, &root.to_lowercase()))),
        ("two documents", Reply::ok(format!("{whole}{whole}"))),
        ("a second root after the first", Reply::ok(format!("{whole}<more/>"))),
        ("text before", Reply::ok(format!("oops {whole}"))),
        ("text after", Reply::ok(format!("{whole} oops"))),
        ("a document type", Reply::ok(format!("{doctype}{whole}"))),
        ("a bomb of entities", Reply::ok(format!("{doctype}{}", inside("<x>&b;</x>")))),
        ("an entity that nobody explains", Reply::ok(inside("<x>&b;</x>"))),
        ("an ampersand", Reply::ok(inside("<x>a & b</x>"))),
        ("everything twice", Reply::ok(doubled(whole))),
        ("very deep", Reply::ok(inside(&format!("{}{}", "<x>".repeat(100_000), "</x>".repeat(100_000))))),
        ("an element that is closed by another", Reply::ok(inside("<x><y></x></y>"))),
        ("a refusal with status 200", status(200, Reply::ec2_error(400, "InvalidParameterValue", "words"))),
        ("status 204", Reply::Answer(204, Vec::new(), String::new())),
    ]
}

/// The right document, on the wrong way.
fn transfers(whole: &str) -> Vec<Damaged> {
    let raw = |head: &str, body: &[u8]| {
        let mut bytes = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
        bytes.extend(body);
        Reply::Raw(bytes)
    };
    let length = |bytes: usize| format!("200 OK\r\ncontent-length: {bytes}");
    let mut latin = whole.as_bytes().to_vec();
    let last = whole.rfind("</").unwrap();
    latin.splice(last..last, *b"<x>\xe9\xff</x>");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(whole.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    vec![
        ("no UTF-8", raw("200 OK", &latin)),
        ("zeros", raw("200 OK", &[0; 4_096])),
        ("a length that is too short", raw(&length(whole.len() - 2), whole.as_bytes())),
        ("a length that is too long", raw(&length(whole.len() + 10), whole.as_bytes())),
        ("a length that is no number", raw("200 OK\r\ncontent-length: many", whole.as_bytes())),
        ("two lengths", raw("200 OK\r\ncontent-length: 5\r\ncontent-length: 50", whole.as_bytes())),
        ("chunks that break off", raw("200 OK\r\ntransfer-encoding: chunked", b"ff\r\n<Describe")),
        ("chunks that are none", raw("200 OK\r\ntransfer-encoding: chunked", whole.as_bytes())),
        ("gzip that nobody asked for", raw("200 OK\r\ncontent-encoding: gzip", &gzip)),
        ("half of it", raw("200 OK\r\ncontent-encoding: gzip", &gzip[..gzip.len() / 2])),
        ("no HTTP", Reply::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())),
        ("a status that is none", raw("999999 OK", whole.as_bytes())),
        ("a status between", raw("302 Found\r\nlocation: http://127.0.0.1:1/", whole.as_bytes())),
        ("the answer with status 500", raw("500 Oops", whole.as_bytes())),
        ("the answer with status 400", raw("400 Oops", whole.as_bytes())),
    ]
}

/// Pages of gateways and portals.
fn pages() -> Vec<Damaged> {
    let html = "<html><head><title>gateway</title></head><body>sorry</body></html>";
    let loose = "<!doctype html><html><body><p>sign in<br></body></html>";
    let mut all = Vec::new();
    for code in [200, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504] {
        for body in [html, loose, ""] {
            all.push(("a page of a gateway", Reply::Answer(code, Vec::new(), body.to_owned())));
        }
    }
    all
}

/// Refusals that the cloud did not make.
fn refusals() -> Vec<Damaged> {
    let document = |root: &str, inside: &str| {
        Reply::Answer(400, Vec::new(), format!("<{root}><Errors><Error>{inside}</Error></Errors></{root}>"))
    };
    let code = "<Code>InvalidParameterValue</Code>";
    let long = format!("<Code>{}</Code>", "A".repeat(100_000));
    vec![
        ("a refusal with another root", document("html", code)),
        ("a refusal without a code", document("Response", "<Message>words</Message>")),
        ("a refusal with an empty code", document("Response", "<Code></Code>")),
        ("a refusal with two codes", document("Response", &format!("{code}<Code>AccessDenied</Code>"))),
        ("a refusal with a code that is a text", document("Response", "<Code>It did not work.</Code>")),
        ("a refusal with a code without end", document("Response", &long)),
        ("a refusal that is no UTF-8", {
            let text = format!(
                "<Response><Errors><Error>{code}<Message>\u{1}</Message></Error></Errors></Response>"
            );
            let body = text.into_bytes().into_iter().map(|byte| if byte == 1 { 0xff } else { byte });
            let mut bytes = b"HTTP/1.1 400 Bad\r\nconnection: close\r\n\r\n".to_vec();
            bytes.extend(body);
            Reply::Raw(bytes)
        }),
    ]
}

/// Values that are none, in the fields that this answer has.
fn values(whole: &str) -> Vec<Damaged> {
    let puts: [(&'static str, &[&str]); 12] = [
        ("<versionNumber>12</versionNumber>", &["-1", "1e3", "99999999999999999999", "", "12.5", "twelve"]),
        ("<Port>8080</Port>", &["-1", "65536", "99999999999", "", "http"]),
        ("<Value>45</Value>", &["-1", "18446744073709551615", "18446744073709551616", "", "soon", "4.5"]),
        ("<State>healthy</State>", &["", "HEALTHY", "thriving"]),
        ("<name>running</name>", &["", "Running", "hibernated"]),
        ("<launchTime>2026-11-22T10:11:12.345Z</launchTime>", &["", "yesterday", "2026-13-45T99:99:99Z"]),
        ("<privateIpAddress>10.0.0.7</privateIpAddress>", &["10.0.0", "::g", "10.0.0.7.8"]),
        ("<instanceId>i-1</instanceId>", &[""]),
        ("<Id>i-1</Id>", &[""]),
        ("<availabilityZone>eu-west-1a</availabilityZone>", &[""]),
        ("<instanceType>m7g.large</instanceType>", &[""]),
        ("<Key>stickiness.enabled</Key>", &[""]),
    ];
    let mut all = Vec::new();
    for (field, values) in puts.into_iter().filter(|(field, _)| whole.contains(field)) {
        let (open, close) = (&field[..=field.find('>').unwrap()], &field[field.rfind("</").unwrap()..]);
        for value in values {
            all.push((field, Reply::ok(whole.replacen(field, &format!("{open}{value}{close}"), 1))));
        }
    }
    all
}

/// What is in the outermost element, once more: the lists come twice, and the second one shorter.
fn doubled(whole: &str) -> String {
    let start = whole.find('>').unwrap() + 1;
    let end = whole.rfind("</").unwrap();
    let inside = &whole[start..end];
    let inside = if inside.is_empty() { "<x/>" } else { inside };
    format!("{}{inside}{inside}{}", &whole[..start], &whole[end..])
}

fn status(status: u16, reply: Reply) -> Reply {
    match reply {
        Reply::Answer(_, headers, body) => Reply::Answer(status, headers, body),
        other => other,
    }
}

/// The document without each of its elements in turn, the outermost and the entries of lists aside.
pub(super) fn without_each_element(whole: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut at = 0;
    while let Some(start) = whole[at..].find('<').map(|offset| at + offset) {
        let end = start + whole[start..].find('>').unwrap() + 1;
        let tag = &whole[start + 1..end - 1];
        if let Some(name) = tag.strip_prefix('/') {
            let (opened, from) = open.pop().unwrap();
            assert_eq!(opened, name);
            if !open.is_empty() && !["item", "member"].contains(&name) {
                all.push((opened, format!("{}{}", &whole[..from], &whole[end..])));
            }
        } else {
            open.push((tag.split(' ').next().unwrap().to_owned(), start));
        }
        at = end;
    }
    all
}
