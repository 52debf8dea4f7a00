//! Pages to compare with, served on loopback: the bare loop, and Wireshark compiled to WebAssembly (wiregasm).

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path as Route, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::path::PathBuf;
use std::sync::Arc;

/// The folder of each peer that is there, by the name it is served under.
pub(crate) type Folders = Vec<(String, PathBuf)>;

/// Serves the peers' pages and files until this process ends; returns the address.
pub(crate) async fn serve(folders: Folders) -> Result<String> {
    let pages = Router::new()
        .route("/bare.html", get(Html(include_str!("bare.html"))))
        .route("/wiregasm.html", get(Html(include_str!("wiregasm.html"))))
        .route("/{peer}/{file}", get(file))
        .with_state(Arc::new(folders));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding a port on loopback")?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, pages).await });
    Ok(address)
}

async fn file(State(folders): State<Arc<Folders>>, Route((peer, file)): Route<(String, String)>) -> impl IntoResponse {
    let folder = folders.iter().find(|(name, _)| *name == peer).map(|(_, folder)| folder.join(&file));
    let bytes = folder.and_then(|path| std::fs::read(path).ok()).ok_or(StatusCode::NOT_FOUND)?;
    // A browser compiles a module while it arrives only under this type, and runs scripts only under theirs.
    let kind = match file.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, kind)], bytes))
}
