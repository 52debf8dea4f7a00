//! Headless Chromium with a profile of its own.

use crate::until;
use anyhow::{Context, Result, bail};
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A browser window in a fresh profile. Close it with [`Browser::close`]; dropped, it is killed.
pub struct Browser {
    client: Client,
    driver: Child,
    /// Everything driver and browser write; deleted once both have ended.
    folder: TempDir,
}

impl Browser {
    /// Opens one, 1440 by 900.
    pub async fn open() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dropscope-e2e").tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // Both make folders of their own beside the profile, and leave them behind when they are killed.
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .context("starting chromedriver")?;
        let port = port_of(&mut driver).await?;
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options(&folder.path().join("profile")));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let url = format!("http://127.0.0.1:{port}");
        let connector = HttpConnector::new();
        let client =
            Client::with_capabilities_and_connector(&url, &capabilities, connector).await.context("starting Chromium")?;
        Ok(Self { client, driver, folder })
    }

    /// Goes to an address.
    pub async fn goto(&self, url: &str) -> Result<()> {
        // A change of the fragment alone would not load the page anew.
        self.client.goto("about:blank").await?;
        Ok(self.client.goto(url).await?)
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client.refresh().await?)
    }

    /// The address as it stands now.
    pub async fn url(&self) -> Result<String> {
        Ok(self.client.current_url().await?.into())
    }

    /// Makes the window as large as this.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        Ok(self.client.set_window_size(width, height).await?)
    }

    /// Gives the page exactly this many CSS pixels, whatever the window is: at `zoom` 2 they are those of a window twice as large.
    pub async fn viewport(&self, width: u32, height: u32, zoom: u32) -> Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": zoom, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Evaluates JavaScript (with `return`).
    pub async fn eval(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// Waits until an element of this CSS selector is there and its text holds `words`; returns its text.
    pub async fn wait_for(&self, css: &str, words: &str) -> Result<String> {
        until(&format!("`{words}` in {css}"), async || {
            for element in self.client.find_all(Locator::Css(css)).await? {
                let text = element.text().await?;
                if text.contains(words) {
                    return Ok(Some(text));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Waits until JavaScript gives something true, and returns it.
    pub async fn wait_until(&self, what: &str, script: &str) -> Result<Value> {
        until(what, async || {
            let value = self.eval(script).await?;
            let is_true = !matches!(value, Value::Null | Value::Bool(false)) && value != json!(0) && value != json!("");
            Ok(is_true.then_some(value))
        })
        .await
    }

    /// How many elements of this CSS selector there are.
    pub async fn count(&self, css: &str) -> Result<usize> {
        Ok(self.client.find_all(Locator::Css(css)).await?.len())
    }

    /// Waits for an element and clicks it.
    pub async fn click(&self, css: &str) -> Result<()> {
        until(&format!("a click on {css}"), async || {
            self.client.find(Locator::Css(css)).await?.click().await?;
            Ok(Some(()))
        })
        .await
    }

    /// Clicks the middle of an element with the right button, as a mouse does.
    pub async fn right_click(&self, css: &str) -> Result<()> {
        let place = format!(
            "const r = document.querySelector(\"{css}\")?.getBoundingClientRect(); return r && [r.x + r.width / 2, r.y + r.height / 2]"
        );
        let place = self.wait_until(css, &place).await?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "right", "clickCount": 1});
            self.devtools("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Presses a key, named as in JavaScript, on whatever has the focus.
    pub async fn key(&self, key: &str) -> Result<()> {
        self.key_with(key, 0).await
    }

    /// Presses a key with others held down: 1 Alt, 2 Control, 4 Meta, 8 Shift, or a sum of these.
    pub async fn key_with(&self, key: &str, held: u32) -> Result<()> {
        // A button acts on Enter only when the key also brings the character it stands for.
        let text = if key == "Enter" { "\r" } else { "" };
        let down = json!({"type": "keyDown", "key": key, "code": key, "text": text, "modifiers": held});
        self.devtools("Input.dispatchKeyEvent", down).await?;
        self.devtools("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "code": key, "modifiers": held})).await?;
        Ok(())
    }

    /// Opens the share sheet, asks for the link and returns it.
    pub async fn share(&self) -> Result<String> {
        self.click("#share").await?;
        self.click("#share-copy").await?;
        let link = "return document.querySelector('#share-link code')?.textContent";
        let link = self.wait_until("the link to share", link).await?;
        Ok(link.as_str().context("the link is no text")?.to_owned())
    }

    /// Types into an element.
    pub async fn type_into(&self, css: &str, text: &str) -> Result<()> {
        Ok(self.client.wait().for_element(Locator::Css(css)).await?.send_keys(text).await?)
    }

    /// Drops a file on the middle of the window, as a person does with the mouse: the browser itself makes the events.
    pub async fn drop_file(&self, path: &Path) -> Result<()> {
        self.drop_files(&[path]).await
    }

    /// Drops several at once.
    pub async fn drop_files(&self, paths: &[&Path]) -> Result<()> {
        let whole = |path: &&Path| path.canonicalize().with_context(|| format!("finding {}", path.display()));
        let files = paths.iter().map(whole).collect::<Result<Vec<_>>>()?;
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
            self.devtools("Input.dispatchDragEvent", json!({"type": kind, "x": 600, "y": 400, "data": data})).await?;
        }
        Ok(())
    }

    /// Calls the DevTools protocol.
    pub async fn devtools(&self, method: &str, parameters: Value) -> Result<Value> {
        let call = DevTools(json!({"cmd": method, "params": parameters}));
        self.client.issue_cmd(call).await.with_context(|| format!("calling {method}"))
    }

    /// Writes a picture of the window, for people to look at, into `target/screenshots`.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await?)?)
    }

    /// Ends the session and the browser.
    pub async fn close(mut self) -> Result<()> {
        self.client.clone().close().await?;
        self.driver.kill().await?;
        Ok(())
    }
}

/// A test that fails closes nothing: the driver's process group goes, and the browser with it, and then what they wrote.
impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(pid) = self.driver.id() {
            // It may have ended already.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL);
        }
        // A browser that is still ending may write on: the folder is gone when deleting it finds nothing new.
        let ends = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir_all(self.folder.path()).is_err() && self.folder.path().exists() && Instant::now() < ends {
            std::thread::yield_now();
        }
    }
}

/// ChromeDriver chooses a free port and tells it.
async fn port_of(driver: &mut Child) -> Result<u16> {
    let mut lines = BufReader::new(driver.stdout.take().context("chromedriver has no output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            let port = rest.trim_end_matches('.').parse()?;
            // Reads on, so that a full pipe never stops the driver.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(port);
        }
    }
    bail!("chromedriver ended before it told its port")
}

fn options(profile: &Path) -> Value {
    json!({
        "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1440,900",
            format!("--user-data-dir={}", profile.display()),
        ]
    })
}

/// A DevTools call through ChromeDriver.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}
