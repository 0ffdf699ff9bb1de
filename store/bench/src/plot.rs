//! The figure of the appends: one panel of bars for each workload, drawn as
//! SVG that is readable on light and on dark.

use std::fmt::Write;

use crate::engines;
use crate::job::{Part, WORKLOADS, Workload};
use crate::results::{Results, Spread};

const WIDTH: f64 = 920.0;
const COLUMNS: usize = 2;
const MARGIN: f64 = 16.0;
const TITLE: f64 = 64.0;
const LABEL: f64 = 148.0;
const VALUE: f64 = 96.0;
const ROW: f64 = 19.0;
const BAR: f64 = 12.0;
const PANEL_TITLE: f64 = 30.0;
const PANEL_GAP: f64 = 34.0;

/// Colours of an image follow the reader's choice where the viewer asks for
/// it; the ones before that are readable on both.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;fill:#6e7781}\
.tick{font-size:10px}.head{font-size:16px;font-weight:600}.panel{font-size:13px;font-weight:600}.ours{font-weight:600}\
.bar{fill:#8c959f}.raw{fill:#b9a26a}.own{fill:#3f7fd6}.soft{fill:none;stroke:#8c959f;stroke-dasharray:3 2}\
.whisker{stroke:#57606a;stroke-width:1.5}.axis{stroke:#8c959f;stroke-width:1;opacity:.6}\
@media(prefers-color-scheme:light){text{fill:#24292f}.whisker{stroke:#24292f}}\
@media(prefers-color-scheme:dark){text{fill:#d8dee4}.whisker{stroke:#f0f3f6}}";

struct Row<'a> {
    name: &'a str,
    class: &'static str,
    rate: Option<Spread>,
    note: &'static str,
}

/// Draws events per second of every contestant in every workload.
pub(crate) fn appends(results: &Results) -> String {
    let rows = results.contestants.len() as f64;
    let panel_height = PANEL_TITLE + rows * ROW + PANEL_GAP;
    let lines = WORKLOADS.len().div_ceil(COLUMNS) as f64;
    let height = TITLE + lines * panel_height + MARGIN;
    let mut svg = String::new();
    // Writing into a string can't fail.
    let _ = draw(&mut svg, results, height, panel_height);
    svg
}

fn draw(svg: &mut String, results: &Results, height: f64, panel_height: f64) -> std::fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">"
    )?;
    writeln!(
        svg,
        "<title id=\"title\">Durable appends, events per second</title>"
    )?;
    writeln!(svg, "<style>{STYLE}</style>")?;
    writeln!(
        svg,
        "<text class=\"head\" x=\"{MARGIN}\" y=\"26\">Durable appends, 200-byte events per second</text>"
    )?;
    let provisional = if results.quick || results.machine.is_busy() {
        "provisional; "
    } else {
        ""
    };
    writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"46\">{provisional}logarithmic; medians of repeats: {}, whiskers from minimum to maximum; \
         dashed: not durable; q: behind a queue; {}</text>",
        results.repeats, results.date
    )?;
    let panel_width = (WIDTH - MARGIN * (COLUMNS as f64 + 1.0)) / COLUMNS as f64;
    for (n, workload) in WORKLOADS.iter().enumerate() {
        let x = MARGIN + (n % COLUMNS) as f64 * (panel_width + MARGIN);
        let y = TITLE + (n / COLUMNS) as f64 * panel_height;
        panel(svg, results, workload, (x, y), panel_width)?;
    }
    writeln!(svg, "</svg>")
}

fn rows<'a>(results: &'a Results, workload: &Workload) -> Vec<Row<'a>> {
    let row = |entrant: &'a crate::results::Entrant| {
        let part = engines::find(&entrant.id).map(|contestant| workload.part(contestant));
        Row {
            name: &entrant.name,
            class: match entrant.id.as_str() {
                "raw" | "raw-ahead" => "raw",
                "vsm-store" => "own",
                _ if !entrant.durable => "soft",
                _ => "bar",
            },
            rate: results.rate(workload.id, &entrant.id),
            note: match part {
                Ok(Part::ByItself) => "needs no queue",
                Ok(Part::Queued) => " q",
                _ => "",
            },
        }
    };
    results.contestants.iter().map(row).collect()
}

