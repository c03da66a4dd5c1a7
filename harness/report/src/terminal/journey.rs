//! The way of a packet, hop by hop.

use harness_model::event::{HopReport, JourneyReport};

use super::line;
use crate::{paint::Paint, words};

/// One line a hop, and one more where the packet was rewritten:
///
/// ```text
/// question
///   +0 us   app     ·    → eth0   10.0.0.2:4000 > 192.0.2.80:7000
///   +20 us  router  eth0 → wan1   10.0.0.2:4000 > 192.0.2.80:7000
///                           became  198.51.100.2:4000 > 192.0.2.80:7000
/// ```
pub(super) fn journey(out: &mut String, journey: &JourneyReport, paint: Paint) {
    line(out, 4, paint.name(words::printable(&journey.packet)));
    let times: Vec<String> = journey.hops.iter().map(|hop| format!("+{}", words::time(hop.micros))).collect();
    let time = widest(times.iter().map(String::as_str));
    let node = widest(journey.hops.iter().map(|hop| hop.node.as_str()));
    let came = widest(journey.hops.iter().map(|hop| device(&hop.came_in)));
    let went = widest(journey.hops.iter().map(|hop| device(&hop.went_out)));
    // The word stands at the right edge of the columns before it.
    let became = time + 2 + node + 2 + came + 3 + went;
    for (hop, at) in journey.hops.iter().zip(&times) {
        let HopReport { node: name, came_in, went_out, before, after, micros: _ } = hop;
        line(
            out,
            6,
            format_args!(
                "{}  {:<node$}  {:<came$} → {:<went$}  {before}",
                paint.faint(format_args!("{at:>time$}")),
                paint.name(name),
                device(came_in),
                device(went_out),
            ),
        );
        if let Some(after) = after {
            line(out, 6, format_args!("{:>became$}  {}", paint.doubtful("became"), paint.name(after)));
        }
    }
    line(out, 6, words::printable(&journey.end));
}

fn device(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or("·")
}

fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
