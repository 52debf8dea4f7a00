//! What goes over the wire between a browser and a server: counted, and some of it refused.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands between browser and server.
#[derive(Clone)]
pub struct Wire {
    near: u16,
    far: u16,
    /// What a request must not begin with while it is refused.
    refused: &'static str,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    refuses: AtomicBool,
    to_browser: AtomicU64,
    asked_in_vain: AtomicU64,
}

impl Wire {
    /// A wire to the server of this link. It refuses what lies below the path `refused` until it is [allowed](Self::allow).
    pub async fn to(link: &str, refused: &'static str) -> Result<Self> {
        let far = link.split([':', '/']).find_map(|part| part.parse().ok()).context("the link has no port")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let state = Arc::new(State { refuses: true.into(), ..State::default() });
        let wire = Self { near: listener.local_addr()?.port(), far, refused, state };
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let wire = accepting.clone();
                // A connection that breaks is the browser's to tell.
                tokio::spawn(async move { wire.carry(near).await.ok() });
            }
        });
        Ok(wire)
    }

    /// A link of the server, by way of this wire.
    pub fn link(&self, link: &str) -> String {
        link.replace(&format!(":{}/", self.far), &format!(":{}/", self.near))
    }

    /// Refuses nothing any more.
    pub fn allow(&self) {
        self.state.refuses.store(false, Ordering::Relaxed);
    }

    /// Bytes that went to the browser, headers included.
    pub fn to_browser(&self) -> u64 {
        self.state.to_browser.load(Ordering::Relaxed)
    }

    /// Requests that were refused.
    pub fn refusals(&self) -> u64 {
        self.state.asked_in_vain.load(Ordering::Relaxed)
    }

    async fn carry(&self, near: TcpStream) -> Result<()> {
        let far = TcpStream::connect(("127.0.0.1", self.far)).await?;
        let ((mut from_browser, mut to_browser), (mut from_server, mut to_server)) = (near.into_split(), far.into_split());
        let down = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let length = from_server.read(&mut buffer).await?;
                if length == 0 {
                    return anyhow::Ok(());
                }
                self.state.to_browser.fetch_add(length as u64, Ordering::Relaxed);
                to_browser.write_all(&buffer[..length]).await?;
            }
        };
        let up = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // A browser sends a request's head in one piece, and the next only after the answer.
                let length = from_browser.read(&mut buffer).await?;
                let is_refused = buffer[..length].starts_with(format!("GET {}", self.refused).as_bytes());
                if is_refused && self.state.refuses.load(Ordering::Relaxed) {
                    self.state.asked_in_vain.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                if length == 0 {
                    return Ok(());
                }
                to_server.write_all(&buffer[..length]).await?;
            }
        };
        tokio::select! { ended = down => ended, ended = up => ended }
    }
}
