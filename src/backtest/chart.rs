//! A replay as a picture: for each scaler what was needed, what served, and where the one fell short of the other.
//!
//! One panel a scaler, one below the other with the same axes, since nine lines in one panel are read by nobody. SVG is
//! written here rather than by a library: it is rectangles, lines and words, opens in every browser, and can be looked
//! into with a text editor. A long day has more steps than a picture has columns; a column shows the worst of its
//! steps, so that no shortage is lost.

use std::fmt::Write as _;

use crate::backtest::Run;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const HEAD: f64 = 78.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 44.0;
const FOOT: f64 = 50.0;
/// Columns of a panel at most; each is about a pixel.
const COLUMNS: usize = 1100;

const NEEDED: &str = "#d5dbe3";
const LOAD: &str = "#6b7785";
const SERVING: &str = "#1f6feb";
const SHORT: &str = "#d1242f";
const GRID: &str = "#e7eaee";
const INK: &str = "#1f2328";

/// One scaler's part of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// Which.
    pub name: &'a str,
    /// What came of it, in a few words.
    pub caption: &'a str,
    /// The run.
    pub run: &'a Run,
}

/// The picture, as an SVG document.
#[must_use]
pub fn svg(title: &str, panels: &[Panel<'_>]) -> String {
    let height = HEAD + panels.len() as f64 * (PANEL + GAP) + FOOT;
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"17\" font-weight=\"600\">{0}</text>\n",
        escaped(title)
    );
    legend(&mut page);
    let scale = Scale::of(panels);
    for (place, panel) in panels.iter().enumerate() {
        let top = HEAD + GAP + place as f64 * (PANEL + GAP);
        draw(&mut page, panel, top, &scale, place + 1 == panels.len());
    }
    page.push_str("</svg>\n");
    page
}

/// The axes, the same for every panel.
struct Scale {
    /// The length of the day, seconds.
    seconds: f64,
    /// The most hosts that are shown.
    hosts: f64,
}

impl Scale {
    fn of(panels: &[Panel<'_>]) -> Self {
        let seconds = |panel: &Panel<'_>| panel.run.needed.len() as f64 * f64::from(panel.run.step);
        let hosts = |panel: &Panel<'_>| panel.run.needed.iter().chain(&panel.run.serving).copied().max();
        Self {
            seconds: panels.iter().map(seconds).fold(1.0, f64::max),
            hosts: f64::from(panels.iter().filter_map(hosts).max().unwrap_or(1).max(1)) * 1.05,
        }
    }

    fn x(&self, second: f64) -> f64 {
        LEFT + second / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, top: f64, hosts: f64) -> f64 {
        top + PANEL - hosts / self.hosts * PANEL
    }
}

fn legend(page: &mut String) {
    let entries = [
        (NEEDED, "needed within the service level"),
        (LOAD, "load (hosts wholly busy)"),
        (SERVING, "serving"),
        (SHORT, "short of what was needed"),
    ];
    for (place, (colour, words)) in entries.iter().enumerate() {
        let x = LEFT + place as f64 * 240.0;
        let _ = writeln!(
            page,
            "<rect x=\"{x}\" y=\"46\" width=\"18\" height=\"11\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"56\">{words}</text>",
            x + 26.0
        );
    }
}

fn draw(page: &mut String, panel: &Panel<'_>, top: f64, scale: &Scale, is_last: bool) {
    let (name, caption) = (escaped(panel.name), escaped(panel.caption));
    let _ = writeln!(
        page,
        "<g>\n<text x=\"{LEFT}\" y=\"{y}\" font-weight=\"600\">{name}</text>\
         <text x=\"{right}\" y=\"{y}\" text-anchor=\"end\" fill=\"{LOAD}\">{caption}</text>",
        y = top - 8.0,
        right = WIDTH - RIGHT
    );
    axes(page, top, scale, is_last);
    let columns = columns(panel.run);
    let mut outline = String::new();
    let (mut load, mut serving, mut short) = (String::new(), String::new(), String::new());
    for column in &columns {
        let (left, right) = (scale.x(column.from), scale.x(column.until));
        let y = |hosts: f64| scale.y(top, hosts);
        let _ = write!(outline, "L{left:.1} {0:.1}L{right:.1} {0:.1}", y(column.needed));
        let _ = write!(load, "L{:.1} {:.1}", f64::midpoint(left, right), y(column.load));
        let _ = write!(serving, "L{left:.1} {0:.1}L{right:.1} {0:.1}", y(column.serving));
        if let Some((serves, needed)) = column.short {
            let (below, above) = (y(serves), y(needed));
            let _ =
                write!(short, "M{left:.1} {below:.1}V{above:.1}H{0:.1}V{below:.1}Z", right.max(left + 0.8));
        }
    }
    let (first, last, floor) = (scale.x(0.0), scale.x(columns.last().map_or(0.0, |c| c.until)), top + PANEL);
    let _ = writeln!(
        page,
        "<path d=\"M{first:.1} {floor:.1}{outline}L{last:.1} {floor:.1}Z\" fill=\"{NEEDED}\"/>\n\
         <path d=\"{}\" fill=\"none\" stroke=\"{LOAD}\" stroke-width=\"0.8\"/>\n\
         <path d=\"{short}\" fill=\"{SHORT}\"/>\n\
         <path d=\"{}\" fill=\"none\" stroke=\"{SERVING}\" stroke-width=\"1.3\"/>\n</g>",
        begun(&load),
        begun(&serving)
    );
}

/// A path starts by moving where the first line would go.
fn begun(lines: &str) -> String {
    lines.strip_prefix('L').map(|rest| format!("M{rest}")).unwrap_or_default()
}

fn axes(page: &mut String, top: f64, scale: &Scale, is_last: bool) {
    for hosts in ticks(scale.hosts, 4.0) {
        let y = scale.y(top, hosts);
        let _ = writeln!(
            page,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{GRID}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{hosts}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    let middle = top + PANEL / 2.0;
    let _ = writeln!(
        page,
        "<text transform=\"translate(20 {middle}) rotate(-90)\" text-anchor=\"middle\" fill=\"{LOAD}\">hosts</text>"
    );
    let (unit, word) = time_unit(scale.seconds);
    for tick in ticks(scale.seconds / unit, 10.0) {
        let x = scale.x(tick * unit);
        let floor = top + PANEL;
        let _ = writeln!(
            page,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{floor}\" stroke=\"{GRID}\"/>"
        );
        if is_last {
            let _ = writeln!(
                page,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
                floor + 18.0
            );
        }
    }
    if is_last {
        let _ = writeln!(
            page,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{LOAD}\">time since the start, {word}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            top + PANEL + 38.0
        );
    }
}

/// In what the time axis is labelled.
fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        seconds if seconds > 3.0 * 86_400.0 => (86_400.0, "days"),
        seconds if seconds > 2.0 * 3_600.0 => (3_600.0, "hours"),
        _ => (60.0, "minutes"),
    }
}

/// Round numbers from 0 to an end, about so many.
fn ticks(end: f64, about: f64) -> Vec<f64> {
    let raw = end / about;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|round| round * power).find(|step| *step >= raw);
    // Less than a whole host, or a whole hour, is not worth a line.
    let step = step.unwrap_or(power).max(1.0);
    std::iter::successors(Some(0.0), |tick| Some(tick + step))
        .take_while(|tick| *tick <= end)
        .take(50)
        .collect()
}

