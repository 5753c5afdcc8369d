//! Latency percentiles as a picture.

use std::path::Path;

use plotters::chart::ChartBuilder;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::prelude::{BLUE, IntoLogRange as _, SVGBackend, WHITE};
use plotters::series::LineSeries;

use super::report::Report;
use crate::failure::Failure;
use crate::latency::Latencies;

const SIZE: (u32, u32) = (900, 500);
/// Percentiles are drawn to this one in so many.
const FINEST: f64 = 100_000.0;

/// Draws latency over percentile, both on logarithmic axes: tails are what matters.
pub(super) fn draw(path: &Path, report: &Report, latency: &Latencies) -> Result<(), Failure> {
    let mut picture = String::new();
    let drawn = render(&mut picture, &report.title(), latency);
    let what = || format!("picture {} cannot be written", path.display());
    drawn.map_err(|error| Failure::failed(what(), error))?;
    std::fs::write(path, picture).map_err(|error| Failure::failed(what(), error))
}

fn render(
    picture: &mut String,
    title: &str,
    latency: &Latencies,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let points = points(latency);
    let lowest = points
        .first()
        .map_or(1.0, |(_, micros)| micros * 0.8)
        .max(0.1);
    let highest = points.last().map_or(10.0, |(_, micros)| micros * 1.2);
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((1.0..FINEST).log_scale(), (lowest..highest).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("latency in µs")
        .x_label_formatter(&|one_in| percentile(*one_in))
        .y_label_formatter(&|micros| format!("{micros:.0}"))
        .draw()?;
    chart.draw_series(LineSeries::new(points, &BLUE))?;
    area.present()?;
    Ok(())
}

/// One send in so many took at least this many microseconds.
fn points(latency: &Latencies) -> Vec<(f64, f64)> {
    const STEPS: i32 = 100;
    (0..=STEPS)
        .map(|step| FINEST.powf(f64::from(step) / f64::from(STEPS)))
        // A percentile finer than there are sends is only the maximum again.
        .filter(|one_in| *one_in <= latency.len().max(2) as f64)
        .map(|one_in| {
            let micros = latency.at(1.0 - 1.0 / one_in) as f64 / 1e3;
            (one_in, micros.max(0.1))
        })
        .collect()
}

/// `90`, `99`, `99.9` for one in 10, 100, 1000.
fn percentile(one_in: f64) -> String {
    format!("{:.4}", 100.0 - 100.0 / one_in)
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_percentiles() {
        let labels = [1.0, 10.0, 100.0, 1000.0, 100_000.0].map(percentile);
        assert_eq!(labels, ["0", "90", "99", "99.9", "99.999"]);
    }

    #[test]
    fn any_histogram_makes_a_picture() {
        for latencies in [&[][..], &[0], &[5_000], &[1_000, 2_000, 3_000_000_000]] {
            let mut histogram = Latencies::new().unwrap();
            for latency in latencies {
                histogram.record_nanos(*latency, 1);
            }
            let mut picture = String::new();
            render(&mut picture, "sync sends", &histogram).unwrap();
            assert!(picture.starts_with("<svg") && picture.contains("sync sends"));
            assert!(picture.trim_end().ends_with("</svg>"), "{latencies:?}");
        }
    }
}