fn panel(
    svg: &mut String,
    results: &Results,
    workload: &Workload,
    at: (f64, f64),
    width: f64,
) -> std::fmt::Result {
    let (x, y) = at;
    let rows = rows(results, workload);
    writeln!(
        svg,
        "<text class=\"panel\" x=\"{x}\" y=\"{}\">{}</text>",
        y + 14.0,
        escaped(workload.title)
    )?;
    let (left, top) = (x + LABEL, y + PANEL_TITLE - 8.0);
    let room = width - LABEL - VALUE;
    let rates = || rows.iter().filter_map(|row| row.rate);
    let least = rates().map(|rate| rate.min).fold(f64::INFINITY, f64::min);
    let most = rates().map(|rate| rate.max).fold(1.0, f64::max);
    // From the power of ten below the least, so that each bar has a length.
    let low = least.clamp(1.0, most).log10().floor();
    let scale = room / (most.log10() - low).max(0.1);
    let place = |rate: f64| left + (rate.max(1.0).log10() - low).max(0.0) * scale;
    let bottom = top + rows.len() as f64 * ROW;
    axis(svg, (left, bottom), low, most.log10(), scale)?;
    for (n, row) in rows.iter().enumerate() {
        let middle = top + (n as f64 + 0.5) * ROW;
        let base = middle + 4.0;
        let class = if row.class == "own" {
            " class=\"ours\""
        } else {
            ""
        };
        writeln!(
            svg,
            "<text{class} x=\"{:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            escaped(row.name)
        )?;
        let Some(rate) = row.rate else {
            let note = if row.note.is_empty() {
                "failed"
            } else {
                row.note
            };
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{base:.1}\">{note}</text>",
                left + 6.0
            )?;
            continue;
        };
        let end = place(rate.median);
        writeln!(
            svg,
            "<rect class=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
            row.class,
            middle - BAR / 2.0,
            (end - left).max(1.0)
        )?;
        writeln!(
            svg,
            "<line class=\"whisker\" x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\"/>",
            place(rate.min),
            place(rate.max)
        )?;
        writeln!(
            svg,
            "<text{class} x=\"{:.1}\" y=\"{base:.1}\">{}{}</text>",
            place(rate.max) + 6.0,
            figure(rate.median),
            row.note
        )?;
    }
    Ok(())
}

/// Powers of ten below the bars; lines through the panel would cross figures.
fn axis(svg: &mut String, at: (f64, f64), low: f64, high: f64, scale: f64) -> std::fmt::Result {
    let (left, bottom) = at;
    let right = left + (high - low).max(0.1) * scale;
    writeln!(
        svg,
        "<line class=\"axis\" x1=\"{left:.1}\" y1=\"{bottom:.1}\" x2=\"{right:.1}\" y2=\"{bottom:.1}\"/>"
    )?;
    let mut power = low;
    while power <= high {
        let x = left + (power - low) * scale;
        let end = bottom + 4.0;
        writeln!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{end:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 15.0,
            power_of_ten(power)
        )?;
        power += 1.0;
    }
    Ok(())
}

fn power_of_ten(power: f64) -> String {
    match power {
        power if power >= 6.0 => format!("{:.0} M", 10f64.powf(power - 6.0)),
        power if power >= 3.0 => format!("{:.0} k", 10f64.powf(power - 3.0)),
        power => format!("{:.0}", 10f64.powf(power)),
    }
}

/// Three digits and a unit.
fn figure(rate: f64) -> String {
    match rate {
        rate if rate >= 999_500.0 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 99_950.0 => format!("{:.0} k/s", rate / 1e3),
        rate if rate >= 999.5 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
