//! The page in small windows, by keyboard alone, and with a filter that is wrong.

use anyhow::Result;
use dropscope_e2e::{Browser, Dropscope, can_browse};

#[tokio::test]
async fn a_window_as_narrow_as_at_200_percent_shows_everything_below_each_other() -> Result<()> {
    if !can_browse("a_window_as_narrow_as_at_200_percent_shows_everything_below_each_other") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.resize(660, 500).await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    browser.wait_for("[data-detail=interface_mtu]", "eth0").await?;
    browser.wait_for("[data-packet]", "10.255.255.5").await?;
    // Nothing lies beyond the right edge, and the page can be scrolled down to its end.
    let is_within = "const all = [...document.querySelectorAll('#share, #help, .inspector, .tabbed, .timeline, .findings')];
        return all.length === 6 && all.every(e => e.getBoundingClientRect().right <= innerWidth + 1)
            && document.documentElement.scrollWidth <= innerWidth;";
    browser.wait_until("everything within the width", is_within).await?;
    let end = "scrollTo(0, 1e6); const r = document.querySelector('.status').getBoundingClientRect();
        return r.bottom <= innerHeight + 1 && r.top > 0;";
    browser.wait_until("the end of the page", end).await?;
    browser.screenshot("narrow").await?;
    browser.close().await
}

#[tokio::test]
async fn the_arrow_keys_go_through_the_views_and_the_flow_graph_shows_every_packet() -> Result<()> {
    if !can_browse("the_arrow_keys_go_through_the_views_and_the_flow_graph_shows_every_packet") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    browser.click("[data-tab=packets]").await?;
    let focused = "return document.activeElement?.dataset.tab";
    let mut seen = vec![];
    for key in ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "ArrowRight"] {
        browser.key(key).await?;
        seen.push(browser.eval(focused).await?.as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(seen, ["ladder", "course", "ladder", "notes", "packets", "ladder"]);
    // The hole takes a rung of its own, and no packet's.
    browser.wait_for("[data-missing='1-75']", "never arrived").await?;
    browser.wait_for("[data-rung='119']", "#119").await?;
    browser.close().await
}

#[tokio::test]
async fn a_wrong_filter_says_where_it_is_wrong_also_when_a_link_brings_it() -> Result<()> {
    if !can_browse("a_wrong_filter_says_where_it_is_wrong_also_when_a_link_brings_it") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.wait_for("[data-packet='1']", "10.255.255.5").await?;
    // A name that is still being typed is no mistake.
    browser.type_into("#filter", "tcp.fl").await?;
    browser.wait_for("#filter-words", "tcp.flags").await?;
    assert_eq!(browser.count("#filter-error").await?, 0);
    browser.type_into("#filter", "agz == 2").await?;
    browser.wait_for("#filter-error", "tcp.flagz").await?;
    browser.type_into("#filter", "\n").await?;
    browser.wait_for(".view__bar", "tcp.flagz").await?;
    browser.wait_for("#filter-error", "^").await?;
    assert_eq!(browser.count("[data-view=packets] .view__empty").await?, 0, "it says that no packet matches");
    browser.screenshot("filter-wrong").await?;
    browser.reload().await?;
    browser.wait_for(".view__bar", "tcp.flagz").await?;
    browser.wait_until("the mark on the field", "return document.querySelector('#filter[aria-invalid=true]')").await?;
    browser.close().await
}
