//! `dropscope packets`: one JSON object a packet, for programs.

use crate::cli::UNREADABLE;
use crate::input::Input;
use anyhow::Result;
use clap::Args;
use dropscope_core::log::record::End;
use dropscope_core::query::{PacketLines, Survey};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `packets`.
#[derive(Args)]
pub(crate) struct PacketsArgs {
    /// The capture; - for standard input.
    file: PathBuf,
    /// One JSON object a line (the only form there is).
    #[arg(long, required = true)]
    json: bool,
}

/// Lists the packets of a capture.
pub(crate) fn packets(args: &PacketsArgs) -> Result<ExitCode> {
    match list(args) {
        Ok(status) => Ok(status),
        // Whoever read the list has seen enough, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("dropscope: {error:#}");
            Ok(UNREADABLE.into())
        }
    }
}

fn list(args: &PacketsArgs) -> Result<ExitCode> {
    let input = Input::open(&args.file)?;
    let mut survey = Survey::new();
    input.each_chunk(|bytes| {
        survey.push(bytes);
        Ok(())
    })?;
    let mut lines = PacketLines::new(survey.finish());
    let mut out = io::stdout().lock();
    let mut text = String::new();
    let broken = input.each_chunk(|bytes| {
        lines.push(bytes, &mut text);
        out.write_all(text.as_bytes())?;
        text.clear();
        Ok(())
    })?;
    let end = lines.finish(&mut text);
    out.write_all(text.as_bytes())?;
    out.flush()?;
    if let Some(broken) = broken {
        eprintln!("dropscope: {broken}");
        return Ok(UNREADABLE.into());
    }
    Ok(match end {
        Ok(()) | Err(End::CutShort { .. }) => ExitCode::SUCCESS,
        Err(End::Damaged { .. } | End::Unsupported { .. }) => UNREADABLE.into(),
    })
}
