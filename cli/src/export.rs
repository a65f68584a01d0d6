//! `fieldvitals export`: writes page views or rollups of a site for other programs.
//!
//! Reading order: `schema` (columns and values), `views` and `rollups` (the rows of a store), `encode` with `columnar` and
//! `text` (rows as bytes), `part` (a file that survives a kill). A reader fills a segment with rows while the segment before
//! is encoded and written, so the memory holds two segments, whatever the size of the export.

mod columnar;
mod encode;
mod part;
mod rollups;
mod schema;
mod text;
mod views;

use crate::client::period;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::moment::{day, text as time_text, time};
use crate::progress::{Progress, Rate, count, grouped};
use crate::store_args::{StoreArgs, site_of};
use anyhow::{Context as _, anyhow, ensure};
use clap::ValueEnum;
use encode::{Encoder, Format, Segment, Whole};
use fieldvitals_server::{clock, report};
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{CellQuery, SiteId, Store, StoreError, priority};
use part::{Description, Part, Start};
use rollups::RollupReader;
use schema::Field;
use std::io::{ErrorKind, IsTerminal as _, Stdout};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use views::ViewReader;
use vitals::metric::Metrics;
use vitals::view::ViewId;

/// Threads of an export: one reads, one encodes.
const THREADS: usize = 2;

/// Write page views or rollups of a site into a file for other programs: Parquet, CSV or JSON lines.
///
/// Servers may run meanwhile. The file gets its name when it is whole; until then a folder FILE.part holds what is written.
/// docs/export.md lists the columns.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The site; optional if the store has only one.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// What to write.
    #[arg(long, value_enum, default_value_t = What::Views)]
    what: What,
    /// The format.
    #[arg(long, value_enum)]
    format: Format,
    /// The file; `-` for standard output. An existing file is replaced with --force only.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Start of the period, such as 2026-11-21T14:30:00Z or a day; all that is kept when absent. Rollups: whole days.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// End of the period, excluded. When absent: now, for rollups the start of the current day.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// The hours or days before the end: 24h, 7d, 28d, 90d.
    #[arg(long, value_name = "PERIOD", value_parser = period, conflicts_with = "from")]
    period: Option<String>,
    /// Finish an interrupted export with the same options. Starts at the beginning if there is none.
    #[arg(long)]
    resume: bool,
    /// Replace an existing file, once the export is whole.
    #[arg(long)]
    force: bool,
    /// Rows of a row group of Parquet, and of a step after which an interrupted export resumes. More rows take more memory.
    #[arg(long, value_name = "ROWS", default_value_t = limits::EXPORT_SEGMENT_ROWS,
          value_parser = clap::value_parser!(u64).range(1..=limits::EXPORT_SEGMENT_ROWS_MAX))]
    row_group: u64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A row for each page view.
    Views,
    /// A row for each day and route, and for each day and device, browser, country, connection, navigation type and release.
    Rollups,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Views => "views",
            Self::Rollups => "rollups",
        }
    }

    fn fields(self) -> &'static [Field] {
        match self {
            Self::Views => views::FIELDS,
            Self::Rollups => rollups::fields(),
        }
    }

    /// A row in words.
    const fn row(self) -> &'static str {
        match self {
            Self::Views => "page view",
            Self::Rollups => "rollup",
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Beacons of a server on this machine come first.
    let work = move || {
        priority::lower();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            runtime.worker_threads(THREADS).on_thread_start(priority::lower).enable_all().build()?;
        runtime.block_on(export(&args))
    };
    tokio::task::spawn_blocking(work).await?
}

