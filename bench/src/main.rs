//! The load generator: what our servers do, beside what the machine does without them, in the same run.
//!
//! It starts a private PostgreSQL and the real programs, sets a scene by SQL, measures limits and ours in turn, prints
//! tables, and takes everything away again. `bench/README.md` says what is measured, and how.

mod audience;
mod bare;
mod bench;
mod cluster;
mod figures;
mod frames;
mod http;
mod load;
mod machine;
mod open_loop;
mod pgbench;
mod plan;
mod process;
mod report;
mod requests;
mod samples;
mod scene;
mod site;
mod store;
mod usage;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread::available_parallelism,
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, setrlimit};
use tokio::signal::ctrl_c;

use crate::{bench::Bench, figures::Figures, report::Report};

/// Streams and servers need two files each.
const FILES: u64 = 65_536;

/// Measures Fechatter beside the machine's own limits.
#[derive(Parser)]
struct Arguments {
    /// How much is measured.
    #[arg(value_enum, default_value = "quick")]
    mode: Mode,
    /// Only these figures.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figures>,
    /// Write the tables to this file as well.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "bench/RESULTS.md")]
    write: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Some minutes.
    Quick,
    /// For the record.
    Full,
    /// Nothing: be the bare server that another run measures.
    #[value(hide = true, name = bare::COMMAND)]
    Bare,
}

fn main() -> ExitCode {
    // The other half of the cores is for the servers.
    let threads = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let arguments = Arguments::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if !matches!(arguments.mode, Mode::Bare) {
        runtime.worker_threads(threads);
    }
    let result = runtime.enable_all().build().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                result = run(arguments) => result,
                interrupted = ctrl_c() => { interrupted?; bail!("interrupted") }
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fechatter_bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plan = match arguments.mode {
        Mode::Bare => return bare::serve().await,
        Mode::Quick => &plan::QUICK,
        Mode::Full => &plan::FULL,
    };
    raise_file_limit();
    let mut bench = Bench::start(plan).await?;
    let before = machine::fsync_micros(bench.cluster.folder())?;
    let wanted = if arguments.only.is_empty() { Figures::ALL.to_vec() } else { arguments.only };
    let mut report = Report::default();
    for figures in wanted {
        figures.measure(&mut bench, &mut report).await.with_context(|| format!("{figures:?}"))?;
    }
    let text =
        format!("# Results\n\n{}\n{}", machine::describe(plan, &bench.cluster, before), report.markdown());
    io::stdout().write_all(text.as_bytes())?;
    if let Some(file) = arguments.write {
        write(&file, &text)?;
    }
    Ok(())
}

/// As root further than the system allows others.
fn raise_file_limit() {
    if setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES).is_err() {
        chat_core::http::listen::raise_file_limit();
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text.trim_end().to_owned() + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}