/// Some steps beside each other, drawn as one.
struct Column {
    from: f64,
    until: f64,
    needed: f64,
    load: f64,
    serving: f64,
    /// Where hosts lacked: how many served and how many were needed when most did.
    short: Option<(f64, f64)>,
}

fn columns(run: &Run) -> Vec<Column> {
    let steps = run.needed.len().min(run.serving.len()).min(run.load.len());
    let width = steps.div_ceil(COLUMNS).max(1);
    let step = f64::from(run.step);
    (0..steps)
        .step_by(width)
        .map(|from| {
            let until = (from + width).min(steps);
            let pairs = || run.needed[from..until].iter().zip(&run.serving[from..until]);
            let worst = pairs().max_by_key(|(needed, serving)| needed.saturating_sub(**serving));
            let load: f64 = run.load[from..until].iter().sum();
            let serving: f64 = run.serving[from..until].iter().map(|serving| f64::from(*serving)).sum();
            let length = (until - from) as f64;
            Column {
                from: from as f64 * step,
                until: until as f64 * step,
                needed: run.needed[from..until].iter().copied().max().map_or(0.0, f64::from),
                load: load / length,
                serving: serving / length,
                short: worst
                    .filter(|(needed, serving)| needed > serving)
                    .map(|(needed, serving)| (f64::from(*serving), f64::from(*needed))),
            }
        })
        .collect()
}

/// Text as it may stand in XML; what XML cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|char| !char.is_control()).collect();
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: usize) -> Run {
        let needed: Vec<u32> = (0..steps).map(|step| 2 + u32::from(step % 100 == 50) * 5).collect();
        Run {
            step: 15,
            load: needed.iter().map(|needed| f64::from(*needed) * 0.8).collect(),
            serving: vec![3; steps],
            paid: vec![3; steps],
            unserved: vec![0.0; steps],
            moves: 0,
            needed,
        }
    }

    fn reads(svg: &str) -> Vec<String> {
        let mut reader = quick_xml::Reader::from_str(svg);
        reader.config_mut().check_end_names = true;
        let mut texts = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => return texts,
                quick_xml::events::Event::Text(text) => texts.push(text.decode().unwrap().into_owned()),
                _ => {}
            }
        }
    }

    #[test]
    fn it_is_well_formed_whatever_the_names_are() {
        let run = run(400);
        let panel = Panel { name: "a<b>&\"c\"\u{1}", caption: "]]>", run: &run };
        let svg = svg("load & <size>", &[panel, panel]);
        let texts = reads(&svg).join("|");
        assert!(!svg.contains('\u{1}'));
        for words in ["hosts", "time since the start, minutes", "serving", "short of what was needed"] {
            assert!(texts.contains(words), "{words} in {texts}");
        }
    }

    #[test]
    fn no_shortage_is_lost_however_long_the_day() {
        let long = run(200_000);
        let columns = columns(&long);
        assert!(columns.len() <= COLUMNS, "{}", columns.len());
        let short = columns.iter().filter(|column| column.short == Some((3.0, 7.0))).count();
        assert_eq!(short, columns.len(), "every column has a step with 7 needed and 3 serving");
        assert!((columns[0].needed - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_short_day_has_a_column_a_step_and_an_empty_one_has_none() {
        assert_eq!(columns(&run(120)).len(), 120);
        assert!(columns(&Run::default()).is_empty());
        let empty = Run::default();
        reads(&svg("nothing", &[Panel { name: "x", caption: "", run: &empty }]));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(105.0, 4.0), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(2.1, 4.0), [0.0, 1.0, 2.0]);
        assert_eq!(ticks(47.0, 10.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0]);
        assert_eq!(ticks(1.05, 4.0), [0.0, 1.0]);
    }

    #[test]
    fn the_time_axis_is_in_what_people_count_the_span_in() {
        assert_eq!(time_unit(86_400.0).1, "hours");
        assert_eq!(time_unit(7.0 * 86_400.0).1, "days");
        assert_eq!(time_unit(3_600.0).1, "minutes");
    }
}
