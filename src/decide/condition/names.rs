//! Which names there are, and what to say about one that is not there.

use crate::decide::signal::{AGGREGATES, Catalog, FLEET_SIGNALS, SignalName};

/// The full name of a signal as an expression spells it, or what would be right.
pub(super) fn resolve(path: &str, catalog: &Catalog) -> Result<SignalName, String> {
    if catalog.fleet.contains(path) || FLEET_SIGNALS.contains(&path) {
        return Ok(path.to_owned());
    }
    if catalog.host.contains(path) {
        return Err(format!(
            "`{path}` is measured on every host; say which aggregate: {}",
            AGGREGATES.map(|suffix| format!("{path}.{suffix}")).join(", ")
        ));
    }
    match path.rsplit_once('.') {
        Some((name, suffix)) if catalog.host.contains(name) && AGGREGATES.contains(&suffix) => {
            Ok(path.to_owned())
        }
        Some((name, suffix)) if catalog.fleet.contains(name) => {
            Err(format!("`{name}` is one number for the whole fleet; write `{name}`, without `.{suffix}`"))
        }
        _ => Err(unknown(path, catalog)),
    }
}

fn unknown(path: &str, catalog: &Catalog) -> String {
    let hosts = catalog.host.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let fleet = catalog.fleet.iter().map(String::as_str).chain(FLEET_SIGNALS).collect::<Vec<_>>().join(", ");
    let per_host = if hosts.is_empty() {
        String::new()
    } else {
        format!("{hosts} (each with .{}), ", AGGREGATES.join(" ."))
    };
    let hint = match nearest(path, catalog) {
        Some(name) => format!("did you mean `{name}`? This"),
        None => "this".to_owned(),
    };
    format!("no signal is called `{path}`; {hint} fleet has {per_host}{fleet}")
}

/// The name that takes the fewest changes of a letter, if they are few enough to be a slip.
fn nearest(path: &str, catalog: &Catalog) -> Option<SignalName> {
    let with_suffix =
        catalog.host.iter().flat_map(|name| AGGREGATES.iter().map(move |suffix| format!("{name}.{suffix}")));
    let plain = catalog.fleet.iter().cloned().chain(FLEET_SIGNALS.map(str::to_owned));
    let wanted: Vec<char> = path.chars().take(80).collect();
    with_suffix
        .chain(plain)
        .map(|name| (distance(&wanted, &name.chars().collect::<Vec<_>>()), name))
        .min()
        .filter(|(changes, name)| *changes <= (name.len() / 3).max(1))
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or replaced to make one name of the other.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
