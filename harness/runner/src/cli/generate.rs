//! `mhlab schema`, `mhlab completions` and `mhlab man`: what is made from the program itself.

use clap::CommandFactory as _;

use super::{
    Exit, Stop,
    args::{Arguments, Completions, Man, Schema, SchemaOf},
    console::Console,
};

pub(super) fn schema(options: &Schema, console: &mut Console) -> Result<Exit, Stop> {
    let text = match options.of {
        SchemaOf::Scenario => harness_model::scenario::schema(),
        SchemaOf::Report => harness_report::json::schema(),
    };
    console.print(&text)?;
    Ok(Exit::Passed)
}

pub(super) fn completions(options: &Completions, console: &mut Console) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "mhlab", &mut script);
    console.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}

pub(super) fn man(options: &Man) -> Result<Exit, Stop> {
    let directory = &options.directory;
    if !directory.is_dir() {
        return Err(Stop::BadInput(format!(
            "{} is no directory (hint: `mkdir -p` makes one)",
            directory.display()
        )));
    }
    clap_mangen::generate_to(Arguments::command(), directory).map_err(|error| {
        Stop::BadInput(format!("manual pages cannot be written to {}: {error}", directory.display()))
    })?;
    Ok(Exit::Passed)
}
