//! `dropscope packets`: one JSON object a packet, or the values of chosen fields as `tshark -T fields` prints them.

use crate::cli::{UNREADABLE, WRONG_USE};
use crate::input::Input;
use crate::stderr::complain;
use anyhow::Result;
use clap::Args;
use dropscope_core::filter;
use dropscope_core::log::UnpackError;
use dropscope_core::log::record::End;
use dropscope_core::query::medium;
use dropscope_core::query::{Chosen, Engine, FieldLines, PacketLines, Survey};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `packets`.
#[derive(Args)]
pub(crate) struct PacketsArgs {
    /// The capture; - for standard input.
    file: PathBuf,
    /// One JSON object a line.
    #[arg(long, required_unless_present = "fields", conflicts_with = "fields")]
    json: bool,
    /// The values of these fields, separated by tabs: Wireshark's names, separated by commas. Several values of one field stand
    /// side by side with commas.
    #[arg(long, short = 'e', value_name = "FIELD,...")]
    fields: Option<String>,
    /// Only packets that pass this display filter.
    #[arg(long, short = 'Y', value_name = "FILTER", requires = "fields")]
    filter: Option<String>,
    /// The fields' names as the first line.
    #[arg(long, requires = "fields")]
    header: bool,
}

/// Lists the packets of a capture.
pub(crate) fn packets(args: &PacketsArgs) -> Result<ExitCode> {
    let listed = match &args.fields {
        None => list(args),
        Some(fields) => match chosen(fields, args.filter.as_deref()) {
            Ok(chosen) => list_fields(args, chosen),
            Err(wrong) => {
                // The filter as it was typed, with a mark below the place.
                let lines: Vec<_> = wrong.lines().map(medium::visible).collect();
                eprintln!("dropscope: {}", lines.join("\n"));
                return Ok(WRONG_USE.into());
            }
        },
    };
    match listed {
        Ok(status) => Ok(status),
        // Whoever read the list has seen enough, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain!("{error:#}");
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
    Ok(status(broken, end))
}

/// What fields and filter mean; else what is wrong, and a mark below the place.
fn chosen(fields: &str, filter: Option<&str>) -> Result<Chosen, String> {
    let chosen = Chosen::fields(fields).map_err(|error| pointed(fields, &error))?;
    match filter {
        None => Ok(chosen),
        Some(filter) => chosen.of_packets(filter).map_err(|error| pointed(filter, &error)),
    }
}

fn pointed(text: &str, error: &filter::Error) -> String {
    let characters = |range: std::ops::Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
    let meant = error.suggestion.as_ref().map(|name| format!(" Did you mean `{name}`?")).unwrap_or_default();
    let [line, marks] = filter::pointed(text, characters(0..error.at.start), characters(error.at.clone()));
    format!("{}{meant}\n  {line}\n  {marks}", error.message)
}

fn list_fields(args: &PacketsArgs, chosen: Chosen) -> Result<ExitCode> {
    let input = Input::open(&args.file)?;
    let mut engine = Engine::new();
    input.feed(&mut engine)?;
    let mut out = io::stdout().lock();
    let mut text = if args.header { chosen.header() } else { String::new() };
    let mut lines = FieldLines::new(chosen, engine);
    let broken = input.each_chunk(|bytes| {
        lines.push(bytes, &mut text);
        out.write_all(text.as_bytes())?;
        text.clear();
        Ok(())
    })?;
    let end = lines.finish(&mut text);
    out.write_all(text.as_bytes())?;
    out.flush()?;
    if let Err(why) = &end {
        complain!("{why}");
    }
    Ok(status(broken, end))
}

fn status(broken: Option<UnpackError>, end: Result<(), End>) -> ExitCode {
    if let Some(broken) = broken {
        complain!("{broken}");
        return UNREADABLE.into();
    }
    match end {
        Ok(()) | Err(End::CutShort { .. }) => ExitCode::SUCCESS,
        Err(End::Damaged { .. } | End::Unsupported { .. }) => UNREADABLE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A width of format! ends at 65,535.
    #[test]
    fn an_error_far_into_a_filter_is_pointed_at() {
        let filter = format!("frame contains \"{}\" and tcp.prot == 1", "é".repeat(30_000));
        let told = chosen("ip.src", Some(&filter)).err().unwrap_or_default();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[0].contains("tcp.prot") && lines[0].contains("tcp.port"), "{told}");
        let at = lines[2].find('^').unwrap_or_default();
        let marked: String = lines[1].chars().skip(at).take(lines[2].matches('^').count()).collect();
        assert_eq!(marked, "tcp.prot", "{told}");
        let list = format!("{}tcp.prot", "ip.src,".repeat(20_000));
        assert!(chosen(&list, None).is_err_and(|told| told.contains("tcp.port") && told.len() < 400));
        let long = "tcp||".repeat(20_000) + "tcp";
        assert!(chosen("ip.src", Some(&long)).is_err_and(|told| told.contains("100003 bytes") && told.len() < 400));
    }
}
