//! The `dropscope` command.

fn main() -> std::process::ExitCode {
    dropscope_agent::cli::main()
}
