//! A host's page as node_exporter writes it.

use std::fmt::Write as _;

use crate::domain::ids::InstanceId;
use crate::provider::simulated::model::counters::CPU_MODES;
use crate::provider::simulated::model::faults::PageFault;
use crate::provider::simulated::model::page::PageView;

/// The one disk of every host.
const DISK_BYTES: f64 = 30.0 * 1024.0 * 1024.0 * 1024.0;

/// What the numbers become on their way to the page.
#[derive(Clone, Copy)]
enum Values {
    True,
    Always(f64),
    Negated,
}

/// A page being written.
struct Writer {
    text: String,
    values: Values,
}

impl Writer {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[(String, f64)]) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let value = match self.values {
                Values::True => *value,
                Values::Always(other) => other,
                Values::Negated => -value,
            };
            let _ = writeln!(self.text, "{name}{labels} {}", Number(value));
        }
    }
}

/// A number in the exposition format's spelling.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            value if value.is_infinite() => f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
            // node_exporter writes large numbers with an exponent; readers must take either.
            value if value.abs() >= 1e21 => write!(f, "{value:e}"),
            value => write!(f, "{value}"),
        }
    }
}

/// The whole page.
pub(super) fn page(host: &InstanceId, view: &PageView) -> String {
    let values = match view.fault {
        Some(PageFault::Nan) => Values::Always(f64::NAN),
        Some(PageFault::Infinite) => Values::Always(f64::INFINITY),
        Some(PageFault::Impossible) => Values::Negated,
        _ => Values::True,
    };
    let mut writer = Writer { text: String::with_capacity(8192), values };
    cpu(&mut writer, view);
    memory(&mut writer, view);
    disk_and_network(&mut writer, view);
    service(&mut writer, host, view);
    writer.text
}

fn cpu(writer: &mut Writer, view: &PageView) {
    let mut samples = Vec::new();
    for cpu in 0..view.vcpus {
        for (mode, seconds) in CPU_MODES.iter().zip(view.counters.cpu_seconds) {
            samples.push((format!("{{cpu=\"{cpu}\",mode=\"{mode}\"}}"), seconds / f64::from(view.vcpus)));
        }
    }
    let booted = view.booted_at.timestamp_millis() as f64 / 1000.0;
    let now = view.at.timestamp_millis() as f64 / 1000.0;
    writer.family("node_boot_time_seconds", "gauge", "Node boot time, in unixtime.", &[bare(booted)]);
    let help = "Seconds the CPUs spent in each mode.";
    writer.family("node_cpu_seconds_total", "counter", help, &samples);
    writer.family("node_load1", "gauge", "1m load average.", &[bare(view.counters.load1)]);
    let help = "System time in seconds since epoch (1970).";
    writer.family("node_time_seconds", "gauge", help, &[bare(now)]);
}

fn memory(writer: &mut Writer, view: &PageView) {
    let free = view.memory_bytes * (1.0 - view.counters.memory_used);
    // Negated along with the rest, this is more memory than there is.
    let available = if matches!(writer.values, Values::Negated) { -2.0 * view.memory_bytes } else { free };
    let gauge = |writer: &mut Writer, field: &str, value: f64| {
        let name = format!("node_memory_{field}_bytes");
        let help = format!("Memory information field {field}_bytes.");
        writer.family(&name, "gauge", &help, &[bare(value.round())]);
    };
    gauge(writer, "MemAvailable", available);
    gauge(writer, "MemFree", free * 0.8);
    gauge(writer, "MemTotal", view.memory_bytes);
}

fn disk_and_network(writer: &mut Writer, view: &PageView) {
    let disk = "{device=\"/dev/nvme0n1p1\",fstype=\"ext4\",mountpoint=\"/\"}";
    let temporary = "{device=\"tmpfs\",fstype=\"tmpfs\",mountpoint=\"/run\"}";
    let run = view.memory_bytes * 0.1;
    let free = (DISK_BYTES * (1.0 - view.counters.disk_used)).round();
    let samples = [(disk.to_owned(), free), (temporary.to_owned(), (run * 0.99).round())];
    let help = "Filesystem space available to non-root users in bytes.";
    writer.family("node_filesystem_avail_bytes", "gauge", help, &samples);
    let samples = [(disk.to_owned(), DISK_BYTES), (temporary.to_owned(), run.round())];
    writer.family("node_filesystem_size_bytes", "gauge", "Filesystem size in bytes.", &samples);
    for (direction, bytes) in [("receive", view.counters.bytes_in), ("transmit", view.counters.bytes_out)] {
        let name = format!("node_network_{direction}_bytes_total");
        let help = format!("Network device statistic {direction}_bytes.");
        let samples = [device("eth0", bytes.round()), device("lo", 0.0)];
        writer.family(&name, "counter", &help, &samples);
    }
}

fn service(writer: &mut Writer, host: &InstanceId, view: &PageView) {
    let code =
        |code: &str, value: f64| (format!("{{code=\"{code}\",instance_id=\"{host}\"}}"), value.round());
    let samples = [code("200", view.counters.requests_ok), code("503", view.counters.requests_refused)];
    let help = "Requests that the balancer sent to this host, by the status they were answered with.";
    writer.family("http_requests_total", "counter", help, &samples);
}

fn bare(value: f64) -> (String, f64) {
    (String::new(), value)
}

fn device(name: &str, value: f64) -> (String, f64) {
    (format!("{{device=\"{name}\"}}"), value)
}
