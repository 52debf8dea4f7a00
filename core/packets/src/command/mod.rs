//! Commands for the reader to run: argument vectors, printed by one quoting printer.
//!
//! A log is written by others, and names in it can be anything (the kernel accepts an interface called `x;id;#`). So a command is
//! never text: it is a vector of words that are literals of this program ([`Arg`] from `&'static str`), numbers, addresses, or values
//! that were checked to be what they claim ([`IfName`], [`Reach`], words of a firewall rule in [`netfilter`]). What is no such value
//! has no command.

mod arg;
pub mod netfilter;
mod reach;
mod shell;

pub use arg::{Arg, IfName};
pub use reach::Reach;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// A command with what it shows or changes. Dropscope never runs it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Command {
    argv: Vec<String>,
    /// One sentence: what it shows, or what it changes and what that costs.
    pub effect: String,
}

impl Command {
    /// The command that runs this program.
    pub fn new(program: &'static str) -> Self {
        Self { argv: vec![program.to_owned()], effect: String::new() }
    }

    /// With these words after those that are there.
    #[must_use]
    pub fn args<const N: usize>(mut self, words: [&'static str; N]) -> Self {
        self.argv.extend(words.map(str::to_owned));
        self
    }

    /// With this word after those that are there.
    #[must_use]
    pub fn arg(mut self, word: impl Into<Arg>) -> Self {
        self.argv.push(word.into().into_string());
        self
    }

    /// With this sentence.
    #[must_use]
    pub fn effect(mut self, sentence: impl Into<String>) -> Self {
        self.effect = sentence.into();
        self
    }

    /// The words that this command's program is called with, itself first.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// As typed at a POSIX shell, which reads the same words back.
    pub fn line(&self) -> String {
        shell::line(&self.argv)
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut command = serializer.serialize_struct("Command", 3)?;
        command.serialize_field("line", &self.line())?;
        command.serialize_field("argv", &self.argv)?;
        command.serialize_field("effect", &self.effect)?;
        command.end()
    }
}
