//! Links: what one person sees is what the other opens, and nobody passes on more rights than to read it.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope, can_browse, run_to_end};
use serde_json::Value;
use tempfile::TempDir;

/// What is to be seen: view, finding, packet, filter, span, how many packets, and where the inspector stands.
const SCREEN: &str = "
    const one = (css, get) => { const e = document.querySelector(css); return e ? get(e) : null; };
    return [
        one('[data-tab][aria-selected=true]', e => e.dataset.tab),
        one('[data-finding][aria-selected=true]', e => e.dataset.findingId),
        one('[data-packet][aria-selected=true]', e => e.dataset.packet),
        one('#filter', e => e.value),
        one('.view__bar', e => e.textContent),
        one('.inspector h2', e => e.textContent),
        location.hash.replace(/k=[^&]*/, ''),
    ];";

async fn same_screen(browser: &Browser, expected: &Value) -> Result<()> {
    let same = format!("const seen = (() => {{ {SCREEN} }})(); return JSON.stringify(seen) === JSON.stringify({expected});");
    let waited = browser.wait_until("the same screen", &same).await;
    let seen = browser.eval(SCREEN).await?;
    waited.map(drop).with_context(|| format!("expected {expected}\nseen {seen}"))
}

/// The reference case on a server of its own.
async fn serve(folder: &TempDir) -> Result<Dropscope> {
    let log = folder.path().join("reference.pcapng");
    run_to_end(&["reference", "-o", &log.to_string_lossy()]).await?;
    Dropscope::start(&["open", "--port", "0", &log.to_string_lossy()]).await
}

#[tokio::test]
async fn a_link_brings_back_the_whole_screen_in_another_profile_after_reload_and_by_back_and_forward() -> Result<()> {
    if !can_browse("a_link_brings_back_the_whole_screen_in_another_profile_after_reload_and_by_back_and_forward") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dropscope = serve(&folder).await?;
    let (browser, other) = (Browser::open().await?, Browser::open().await?);
    browser.goto(dropscope.link()).await?;
    let mut screens = vec![];
    browser.click("[data-finding=firewall_drop]").await?;
    browser.wait_for("[data-detail=firewall_drop]", "INPUT").await?;
    browser.wait_for(".view__bar", "selected").await?;
    browser.wait_until("a lit packet", "return document.querySelector('[data-packet][aria-selected=true]')").await?;
    screens.push(browser.eval(SCREEN).await?);
    browser.type_into("#filter", "tcp.flags.reset == 1\n").await?;
    browser
        .wait_until("the filter", "return location.hash.includes('reset') && !!document.querySelector('[data-packet]')")
        .await?;
    browser.click("[data-packet='7']").await?;
    browser.wait_for(".inspector h2", "7").await?;
    browser.wait_until("the packet", "return location.hash.includes('at=p7') && location.hash.includes('flow=')").await?;
    screens.push(browser.eval(SCREEN).await?);
    browser.click("[data-tab=ladder]").await?;
    browser.wait_for("[data-view=ladder] .view__bar", "packets").await?;
    screens.push(browser.eval(SCREEN).await?);

    for screen in &screens[1..] {
        // The address bar holds the owner's token; the link to share does not.
        let is_now = browser.eval(SCREEN).await? == *screen;
        if !is_now {
            browser.eval("history.back()").await?;
            same_screen(&browser, screen).await?;
        }
        let link = browser.share().await?;
        browser.key("Escape").await?;
        assert!(!link.contains(dropscope.token()?), "{link} gives the owner's rights away");
        other.goto(&link).await?;
        same_screen(&other, screen).await?;
        other.reload().await?;
        same_screen(&other, screen).await?;
        if !is_now {
            browser.eval("history.forward()").await?;
            same_screen(&browser, &screens[2]).await?;
        }
    }
    browser.reload().await?;
    same_screen(&browser, &screens[2]).await?;
    other.close().await?;
    browser.close().await
}

#[tokio::test]
async fn no_link_that_is_copied_holds_the_owners_token() -> Result<()> {
    if !can_browse("no_link_that_is_copied_holds_the_owners_token") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dropscope = serve(&folder).await?;
    let token = dropscope.token()?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    let link = browser.share().await?;
    assert!(link.contains("interface_mtu") && !link.contains(token), "{link}");

    // The menu of a packet, both of the reference case and of a capture that only a token opens.
    for page in [dropscope.page("reference")?, dropscope.link().to_owned()] {
        browser.goto(&page).await?;
        browser.wait_for("[data-packet='2']", "10.255.255.5").await?;
        browser.eval("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }").await?;
        browser.right_click("[data-packet='2']").await?;
        let copy = "const item = [...document.querySelectorAll('[role=menuitem]')].find(i => i.textContent.includes('link'));
            item?.click(); return !!item;";
        browser.wait_until("the item that copies a link", copy).await?;
        let link = browser.wait_until("the copied link", "return window.copied").await?;
        let link = link.as_str().context("the link is no text")?;
        assert!(link.contains("at=p2") && !link.contains(token), "{link}");
        let other = Browser::open().await?;
        other.goto(link).await?;
        other.wait_for(".inspector h2", "Packet 2").await?;
        other.close().await?;
    }
    browser.close().await
}