async fn export(args: &Args) -> anyhow::Result<ExitCode> {
    if args.is_pipe() {
        ensure!(!args.resume, "--resume needs a file, because what a pipe has taken cannot be found out");
        ensure!(
            args.format != Format::Parquet || !std::io::stdout().is_terminal(),
            "Parquet is no text for a terminal; --output FILE writes a file"
        );
    }
    match args.store.with(async |store: &dyn Store| write(store, args).await).await {
        // The reader of the pipe, such as `head`, has what it wants.
        Err(error) if args.is_pipe() && is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        written => written,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    error.downcast_ref::<StoreError>().is_none() && error.chain().any(is_closed)
}

impl Args {
    fn is_pipe(&self) -> bool {
        self.output.as_os_str() == "-"
    }

    /// The period, UTC milliseconds.
    fn period(&self, now_ms: i64) -> anyhow::Result<Range<i64>> {
        let ends = |now_ms| match self.what {
            What::Views => now_ms,
            What::Rollups => day_of(now_ms),
        };
        let to_ms = self.to.unwrap_or_else(|| ends(now_ms));
        let from_ms = match (self.from, &self.period) {
            (Some(from_ms), _) => from_ms,
            (None, Some(period)) => {
                let range = report::Range::parse(Some(period.as_str()), None, None, now_ms)
                    .map_err(|wrong| anyhow!(wrong))?;
                to_ms.saturating_sub(range.to_ms.saturating_sub(range.from_ms))
            }
            (None, None) => i64::MIN,
        };
        ensure!(
            from_ms < to_ms,
            "there is no time in between: the period begins at {} and ends at {}",
            time_text(from_ms),
            time_text(to_ms)
        );
        Ok(from_ms..to_ms)
    }

    /// The options that decide the content.
    fn described(&self, site: &str, period: Range<i64>) -> Description {
        let at = |time: Option<i64>| time.map_or_else(|| "absent".to_owned(), time_text);
        let options = [
            ("store", self.store.place().identity()),
            ("site", site.to_owned()),
            ("--what", self.what.name().to_owned()),
            ("--format", self.format.name().to_owned()),
            ("--row-group", self.row_group.to_string()),
            ("--from", at(self.from)),
            ("--to", at(self.to)),
            ("--period", self.period.clone().unwrap_or_else(|| "absent".to_owned())),
        ];
        let options = options.each_ref().map(|(name, value)| (*name, value.as_str()));
        Description::new(&options, period)
    }
}

async fn write(store: &dyn Store, args: &Args) -> anyhow::Result<ExitCode> {
    let site = site_of(store, args.site.as_deref()).await?;
    let now_ms = clock::now_ms();
    let described = args.described(&format!("{} (id {})", site.name, site.id.0), args.period(now_ms)?);
    let mut sink = Sink::open(args, &described)?;
    let asked = sink.description().unwrap_or(&described).period();
    let kept = kept(store, args.what, asked.clone(), now_ms).await?;
    if args.from.is_some() && kept.start > asked.start {
        eprintln!("note: {}s before {} are past retention", args.what.row(), time_text(kept.start));
    }
    let mut source = Source::new(args.what, site.id, kept.clone(), sink.cursor())?;
    let interrupt = Interrupt::watch("this step");
    let mut progress = Progress::new();
    if sink.rows() > 0 {
        progress.note(&format!("{} are written already", count(sink.rows(), args.what.row())));
    }
    let all = match args.what {
        What::Views => views_in(store, site.id, kept).await?,
        What::Rollups => 0,
    };
    ensure!(
        args.format != Format::Parquet || all / args.row_group.max(1) < limits::EXPORT_ROW_GROUPS_MAX,
        "--row-group {} makes too many row groups for {all} page views: a Parquet file has at most {}",
        args.row_group,
        limits::EXPORT_ROW_GROUPS_MAX
    );
    let rate = Rate::new(sink.rows(), all);
    let next = async |source: &mut Source| {
        let encoder = Encoder::new(args.format, args.what.fields());
        source.next(store, encoder, args.row_group).await
    };
    let mut segment = next(&mut source).await?;
    while let Some(full) = segment {
        if interrupt.asked() {
            progress.clear();
            eprintln!(
                "stopped: the export is not whole{}",
                if args.is_pipe() { "" } else { "; --resume finishes it" }
            );
            return Ok(Exit::Inconclusive.into());
        }
        // Reads the next rows while these are encoded and written.
        (sink, segment) = tokio::try_join!(put(sink, full), next(&mut source))?;
        progress.say(|| match &source {
            Source::Views(_) => rate.text(sink.rows(), "page views"),
            Source::Rollups(reader) => format!("{} rows, up to {}", grouped(sink.rows()), reader.day()),
        });
    }
    let rows = sink.rows();
    let (format, fields) = (args.format, args.what.fields());
    tokio::task::spawn_blocking(move || sink.finish(format, fields)).await??;
    progress.clear();
    let place = if args.is_pipe() { "standard output".to_owned() } else { args.output.display().to_string() };
    eprintln!("{} of `{}` written to {place}", count(rows, args.what.row()), site.name);
    Ok(ExitCode::SUCCESS)
}

/// The part of a period that the store keeps.
async fn kept(store: &dyn Store, what: What, asked: Range<i64>, now_ms: i64) -> anyhow::Result<Range<i64>> {
    let retained = store.retention_edges().await?;
    Ok(match what {
        What::Views => asked.start.max(retained.views_from_ms)..asked.end,
        What::Rollups => {
            let longest_ms = i64::from(fieldvitals_server::limits::KEEP_DAYS_MAX) * DAY_MS;
            let from_ms = asked.start.max(retained.days_from_ms).max(now_ms.saturating_sub(longest_ms));
            day_of(from_ms)..day_of(asked.end.saturating_add(DAY_MS - 1))
        }
    })
}

/// The page views in a period, about: rollups count parts of days.
async fn views_in(store: &dyn Store, site: SiteId, period: Range<i64>) -> anyhow::Result<u64> {
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, period.start, period.end) };
    let counted = store.total(&query).await?;
    Ok(u64::try_from(counted.cell.views).unwrap_or(0))
}

