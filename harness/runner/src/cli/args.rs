//! What can be said on the command line.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use harness_report::Format;

use crate::machine::MHNAT_VARIABLE;

const EXIT_STATUS: &str = "\
Exit status:
  0  every test passed (skipped tests are counted, and need at least one that passed)
  1  a test failed, or could not be carried out
  2  the input was wrong; nothing was built
  3  this machine could not do it, or every test was skipped
  128 + n  ended by signal n";

const EXAMPLES: &str = "\
Examples:
  mhlab run scenarios                                     every scenario below a directory
  mhlab run --filter 'tag(nat) and not control()' scenarios
  mhlab run --verbose scenarios/seeds/fix-fan-out.toml    also the way of every packet
  mhlab run --report junit=junit.xml --report json=run.json --strict scenarios
  mhlab plan scenarios/seeds/fix-fan-out.toml             the lab that would be built";

/// A laboratory in network namespaces for Linux gateways with several ways out.
///
/// A scenario file describes hosts, links, providers and a gateway; mhlab builds them in namespaces, applies an
/// implementation under test, sends traffic, and judges from the packets themselves.
#[derive(Debug, Parser)]
#[command(name = "mhlab", version, max_term_width = 100, after_help = EXIT_STATUS,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios and judge them
    Run(Run),
    /// Run tests with random breaks again and again, and shrink what fails
    Soak(Soak),
    /// Delete each nft rule of the subjects in turn, and tell which no test misses
    Mutants(Mutants),
    /// List scenarios with their variants
    List(List),
    /// Read scenarios and report everything that is wrong with them
    Check(Check),
    /// Show the lab that would be built for a scenario
    Plan(Plan),
    /// Print the JSON Schema of scenario files or of reports
    Schema(Schema),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write manual pages into a directory
    Man(Man),
}

#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Scenario files, or directories with scenario files below
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,

    /// Only the tests that match an expression
    ///
    /// scenario(GLOB), variant(GLOB), tag(GLOB), control(), or a word or quoted text that is looked for in
    /// SCENARIO::VARIANT; with and (&), or (|), not (!) and parentheses. In a GLOB, * stands for any text and ?
    /// for one character.
    #[arg(long, value_name = "EXPR")]
    pub(super) filter: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Tests at a time [default: four a processor]
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    pub(super) jobs: Option<NonZeroUsize>,

    /// Write a report: text, tap, junit or json, to a file or to standard output (-)
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = report)]
    pub(super) reports: Vec<ReportTarget>,

    /// A skipped test makes the run fail
    #[arg(long)]
    pub(super) strict: bool,

    /// Show steps and journeys of tests that pass as well
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Stop a test that takes longer, such as 60s, 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(super) timeout: Duration,

    /// The program mhnat [default: beside mhlab, or on the PATH]
    #[arg(long, value_name = "PROGRAM", env = MHNAT_VARIABLE, hide_env_values = true,
        value_hint = ValueHint::ExecutablePath)]
    pub(super) mhnat: Option<PathBuf>,

    /// Delete the N-th nft rule of the subject, counted from 0, after it was applied: some test should now fail
    #[arg(long, value_name = "N")]
    pub(super) without_rule: Option<usize>,

    /// Where all chance comes from, instead of from the seeds of the scenarios; reports tell it
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

const SOAK_EXAMPLES: &str = "\
Examples:
  mhlab soak --for 3m scenarios/soak                       from a seed that is told
  mhlab soak --breaks 10000 --seed 1 --keep-going scenarios/soak/eight-uplinks.toml
  mhlab run --seed 1042 scenarios/soak/eight-uplinks.toml  one of these runs again";

