//! Reference servers for `bench ingest`: a bare HTTP handler, and the naive design with one INSERT a request.

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Result;
use sqlx::postgres::{PgPool, PgPoolOptions};
use std::io::Write as _;
use vitals::beacon::{Content, decode};
use vitals::metric::{Metric, Values};
use vitals::view::Device;

/// Size of the naive design's connection pool.
const POOL: u32 = 16;

/// Chooses the reference server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Read the body and answer 204: the cost of HTTP itself.
    Bare,
    /// Parse the body with serde_json and insert one row a view into Postgres.
    Naive {
        /// URL of the database.
        #[arg(long)]
        database_url: String,
    },
}

/// Serves until the process is killed.
pub(crate) fn serve(args: &Args) -> Result<()> {
    // One worker a core, as in fieldvitals' server.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    actix_web::rt::System::new().block_on(async {
        let server = match &args.kind {
            Kind::Bare => {
                let app = || App::new().route("/v1/beacon", web::post().to(bare));
                let server = HttpServer::new(app).workers(workers).bind("127.0.0.1:0")?;
                greet(&server.addrs())?;
                server.run()
            }
            Kind::Naive { database_url } => {
                let pool = PgPoolOptions::new().max_connections(POOL).connect(database_url).await?;
                sqlx::raw_sql(TABLE).execute(&pool).await?;
                let app = move || {
                    App::new()
                        .app_data(web::Data::new(pool.clone()))
                        .route("/v1/beacon", web::post().to(naive))
                };
                let server = HttpServer::new(app).workers(workers).bind("127.0.0.1:0")?;
                greet(&server.addrs())?;
                server.run()
            }
        };
        server.await?;
        Ok(())
    })
}

fn greet(addresses: &[std::net::SocketAddr]) -> Result<()> {
    for address in addresses {
        writeln!(std::io::stdout(), "listening on {address}")?;
    }
    Ok(())
}

async fn bare(body: Bytes) -> HttpResponse {
    std::hint::black_box(body.len());
    HttpResponse::NoContent().finish()
}

const TABLE: &str = "
    create table if not exists naive (site text, ts bigint, view_id text, seq bigint, url text, device text,
        connection text, release text, lcp float8, inp float8, cls float8, fcp float8, ttfb float8, fid float8,
        tti float8);
    create index if not exists naive_site_ts on naive (site, ts)";

const INSERT: &str =
    "insert into naive values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

async fn naive(pool: web::Data<PgPool>, body: Bytes) -> HttpResponse {
    let Ok(beacon) = decode(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let Content::Views(views) = beacon.content else {
        return HttpResponse::BadRequest().finish();
    };
    for view in views {
        let values: Values = view.values;
        let mut insert = sqlx::query(INSERT)
            .bind(&beacon.site)
            .bind(view.id.start_ms())
            .bind(view.id.to_string())
            .bind(i64::from(beacon.seq))
            .bind(&beacon.url)
            .bind(beacon.device.map(Device::name))
            .bind(&beacon.connection)
            .bind(&beacon.release);
        for metric in Metric::ALL {
            insert = insert.bind(values.get(metric).map(|value| value.number(metric)));
        }
        if insert.execute(pool.get_ref()).await.is_err() {
            return HttpResponse::InternalServerError().finish();
        }
    }
    HttpResponse::NoContent().finish()
}
