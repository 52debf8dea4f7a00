//! The page in windows of every size, by keyboard alone, and with a filter that is wrong.

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
    browser.wait_for("[data-detail=interface_mtu]", "eth0").await?;
    browser.wait_for("[data-packet]", "10.255.255.5").await?;
    // Nothing lies beyond the right edge, and the page can be scrolled down to its end.
    let is_within = "const all = [...document.querySelectorAll('#share, #help, [data-detail], .tabbed, .timeline, .findings')];
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

#[tokio::test]
async fn a_cold_page_shows_the_worst_finding_with_its_picture_and_its_fix() -> Result<()> {
    if !can_browse("a_cold_page_shows_the_worst_finding_with_its_picture_and_its_fix") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.viewport(1280, 720, 1).await?;
    browser.goto(&dropscope.page("reference")?).await?;
    let first = "return document.querySelector('[data-finding]')?.dataset.finding";
    let first = browser.wait_until("the first finding", first).await?;
    let open = "return document.querySelector('[data-detail]')?.dataset.detail";
    assert_eq!(browser.wait_until("an open finding", open).await?, first);
    // All packets are listed, from the first on.
    browser.wait_for("[data-packet='1']", "10.255.255.5").await?;
    assert!(!browser.url().await?.contains("&t="), "{}", browser.url().await?);
    // The rules that dropped packets have since been deleted: there is nothing to fix, only to confirm.
    for (finding, commands) in [("interface_mtu", "fix"), ("firewall_drop", "confirm")] {
        browser.click(&format!("[data-finding={finding}]")).await?;
        browser.wait_for(&format!("[data-detail={finding}]"), "").await?;
        let in_sight = format!(
            "const pane = document.querySelector('.inspector__scroll').getBoundingClientRect();
            const parts = ['h2', '.picture svg', '[data-commands={commands}] .command__line', '[data-commands={commands}] .command__effect']
                .map(css => document.querySelector('[data-detail={finding}] ' + css)?.getBoundingClientRect());
            return parts.every(r => r && r.top >= pane.top && r.bottom <= Math.min(pane.bottom, innerHeight));"
        );
        browser.wait_until(&format!("what {finding} is and what to do, in sight"), &in_sight).await?;
        browser.screenshot(&format!("finding-{finding}-1280")).await?;
    }
    browser.close().await
}

#[tokio::test]
async fn in_a_narrow_window_a_finding_opens_below_its_card() -> Result<()> {
    if !can_browse("in_a_narrow_window_a_finding_opens_below_its_card") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    // A small window, and one of 1280 by 720 at 200 %.
    for (width, height, zoom) in [(600, 900, 1), (640, 360, 2)] {
        browser.viewport(width, height, zoom).await?;
        browser.goto(&dropscope.page("reference")?).await?;
        // The worst finding opens by itself once there is one, and a click on what is open closes it.
        browser
            .wait_until(
                "the worst finding in full",
                "return !document.querySelector('#progress') && document.querySelector('[data-finding][aria-expanded=true]')",
            )
            .await?;
        for finding in ["firewall_drop", "interface_mtu"] {
            let first = format!("document.querySelector('[data-finding={finding}]')");
            if browser.eval(&format!("return {first}.ariaExpanded !== 'true'")).await? == true {
                browser.click(&format!("[data-finding={finding}]")).await?;
            }
            let below = format!(
                "const card = document.querySelector('[data-finding={finding}]').getBoundingClientRect();
                const detail = document.querySelector('[data-detail={finding}]')?.getBoundingClientRect();
                return detail && card.top > -1 && card.top < innerHeight * 0.75 && Math.abs(detail.top - card.bottom) < 2
                    && detail.top < innerHeight;"
            );
            browser.wait_until(&format!("{finding} in full below its card"), &below).await?;
            browser.screenshot(&format!("narrow-{finding}-{width}")).await?;
        }
        // What its evidence points to comes into sight.
        browser.click(".detail__proof > summary").await?;
        browser.click(".detail__proof [data-anchor^=p]").await?;
        let lit = "const list = document.querySelector('.tabbed').getBoundingClientRect();
            return list.top >= -1 && list.top < innerHeight / 2 && !!document.querySelector('[data-packet][aria-selected=true]');";
        browser.wait_until("the packet it names", lit).await?;
    }
    browser.close().await
}

/// What axe calls `scrollable-region-focusable`: whoever has no mouse must be able to scroll whatever scrolls.
#[tokio::test]
async fn whatever_scrolls_can_be_scrolled_by_keyboard() -> Result<()> {
    if !can_browse("whatever_scrolls_can_be_scrolled_by_keyboard") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.viewport(1024, 600, 1).await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    browser.wait_for("[data-detail=interface_mtu]", "").await?;
    browser.click(".timeline__corner button").await?;
    browser.wait_for(".timeline__table", "").await?;
    for tab in ["packets", "ladder", "course", "conversations", "counters", "drops", "notes"] {
        browser.click(&format!("[data-tab={tab}]")).await?;
        browser.wait_until(tab, &format!("return document.querySelector('[data-view={tab}]')")).await?;
        let unreachable = "return [...document.querySelectorAll('.app *')].filter(e => {
            const style = getComputedStyle(e);
            const scrolls = (/auto|scroll/.test(style.overflowY) && e.scrollHeight > e.clientHeight + 1)
                || (/auto|scroll/.test(style.overflowX) && e.scrollWidth > e.clientWidth + 1);
            return scrolls && e.tabIndex < 0 && !e.querySelector('a[href], button:not([tabindex=\"-1\"]), input, summary, [tabindex=\"0\"]');
        }).map(e => e.className)";
        assert_eq!(browser.eval(unreachable).await?, serde_json::json!([]), "in {tab}");
    }
    browser.close().await
}
