//! The results as pictures.

use std::error::Error;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::drawing::IntoDrawingArea as _;
use plotters::element::{DashedPathElement, PathElement, Rectangle, Text};
use plotters::prelude::{BLACK, Color as _, IntoLogRange as _, RGBColor, SVGBackend, WHITE};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont as _, TextStyle};

use super::sample::Client;

const SIZE: (u32, u32) = (960, 460);

/// Room for the legend on the right, as a share of what is drawn.
const LEGEND: f64 = 0.2;

/// Room for the legend beside curves, whose names are longer.
const WIDE_LEGEND: f64 = 0.4;

pub(super) const fn colour(client: Client) -> RGBColor {
    match client {
        Client::Floor => RGBColor(150, 150, 150),
        Client::Ours | Client::Variant(_) => RGBColor(196, 48, 43),
        Client::Java => RGBColor(230, 159, 0),
        Client::Go => RGBColor(0, 114, 178),
        Client::Rust => RGBColor(0, 140, 90),
    }
}

/// Bars in groups, on a logarithmic scale.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) unit: &'static str,
    /// A name, and the bars of the group: whose, and how high.
    pub(super) groups: Vec<(String, Vec<(Client, f64)>)>,
}

/// A line.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    /// Drawn beside a solid line of the same colour.
    pub(super) dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

impl Bars {
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let mut picture = String::new();
        self.render(&mut picture)
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        Ok(std::fs::write(path, picture)?)
    }

    fn render(&self, picture: &mut String) -> Result<(), Box<dyn Error>> {
        let values = || {
            self.groups
                .iter()
                .flat_map(|(_, bars)| bars.iter().map(|bar| bar.1))
        };
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(0.0, f64::max);
        if !(low.is_finite() && low > 0.0) {
            return Err("nothing to draw".into());
        }
        let (low, high) = (low / 2.0, high * 2.5);
        let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let width = self.groups.len() as f64 * (1.0 + LEGEND);
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 19))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..width, (low..high).log_scale())?;
        let groups = &self.groups;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .y_desc(self.unit)
            .x_labels(0)
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        let centred = TextStyle::from(("sans-serif", 11).into_font())
            .pos(Pos::new(HPos::Center, VPos::Bottom));
        for (index, (name, bars)) in groups.iter().enumerate() {
            let step = 0.9 / bars.len().max(1) as f64;
            for (at, (client, value)) in bars.iter().enumerate() {
                let left = index as f64 + 0.05 + step * at as f64;
                let corners = [(left, low), (left + step * 0.92, *value)];
                let style = colour(*client).filled();
                chart.draw_series([Rectangle::new(corners, style)])?;
                let above = (left + step * 0.46, *value * 1.03);
                chart.draw_series([Text::new(number(*value), above, centred.clone())])?;
            }
            let under = (index as f64 + 0.5, low * 1.02);
            let (x, y) = chart.backend_coord(&under);
            let below = TextStyle::from(("sans-serif", 14).into_font())
                .pos(Pos::new(HPos::Center, VPos::Top));
            area.draw(&Text::new(name.clone(), (x, y + 8), below))?;
        }
        let mut seen: Vec<Client> = Vec::new();
        for (client, _) in groups.iter().flat_map(|(_, bars)| bars) {
            if !seen.contains(client) {
                seen.push(*client);
                let style = colour(*client);
                chart
                    .draw_series(std::iter::empty::<Rectangle<(f64, f64)>>())?
                    .label(client.name())
                    .legend(move |(x, y)| {
                        Rectangle::new([(x, y - 5), (x + 14, y + 5)], style.filled())
                    });
            }
        }
        legend(&mut chart)?;
        drop(chart);
        area.present()?;
        Ok(())
    }
}

/// Draws lines on two axes, of which both are logarithmic.
pub(super) fn curves(path: &Path, title: &str, axes: (&str, &str), lines: &[Curve]) -> Result<()> {
    let mut picture = String::new();
    render_curves(&mut picture, title, axes, lines, &|x| number(x))
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(std::fs::write(path, picture)?)
}

/// Draws latency over percentile: one in so many sends took longer.
pub(super) fn percentiles(path: &Path, title: &str, lines: &[Curve]) -> Result<()> {
    let mut picture = String::new();
    let label = |one_in: f64| {
        let percent = format!("{:.3}", 100.0 - 100.0 / one_in);
        percent
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    let axes = ("percentile", "latency in µs");
    render_curves(&mut picture, title, axes, lines, &label)
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(std::fs::write(path, picture)?)
}

fn render_curves(
    picture: &mut String,
    title: &str,
    axes: (&str, &str),
    lines: &[Curve],
    x_label: &dyn Fn(f64) -> String,
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let low = points().map(pick).fold(f64::INFINITY, f64::min);
        let high = points().map(pick).fold(0.0, f64::max);
        (low, high)
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    if !(left.is_finite() && left > 0.0 && low > 0.0) {
        return Err("nothing to draw".into());
    }
    let beside = right * (right / left).powf(WIDE_LEGEND).max(1.05);
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 19))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (left..beside).log_scale(),
            (low / 1.5..high * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(axes.0)
        .y_desc(axes.1)
        .x_label_formatter(&|x| x_label(*x))
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    for line in lines {
        let style = line.colour.stroke_width(2);
        let points = line.points.iter().copied();
        if line.dashed {
            chart
                .draw_series(DashedLineSeries::new(points, 7, 5, style))?
                .label(line.name.clone())
                .legend(move |(x, y)| DashedPathElement::new([(x, y), (x + 14, y)], 4, 3, style));
        } else {
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(line.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
        }
    }
    legend(&mut chart)?;
    drop(chart);
    area.present()?;
    Ok(())
}

type Chart<'a, 'b, X, Y> = plotters::chart::ChartContext<
    'a,
    SVGBackend<'b>,
    plotters::coord::cartesian::Cartesian2d<X, Y>,
>;

fn legend<'a, 'b: 'a, X, Y>(chart: &mut Chart<'a, 'b, X, Y>) -> Result<(), Box<dyn Error>>
where
    X: plotters::coord::ranged1d::Ranged<ValueType = f64>,
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.4))
        .draw()
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// `1.5`, `300`, `12 k`, `1.2 M`.
fn number(value: f64) -> String {
    match value.abs() {
        value if value >= 1e6 => format!("{} M", super::report::digits(value / 1e6, 2)),
        value if value >= 1e4 => format!("{} k", super::report::digits(value / 1e3, 2)),
        value => super::report::digits(value, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_become_a_picture() {
        let bars = Bars {
            title: "CPU per message".to_owned(),
            unit: "µs",
            groups: vec![(
                "64".to_owned(),
                vec![(Client::Ours, 2.0), (Client::Go, 30.0)],
            )],
        };
        let mut picture = String::new();
        bars.render(&mut picture).unwrap();
        assert!(picture.contains("CPU per message") && picture.contains("30"));
        assert!(picture.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn curves_become_a_picture() {
        let line = Curve {
            name: "ours".to_owned(),
            colour: colour(Client::Ours),
            dashed: true,
            points: vec![(1.0, 2.0), (1000.0, 2.1)],
        };
        let mut picture = String::new();
        let axes = ("topics", "µs");
        render_curves(&mut picture, "growth", axes, &[line], &|x| number(x)).unwrap();
        assert!(picture.contains("growth") && picture.contains("topics"));
    }

    #[test]
    fn large_numbers_are_short() {
        let shown = [0.25, 7.0, 5_100_000.0, 77_000.0].map(number);
        assert_eq!(shown, ["0.2", "7.0", "5.1 M", "77 k"]);
    }
}