/// Reads the rows of an export.
enum Source {
    Views(ViewReader),
    Rollups(RollupReader),
}

impl Source {
    /// Starts after the row of a cursor, or at the begin of the period.
    fn new(what: What, site: SiteId, period: Range<i64>, cursor: Option<&str>) -> anyhow::Result<Self> {
        let wrong = || format!("the last segment ends with `{}`", cursor.unwrap_or_default());
        Ok(match what {
            What::Views => {
                let after = cursor.map(|id| ViewId::parse(id).with_context(wrong)).transpose()?;
                Self::Views(ViewReader::new(site, period, after))
            }
            What::Rollups => {
                let after = cursor.map(day).transpose().map_err(|error| anyhow!(error).context(wrong()))?;
                Self::Rollups(RollupReader::new(site, period, after))
            }
        })
    }

    /// Fills the encoder with the next rows. Returns `None` at the end of the period.
    async fn next(
        &mut self,
        store: &dyn Store,
        encoder: Encoder,
        rows_max: u64,
    ) -> anyhow::Result<Option<Segment>> {
        match self {
            Self::Views(reader) => reader.next(store, encoder, rows_max).await,
            Self::Rollups(reader) => reader.next(store, encoder, rows_max).await,
        }
    }
}

/// Takes the segments of an export.
enum Sink {
    File(Box<Part>),
    Pipe { whole: Whole<Stdout>, rows: u64 },
}

impl Sink {
    fn open(args: &Args, described: &Description) -> anyhow::Result<Self> {
        if args.is_pipe() {
            let whole = Whole::new(args.format, args.what.fields(), std::io::stdout())?;
            return Ok(Self::Pipe { whole, rows: 0 });
        }
        Ok(Self::File(Box::new(Part::open(
            &args.output,
            described,
            Start { resume: args.resume, replace: args.force },
        )?)))
    }

    /// The description of a resumable export.
    fn description(&self) -> Option<&Description> {
        match self {
            Self::File(part) => Some(part.description()),
            Self::Pipe { .. } => None,
        }
    }

    fn cursor(&self) -> Option<&str> {
        match self {
            Self::File(part) => part.cursor(),
            Self::Pipe { .. } => None,
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::File(part) => part.rows(),
            Self::Pipe { rows, .. } => *rows,
        }
    }

    fn put(&mut self, segment: Segment) -> anyhow::Result<()> {
        match self {
            Self::File(part) => part.put(segment),
            Self::Pipe { whole, rows } => {
                *rows += segment.encoder.rows();
                whole.add(segment.encoder.finish()?).context("standard output")
            }
        }
    }

    fn finish(self, format: Format, fields: &'static [Field]) -> anyhow::Result<()> {
        match self {
            Self::File(part) => part.finish(format, fields),
            Self::Pipe { whole, .. } => whole.finish().map(drop).context("standard output"),
        }
    }
}

/// Writes a segment on a thread for blocking work.
async fn put(mut sink: Sink, segment: Segment) -> anyhow::Result<Sink> {
    let put = move || {
        sink.put(segment)?;
        Ok(sink)
    };
    tokio::task::spawn_blocking(put).await?
}