/// Run tests with random breaks again and again, and shrink what fails
///
/// Every run has the next seed, which decides which links break when and how. What fails is run again with fewer and
/// fewer of its breaks, and the fewest with which it fails two of three times are written into a scenario of their own,
/// beside the one that they are from: SCENARIO-seed-N.toml.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{SOAK_EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(super) struct Soak {
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Until so many breaks have happened
    #[arg(long, value_name = "N", conflicts_with = "lasting")]
    pub(super) breaks: Option<u64>,

    /// For so long, such as 90s or 3m
    #[arg(long = "for", id = "lasting", value_name = "TIME", value_parser = duration, default_value = "3m")]
    pub(super) lasting: Duration,

    /// The seed of the first run [default: by the clock]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,

    /// Tests at a time [default: one a processor]
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    pub(super) jobs: Option<NonZeroUsize>,

    /// Go on when a run fails, and shrink nothing
    #[arg(long)]
    pub(super) keep_going: bool,

    /// How long the fewest breaks are looked for
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    pub(super) shrink: Duration,

    /// What it came to, for programs; people read standard error
    #[arg(long)]
    pub(super) json: bool,

    /// Of what fails, show steps that passed as well
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Stop a test that takes longer, such as 60s, 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(super) timeout: Duration,

    /// The program mhnat [default: beside mhlab, or on the PATH]
    #[arg(long, value_name = "PROGRAM", env = MHNAT_VARIABLE, hide_env_values = true,
        value_hint = ValueHint::ExecutablePath)]
    pub(super) mhnat: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  mhlab mutants --filter 'variant(mhnat)' scenarios\n\nExit status: as of \
    `mhlab run`; 1 if a rule is not missed."
)]
pub(super) struct Mutants {
    #[command(flatten)]
    pub(super) selection: Selection,

    /// The program mhnat [default: beside mhlab, or on the PATH]
    #[arg(long, value_name = "PROGRAM", env = MHNAT_VARIABLE, hide_env_values = true,
        value_hint = ValueHint::ExecutablePath)]
    pub(super) mhnat: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) selection: Selection,

    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Scenario files, or directories with scenario files below
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// A scenario file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,

    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of which files
    #[arg(value_enum, default_value_t = SchemaOf::Scenario)]
    pub(super) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SchemaOf {
    /// Scenario files
    Scenario,
    /// Reports of the format json
    Report,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// An existing directory
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) directory: PathBuf,
}

/// A report that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportTarget {
    pub(super) format: Format,
    /// None: standard output.
    pub(super) file: Option<PathBuf>,
}

fn report(text: &str) -> Result<ReportTarget, String> {
    let Some((format, file)) = text.split_once('=') else {
        return Err("expected FORMAT=FILE, such as junit=junit.xml".to_owned());
    };
    let format = format.parse().map_err(|error: harness_report::UnknownFormat| error.to_string())?;
    match file {
        "" => Err("the file is missing behind `=` (hint: `-` is standard output)".to_owned()),
        "-" => Ok(ReportTarget { format, file: None }),
        file => Ok(ReportTarget { format, file: Some(PathBuf::from(file)) }),
    }
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 1024;
    match text.parse::<usize>().map(NonZeroUsize::new) {
        Ok(Some(jobs)) if jobs.get() <= MOST => Ok(jobs),
        _ => Err(format!("expected a number from 1 to {MOST}")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit, such as 60s, 500ms or 2m".to_owned();
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| expected())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(expected()),
    };
    if number == 0 {
        return Err("no test takes no time".to_owned());
    }
    Ok(unit * number)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rstest::rstest;

    use super::{Arguments, Duration, duration};
    use crate::pool::Limits;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_default_timeout_is_the_one_of_the_pool() {
        assert_eq!(duration("60s"), Ok(Limits::DEFAULT_TIMEOUT));
    }

    #[rstest]
    #[case("500ms", Some(Duration::from_millis(500)))]
    #[case("2m", Some(Duration::from_secs(120)))]
    #[case("60", None)]
    #[case("0s", None)]
    #[case("1.5s", None)]
    #[case("-1s", None)]
    #[case("99999999999s", None)]
    #[case("1h", None)]
    #[case("", None)]
    fn durations(#[case] text: &str, #[case] expected: Option<Duration>) {
        assert_eq!(duration(text).ok(), expected);
    }
}
