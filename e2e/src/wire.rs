//! Counts the bytes between a browser and a server.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands between browser and server.
#[derive(Clone)]
pub struct Wire {
    near: u16,
    far: u16,
    to_browser: Arc<AtomicU64>,
}

impl Wire {
    /// A wire to the server of this link.
    pub async fn to(link: &str) -> Result<Self> {
        let far = link.split([':', '/']).find_map(|part| part.parse().ok()).context("the link has no port")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let wire = Self { near: listener.local_addr()?.port(), far, to_browser: Arc::default() };
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

    /// Bytes that went to the browser, headers included.
    pub fn to_browser(&self) -> u64 {
        self.to_browser.load(Ordering::Relaxed)
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
                self.to_browser.fetch_add(length as u64, Ordering::Relaxed);
                to_browser.write_all(&buffer[..length]).await?;
            }
        };
        let up = async { anyhow::Ok(tokio::io::copy(&mut from_browser, &mut to_server).await.map(drop)?) };
        tokio::select! { ended = down => ended, ended = up => ended }
    }
}
