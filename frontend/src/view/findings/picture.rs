//! The one picture that shows a kind of finding best, as SVG: text stays text, colours come from the style sheet.

use crate::format;
use crate::state::{AppState, Intent};
use crate::text::{Value, t, tn};
use dropscope_core::finding::Picture;
use dropscope_core::time::Timestamp;
use yew::prelude::*;

/// The drawing's own width; the page scales it.
const WIDTH: f64 = 380.0;

/// The picture.
pub fn picture(picture: &Picture, dispatch: &UseReducerDispatcher<AppState>) -> Html {
    match picture {
        Picture::SizeRuler { mtu, limit, passed, vanished } => size_ruler(*mtu, *limit, passed, vanished),
        Picture::HitSteps { rule, hits, unanswered } => hit_steps(rule, hits, unanswered),
        Picture::LossHistogram { by_size, by_time } => loss_histogram(by_size, by_time),
        Picture::Ladder { flow } => {
            let (dispatch, flow) = (dispatch.clone(), *flow);
            let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Flow(flow)));
            html! { <p><button class="button" {onclick}>{ t("show-flow-graph") }</button></p> }
        }
    }
}

fn figure(title: String, height: f64, inside: Html) -> Html {
    html! {
        <figure class="picture">
            <svg viewBox={format!("0 0 {WIDTH} {height}")} role="img" aria-label={title.clone()}>{ inside }</svg>
            <figcaption>{ title }</figcaption>
        </figure>
    }
}

/// Packet sizes on one ruler: what passed above the axis in its colour, what vanished with a cross, the limit between them.
fn size_ruler(mtu: u32, limit: Option<u32>, passed: &[(u32, u32)], vanished: &[(u32, u32)]) -> Html {
    let largest = passed.iter().chain(vanished).map(|s| s.0).max().unwrap_or(mtu).max(mtu);
    let scale = RulerScale { most: f64::from(largest) * 1.12 };
    let limit = limit.unwrap_or(mtu);
    let line = scale.x(f64::from(limit));
    let lollipops = |sizes: &[(u32, u32)], class: &'static str| -> Html {
        let most = sizes.iter().map(|s| s.1).max().unwrap_or(1).max(1);
        let mut labelled_to = f64::MIN;
        sizes
            .iter()
            .map(|(size, count)| {
                let x = scale.x(f64::from(*size));
                let tall = 16.0 + 44.0 * (f64::from(*count) / f64::from(most)).sqrt();
                let label = (x > labelled_to).then(|| {
                    labelled_to = x + 36.0;
                    let words =
                        if *count > 1 { format!("{size} B × {}", format::count((*count).into())) } else { format!("{size} B") };
                    html! { <text class="picture__label" x={px(x)} y={px(88.0 - tall)} text-anchor="middle">{ words }</text> }
                });
                html! {
                    <g {class}>
                        <line x1={px(x)} x2={px(x)} y1="100" y2={px(100.0 - tall)} />
                        if class == "is-passed" {
                            <circle cx={px(x)} cy={px(100.0 - tall)} r="4" />
                        } else {
                            <path d={format!("M{} {}l8 8m0 -8l-8 8", px(x - 4.0), px(96.0 - tall))} />
                        }
                        { label }
                    </g>
                }
            })
            .collect()
    };
    let total: u64 = vanished.iter().map(|v| u64::from(v.1)).sum();
    let title = tn("picture-sizes", &[("mtu", Value::Text(&mtu.to_string())), ("n", Value::Number(total))]);
    let words = if limit == mtu { format!("MTU {mtu}") } else { format!("MTU {mtu} (+{})", limit - mtu.min(limit)) };
    let ticks = scale.ticks();
    figure(
        title,
        132.0,
        html! {
            <>
                <rect class="picture__beyond" x={px(line)} y="14" width={px((WIDTH - line).max(0.0))} height="86" />
                <line class="picture__axis" x1="0" x2={px(WIDTH)} y1="100" y2="100" />
                { for ticks.into_iter().map(|size| {
                    let x = px(scale.x(size));
                    html! { <g class="picture__tick"><line x1={x.clone()} x2={x.clone()} y1="100" y2="104" /><text x={x} y="116" text-anchor="middle">{ format!("{size:.0}") }</text></g> }
                }) }
                { lollipops(passed, "is-passed") }
                { lollipops(vanished, "is-lost") }
                <line class="picture__limit" x1={px(line)} x2={px(line)} y1="14" y2="104" />
                <text class="picture__limit-word" x={px(line)} y="10" text-anchor={if line > WIDTH * 0.7 { "end" } else { "middle" }}>{ words }</text>
                <text class="picture__label" x="0" y="130">{ t("picture-bytes-of-ip") }</text>
                <text class="picture__label is-passed" x={px(WIDTH / 2.0)} y="130" text-anchor="middle">{ format!("○ {}", t("picture-passed")) }</text>
                <text class="picture__label is-lost" x={px(WIDTH)} y="130" text-anchor="end">{ format!("× {}", t("picture-vanished")) }</text>
            </>
        },
    )
}

struct RulerScale {
    most: f64,
}

impl RulerScale {
    fn x(&self, bytes: f64) -> f64 {
        bytes / self.most * WIDTH
    }

    fn ticks(&self) -> Vec<f64> {
        let step = [10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 250.0, 500.0, 1_000.0, 5_000.0, 10_000.0];
        let step = step.into_iter().find(|s| self.most / s <= 8.0).unwrap_or(20_000.0);
        (1..=(self.most / step) as u32).map(|n| f64::from(n) * step).filter(|b| self.x(*b) < WIDTH - 12.0).collect()
    }
}

