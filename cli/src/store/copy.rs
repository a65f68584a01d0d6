//! `fieldvitals store copy`: copies all data of one store into another one.
//!
//! The target stores the progress as load cursors, each under a spool id derived from the source. The transaction that
//! writes data also moves the cursor, so an interrupted copy resumes where it stopped. Page views are loaded like
//! beacons. Every step can be repeated.

mod plan;
mod steps;

use super::compare::{Compared, Names, agree, different_names, table};
use super::place::Place;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::{Terminal, print};
use crate::progress::Progress;
use crate::rollup::verify_sites;
use anyhow::{Context as _, anyhow, bail, ensure};
use fieldvitals_server::close_store;
use fieldvitals_server::spool::{self, IdleSpool, SpoolError};
use fieldvitals_store::Store;
use plan::Plan;
use std::process::ExitCode;
use steps::{Copied, Copier};

/// Copy a store into another one, in any direction: sites with their keys, tokens, page views, rollups, violations.
///
/// Stop the servers of both stores first: the copy may miss data that arrive in the source meanwhile. The source stays
/// as it is. An interrupted copy resumes when it is started again, and copies nothing twice. At the end the command
/// counts and compares both stores, in total and per route and label: exit 0 if they agree, 1 if they differ.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The source: a data folder, a store's file, or postgres://USER@HOST/NAME.
    ///
    /// A password may also come from PGPASSWORD or ~/.pgpass.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The target; created if missing.
    #[arg(long, value_name = "STORE")]
    to: String,
    /// Also compare the rollups of the copy with its page views, as `rollup verify` does.
    #[arg(long)]
    verify: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Parses here, because the argument parser would print an invalid place with its password.
    let place = |option, text| Place::parse(text).map_err(|wrong| anyhow!("{option}: {wrong}"));
    let (from, to) = (&place("--from", &args.from)?, &place("--to", &args.to)?);
    ensure!(from.identity() != to.identity(), "--from and --to are the same: {}", from.name());
    ensure!(
        from.file().is_none_or(|file| file.exists()),
        "there is no store to be copied in {}; --from names a data folder, a store's file, or postgres://USER@HOST/NAME",
        from.file().unwrap_or_default().display()
    );
    // Holds the spool to the end, so that no server starts on the source.
    let resting = at_rest(from, "source").await?;
    ensure!(
        resting.as_ref().is_none_or(|spool| spool.beacons == 0),
        "{} beacons wait in the spool beside {}, and would be missed; start the server on it once more and stop it \
         (SIGTERM) when `fieldvitals report` or /api/v1/status shows that none waits",
        resting.as_ref().map_or(0, |spool| spool.beacons),
        from.name()
    );
    let _target_rests = at_rest(to, "target").await?;
    let source = from.open().await.context("--from")?;
    let target = match to.open().await.context("--to") {
        Ok(target) => target,
        Err(error) => {
            close_store(source.as_ref()).await;
            return Err(error);
        }
    };
    let done = copy((from, source.as_ref()), (to, target.as_ref()), resting, args.verify).await;
    close_store(source.as_ref()).await;
    close_store(target.as_ref()).await;
    done
}

async fn copy(
    (from, source): (&Place, &dyn Store),
    (to, target): (&Place, &dyn Store),
    resting: Option<IdleSpool>,
    verify: bool,
) -> anyhow::Result<ExitCode> {
    if resting.is_none() {
        eprintln!(
            "note: whether servers still write to {} cannot be seen from here; stop them first",
            from.name()
        );
    }
    let plan = Plan::make(source, target).await?;
    let state = resting.and_then(|spool| spool.last);
    let interrupt = Interrupt::watch("this part");
    let mut copier = Copier {
        source,
        target,
        identity: format!(
            "{} {}",
            from.identity(),
            state.map_or_else(String::new, |id| format!("{:?}", id.0))
        ),
        retained: plan.retained,
        interrupt: &interrupt,
        progress: Progress::new(),
    };
    let sites = match copier.all(&plan).await.with_context(|| {
        format!("the copy into {} is not complete; the same command goes on where it stopped", to.name())
    })? {
        Copied::All(sites) => sites,
        Copied::Stopped => {
            copier.progress.clear();
            eprintln!("stopped; the same command goes on from here");
            return Ok(Exit::Inconclusive.into());
        }
    };
    copier.progress.say(|| "counting both stores".to_owned());
    let mut compared = Vec::new();
    for (source_site, target_site) in &sites {
        compared.push(Compared {
            site: source_site.name.clone(),
            source: source.site_size(source_site.id).await?,
            target: target.site_size(target_site.id).await?,
            names: [Names::of(source, source_site.id).await?, Names::of(target, target_site.id).await?],
        });
    }
    copier.progress.clear();
    print(&table(&compared, Terminal::of_stdout()));
    if !agree(&compared) {
        print(&different_names(&compared));
        print(
            "\nThe stores do not hold the same. Either something wrote to one of them meanwhile, such as a server, or the \
             target\nhad data of its own. With all servers stopped, the same command copies what is missing; what the \
             target has beyond\nthe source stays there.\n",
        );
        return Ok(Exit::Fail.into());
    }
    copier.forget(&sites).await?;
    let mut exit = Exit::Pass;
    if verify {
        let sites: Vec<_> = sites.into_iter().map(|(_, site)| site).collect();
        let verified = verify_sites(target, &sites).await?;
        print(&format!("\n{}", verified.to_text(Terminal::of_stdout())));
        exit = verified.exit();
    }
    print(&format!(
        "\nBoth hold the same. Start servers with {}, and keep the source until you have seen reports of it.\n",
        match to {
            Place::Folder(path) => format!("--data-dir {}", path.display()),
            Place::File(path) => format!("--database-url sqlite://{}", path.display()),
            Place::Postgres(_) => "--database-url of the target".to_owned(),
        }
    ));
    Ok(exit.into())
}

/// The spool beside a store, if there is one. Fails if a server uses it.
async fn at_rest(place: &Place, which: &str) -> anyhow::Result<Option<IdleSpool>> {
    let Some(path) = place.spool() else { return Ok(None) };
    match spool::lock_idle(&path) {
        Ok(rest) => Ok(Some(rest)),
        Err(SpoolError::InUse { .. }) => {
            bail!(
                "a server runs on the {which}, {}, or another `store copy` has it; stop the server (SIGTERM) or let \
                 the copy end, and try again",
                place.name()
            )
        }
        Err(error) => Err(anyhow::Error::new(error).context(format!("the spool of the {which}"))),
    }
}
