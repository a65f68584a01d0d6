//! The recipes for frameworks: apps with the code of docs/recipes.md, built by the frameworks' own tools, visited in a
//! browser.

use fieldvitals_tests::apps::App;
use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The variable with the folder of the built apps. `cargo xtask test recipes` builds them and sets it.
const FOLDER: &str = "FIELDVITALS_RECIPES";
const PAGE: &str = include_str!("../../docs/recipes.md");

/// A framework's app under `tests/apps`.
struct Recipe {
    /// The name of its folder.
    name: &'static str,
    /// The folder of the built app.
    output: &'static str,
    /// The file for every path, if the app has only one page.
    fallback: Option<&'static str>,
    /// True once the app handles clicks on its links. An earlier click would load the page.
    is_ready: &'static str,
    /// The framework's pattern of `/blog/first`.
    pattern: &'static str,
}

const REACT: &str =
    "Object.keys(document.querySelector('#second') ?? {}).some(key => key.startsWith('__reactProps'))";
const RECIPES: [Recipe; 5] = [
    Recipe { name: "next", output: "out", fallback: None, is_ready: REACT, pattern: "/blog/[slug]" },
    Recipe {
        name: "nuxt",
        output: ".output/public",
        fallback: None,
        is_ready: "document.querySelector('#__nuxt').__vue_app__ && !useNuxtApp().isHydrating",
        pattern: "/blog/:slug",
    },
    Recipe {
        name: "sveltekit",
        output: "build",
        fallback: None,
        is_ready: "document.documentElement.dataset.hydrated === ''",
        pattern: "/blog/[slug]",
    },
    Recipe {
        name: "react-router",
        output: "dist",
        fallback: Some("index.html"),
        is_ready: REACT,
        pattern: "/blog/:slug",
    },
    Recipe {
        name: "astro",
        output: "dist",
        fallback: None,
        is_ready: "document.readyState === 'complete'",
        pattern: "/blog/[slug]",
    },
];

/// Waits for the page with this heading.
async fn shown(browser: &Browser, heading: &str) {
    browser.until(&format!("document.querySelector('h1')?.textContent.trim() === '{heading}'")).await;
}

/// A visit: a post, the same post with a query, another post, the start page, and back. Then a short visit of a post.
async fn visit(browser: &Browser, recipe: &Recipe, app: &App) {
    browser.open(&format!("{}/blog/first", app.url)).await;
    browser.until("window.fieldvitals").await;
    browser.until(recipe.is_ready).await;
    browser.run("window.isSameDocument = true").await;
    browser.click("#query").await;
    browser.until("location.search === '?page=2'").await;
    for (link, heading) in [("#second", "Post second"), ("#home", "Home")] {
        browser.click(link).await;
        shown(browser, heading).await;
    }
    // Without an input, a move so early would be a redirect.
    browser.click("h1").await;
    browser.driver.back().await.expect("there is a page before");
    shown(browser, "Post second").await;
    assert_eq!(
        browser.run("return window.isSameDocument").await,
        true,
        "{}: a link loaded a page",
        recipe.name
    );
    browser.leave().await;

    browser.open(&format!("{}/blog/first", app.url)).await;
    browser.until("window.fieldvitals").await;
    browser.leave().await;
}

/// The routes of a site with their page views, in order.
fn routes(pages: &Value) -> Vec<(String, u64)> {
    let rows = pages["pages"].as_array().expect("rows");
    let mut routes: Vec<_> = rows
        .iter()
        .map(|row| (row["route"].as_str().expect("a route").to_owned(), row["views"].as_u64().unwrap_or(0)))
        .collect();
    routes.sort();
    routes
}

#[tokio::test]
async fn each_view_of_a_framework_has_the_pattern_of_its_route_and_is_counted_once() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        eprintln!("NOT TESTED: {FOLDER} is not set; `cargo xtask test recipes` builds the apps");
        return;
    };
    let (server, browser) = (Server::start().await, Browser::start().await);
    for recipe in &RECIPES {
        let name = recipe.name;
        let add = ["site", "add", name, "--origin", "http://localhost:*", "--json"];
        let site = server.cli_json(&add).await;
        let key = site["key"].as_str().expect("a site has a key");
        let output = folder.join(name).join(recipe.output);
        let app = App::start(output, recipe.fallback, &server.url, key).await;
        // The server reads its sites again within a second.
        eventually(|| async { server.get(&format!("sites/{name}/report?period=24h")).await }).await;
        visit(&browser, recipe, &app).await;
        let path = format!("sites/{name}/pages?period=24h&min_n=1");
        let views = |pages: &Value| routes(pages).iter().map(|(_, views)| views).sum::<u64>();
        let pages = eventually(|| async {
            let pages = server.get(&path).await?;
            if views(&pages) >= 5 { Ok(pages) } else { Err(format!("{name}: {pages}")) }
        })
        .await;
        let expected = [("/".to_owned(), 1), (recipe.pattern.to_owned(), 4)];
        assert_eq!(routes(&pages), expected, "{name}: {pages}");
        let kinds = server.get(&format!("sites/{name}/breakdown?by=navigation_type&period=24h")).await;
        let kinds = kinds.expect("an answer");
        let mut kinds: Vec<_> = kinds["values"]
            .as_array()
            .expect("values")
            .iter()
            .map(|row| (row["value"].as_str().unwrap_or_default(), row["views"].as_u64().unwrap_or(0)))
            .collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [("navigate", 2), ("soft-navigation", 3)], "{name}");
    }
    let status = server.settled().await;
    assert_eq!(status["outcomes"]["accepted"], status["received"], "{status}");
    browser.quit().await;
}

/// The code of a recipe: the fenced block under its file's name.
fn code_of(file: &str) -> Option<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("`{file}`:\n\n```"))?;
    let (_, rest) = rest.split_once('\n')?;
    Some(rest.split_once("\n```")?.0)
}

#[test]
fn code_in_the_documentation_is_that_of_the_apps() {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps");
    for (app, file) in [
        ("next", "app/fieldvitals.jsx"),
        ("nuxt", "app/plugins/fieldvitals.js"),
        ("sveltekit", "src/routes/Fieldvitals.svelte"),
        ("react-router", "fieldvitals.js"),
        ("astro", "src/components/Fieldvitals.astro"),
    ] {
        let source = std::fs::read_to_string(apps.join(app).join(file)).expect("a file of the app");
        assert_eq!(code_of(file), Some(source.trim_end()), "{app}: docs/recipes.md and tests/apps differ");
    }
    let fences = PAGE.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(fences, 2 * RECIPES.len(), "another block is not tested");
}