/// A rule's hits over time, above the packets that went unanswered.
fn hit_steps(rule: &str, hits: &[(Timestamp, u64)], unanswered: &[Timestamp]) -> Html {
    let times = hits.iter().map(|h| h.0).chain(unanswered.iter().copied());
    let (Some(start), Some(end)) = (times.clone().min(), times.max()) else { return Html::default() };
    let scale = crate::view::timeline::scale::Scale { span: dropscope_core::time::Span::new(start, end), width: WIDTH - 12.0 };
    let x = |t: Timestamp| scale.px_from_time(t) + 6.0;
    let low = hits.first().map_or(0, |h| h.1);
    let high = hits.last().map_or(0, |h| h.1).max(low + 1);
    let y = |n: u64| 84.0 - (n.saturating_sub(low)) as f64 / (high - low) as f64 * 60.0;
    let mut path = String::new();
    for (i, (t, n)) in hits.iter().enumerate() {
        path += &if i == 0 { format!("M{:.1} {:.1}", x(*t), y(*n)) } else { format!("H{:.1}V{:.1}", x(*t), y(*n)) };
    }
    let title =
        tn("picture-hits", &[("hits", Value::Text(&format::count(high - low))), ("n", Value::Number(unanswered.len() as u64))]);
    html! {
        <>
            <pre class="picture__rule">{ rule }</pre>
            { figure(title, 124.0, html! {
                <>
                    <line class="picture__axis" x1="0" x2={px(WIDTH)} y1="84" y2="84" />
                    <path class="picture__steps" d={path} />
                    <text class="picture__label" x={px(WIDTH)} y="14" text-anchor="end">{ format!("+{}", format::count(high - low)) }</text>
                    <g class="is-lost">{ for unanswered.iter().take(400).map(|t| html! { <line x1={px(x(*t))} x2={px(x(*t))} y1="90" y2="104" /> }) }</g>
                    <text class="picture__label" x="0" y="120">{ format::time_of_day(start, 0) }</text>
                    <text class="picture__label is-lost" x={px(WIDTH / 2.0)} y="120" text-anchor="middle">{ t("picture-unanswered") }</text>
                    <text class="picture__label" x={px(WIDTH)} y="120" text-anchor="end">{ format::time_of_day(end, 0) }</text>
                </>
            }) }
        </>
    }
}

/// What was sent and lost by size, and what was lost over time.
fn loss_histogram(by_size: &[(u32, u32, u32)], by_time: &[(Timestamp, u32)]) -> Html {
    let most = by_size.iter().map(|s| s.1.max(s.2)).max().unwrap_or(1).max(1);
    let each = WIDTH / by_size.len().max(1) as f64;
    let tall = |n: u32| if n == 0 { 0.0 } else { (f64::from(n) / f64::from(most)).sqrt() * 72.0 + 1.0 };
    let sizes = by_size.iter().enumerate().map(|(i, (edge, sent, lost))| {
        let (x, w) = (i as f64 * each, (each - 3.0).max(2.0));
        let share = f64::from(*lost) / f64::from((*sent).max(1)) * 100.0;
        html! {
            <g>
                <rect class="picture__sent" x={px(x)} y={px(90.0 - tall(*sent))} width={px(w)} height={px(tall(*sent))}><title>{ format!("≤ {edge} B: {lost} / {sent} ({share:.1} %)") }</title></rect>
                <rect class="picture__lost" x={px(x)} y={px(90.0 - tall(*lost))} width={px(w)} height={px(tall(*lost))} />
                <text class="picture__label" x={px(x + w / 2.0)} y="102" text-anchor="middle">{ edge.to_string() }</text>
            </g>
        }
    });
    let lost: u64 = by_size.iter().map(|s| u64::from(s.2)).sum();
    let sent: u64 = by_size.iter().map(|s| u64::from(s.1)).sum();
    let title = tn("picture-loss", &[("lost", Value::Text(&format::count(lost))), ("sent", Value::Text(&format::count(sent)))]);
    let times = by_time.first().zip(by_time.last()).map(|(first, last)| {
        let scale =
            crate::view::timeline::scale::Scale { span: dropscope_core::time::Span::new(first.0, last.0), width: WIDTH - 8.0 };
        let most = by_time.iter().map(|t| t.1).max().unwrap_or(1).max(1);
        let bars: Html = by_time
            .iter()
            .filter(|t| t.1 > 0)
            .map(|(t, n)| {
                let (x, h) = (scale.px_from_time(*t) + 4.0, f64::from(*n) / f64::from(most) * 28.0 + 1.0);
                html! { <rect class="picture__lost" x={px(x - 1.0)} y={px(148.0 - h)} width="3" height={px(h)} /> }
            })
            .collect();
        html! {
            <>
                { bars }
                <line class="picture__axis" x1="0" x2={px(WIDTH)} y1="148" y2="148" />
                <text class="picture__label" x="0" y="160">{ format::time_of_day(first.0, 0) }</text>
                <text class="picture__label" x={px(WIDTH)} y="160" text-anchor="end">{ format::time_of_day(last.0, 0) }</text>
            </>
        }
    });
    figure(
        title,
        if times.is_some() { 164.0 } else { 108.0 },
        html! {
            <>{ for sizes }<line class="picture__axis" x1="0" x2={px(WIDTH)} y1="90" y2="90" />{ times }</>
        },
    )
}

fn px(n: f64) -> String {
    format!("{n:.1}")
}
