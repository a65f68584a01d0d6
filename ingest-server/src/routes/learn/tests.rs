use super::*;
use crate::intake::page_url::PageUrl;
use crate::intake::{route, site_route};
use fieldvitals_store::limits::ROUTES_PER_SITE_MAX;
use fieldvitals_store::{Site, SiteId};

/// Pages with content.
const PAGES: usize = 20_000;
const VIEWS: usize = 60_000;
/// Client networks of visitors.
const NETWORKS: u64 = 500;

/// A reproducible sequence: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash ^ (hash >> 31)) % bound
    }
}

/// A kind of site: the path of a page by its rank, fixed sections, and the share of page views of the latter.
struct Kind {
    name: &'static str,
    page: fn(usize) -> String,
    sections: Vec<String>,
    sections_percent: u64,
}

/// A title of some words, different for each rank.
fn title(rank: usize, separator: &str) -> String {
    const WORDS: [&str; 16] = [
        "moon", "river", "why", "your", "best", "garden", "how", "to", "city", "small", "green", "winter",
        "music", "old", "bread", "light",
    ];
    let mut words = Vec::new();
    let mut rest = rank + 16;
    while rest > 0 {
        words.push(WORDS[rest % 16]);
        rest /= 16;
    }
    words.join(separator)
}

fn kinds() -> Vec<Kind> {
    let all =
        |prefix: &str, names: &[&str]| names.iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>();
    let fixed = all("/", &["", "about", "pricing", "contact", "search"]);
    let topics = ["politics", "sport", "culture", "science", "economy", "weather", "opinion", "travel"];
    let with = |more: Vec<String>| [fixed.clone(), more].concat();
    vec![
        Kind {
            name: "blog",
            page: |rank| format!("/blog/{}", title(rank, "-")),
            sections: with([all("/blog/category/", &topics), all("/", &["blog", "blog/archive"])].concat()),
            sections_percent: 20,
        },
        Kind {
            name: "news",
            page: |rank| {
                let topics = ["politics", "sport", "culture"];
                format!("/{}/2026/11/{:02}/{}", topics[rank % 3], rank % 28 + 1, title(rank, "-"))
            },
            sections: with(all("/", &topics)),
            sections_percent: 20,
        },
        Kind {
            name: "questions",
            page: |rank| format!("/questions/{}/{}", 70_000_000 + rank * 7, title(rank, "-")),
            sections: with([all("/questions/tagged/", &topics), all("/", &["questions", "tags"])].concat()),
            sections_percent: 15,
        },
        Kind {
            name: "wiki",
            page: |rank| format!("/wiki/{}", title(rank, "_")),
            sections: with(all("/wiki/Help/", &topics)),
            sections_percent: 5,
        },
        Kind {
            name: "shop",
            page: |rank| format!("/p/{}-{}", title(rank, "-"), 1_000_000 + rank),
            sections: with([all("/c/", &topics), all("/", &["cart", "checkout"])].concat()),
            sections_percent: 40,
        },
    ]
}

/// The paths of page views: Zipf's law with exponent 0.9 over the pages, and evenly over the sections.
fn paths(kind: &Kind) -> Vec<String> {
    let mut random = Random(kind.name.len() as u64);
    let mut sums: Vec<f64> = Vec::with_capacity(PAGES);
    for rank in 1..=PAGES {
        sums.push(sums.last().copied().unwrap_or(0.0) + (rank as f64).powf(-0.9));
    }
    let mut path = |_: usize| {
        if random.below(100) < kind.sections_percent {
            return kind.sections[random.below(kind.sections.len() as u64) as usize].clone();
        }
        let at = random.below(1 << 32) as f64 / (1_u64 << 32) as f64 * sums[PAGES - 1];
        (kind.page)(sums.partition_point(|sum| *sum <= at))
    };
    (0..VIEWS).map(&mut path).collect()
}

fn url_of(path: &str) -> String {
    format!("https://a.example{path}")
}

/// The pages of page views, and the names that got the places, each from the network of its first visitor.
fn pages_of(paths: &[String]) -> (Vec<Page>, Vec<Known>) {
    let mut views = HashMap::new();
    for path in paths {
        *views.entry(route::of_path(&PageUrl::read(&url_of(path)).unwrap())).or_insert(0) += 1;
    }
    let pages = views.into_iter().map(|(route, views)| Page { route, views }).collect();
    (pages, known_beside(&RouteGroups::default(), paths))
}

/// The names that get the places that groups leave.
fn known_beside(groups: &RouteGroups, paths: &[String]) -> Vec<Known> {
    let mut random = Random(7);
    let mut seen = BTreeSet::new();
    let routes = paths.iter().map(|path| route::of_path(&PageUrl::read(&url_of(path)).unwrap()));
    let named = routes.filter(|route| seen.insert(route.clone()) && groups.group_of(route).is_none());
    let known =
        named.map(|route| Known { route, network: Network::from_number(random.below(NETWORKS) as i16) });
    known.take(ROUTES_PER_SITE_MAX).collect()
}

fn site(route_groups: RouteGroups) -> Site {
    Site {
        id: SiteId(1),
        name: "site".to_owned(),
        keys: Vec::new(),
        origins: Vec::new(),
        routes: Vec::new(),
        route_groups,
        timezone: Site::TIMEZONE_DEFAULT.to_owned(),
        created_ms: 0,
    }
}

fn total(pages: &[Page]) -> u64 {
    pages.iter().map(|page| page.views).sum()
}

/// Learns certain groups, as a server does by itself.
fn groups_of(pages: &[Page], known: &[Known]) -> RouteGroups {
    let none = RouteGroups::default();
    learn(pages, total(pages), known, &none).applied(&none, |proposal| proposal.doubt.is_none())
}

fn page(route: &str, views: u64) -> Page {
    Page { route: route.to_owned(), views }
}

/// Asserts that groups leave few routes, that they have all page views, and that sections and large pages keep their names.
fn assert_routes_mean_something(
    kind: &Kind,
    paths: &[String],
    pages: &[Page],
    groups: &RouteGroups,
    most: usize,
) {
    let site = site(groups.clone());
    let mut routes: HashMap<String, u64> = HashMap::new();
    for path in paths {
        let url = url_of(path);
        *routes.entry(site_route::of_url(&PageUrl::read(&url).unwrap(), &site)).or_default() += 1;
    }
    assert!(routes.len() <= ROUTES_PER_SITE_MAX, "{}: {} routes", kind.name, routes.len());
    let mut counts: Vec<u64> = routes.values().copied().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let mut held = 0;
    let holding = counts.iter().take_while(|count| {
        let lacks = held * 100 < VIEWS as u64 * 95;
        held += **count;
        lacks
    });
    let holding = holding.count();
    assert!(holding <= most, "{}: {holding} of {} routes, {groups:?}", kind.name, routes.len());
    for section in &kind.sections {
        assert!(routes.contains_key(section), "{}: {section} is in {groups:?}", kind.name);
    }
    let mut largest = pages.to_vec();
    largest.sort_by(|a, b| order(a).cmp(&order(b)));
    for (rank, page) in largest.iter().enumerate() {
        if rank < LARGEST || page.views * 100 >= VIEWS as u64 {
            assert!(routes.contains_key(&page.route), "{}: {}", kind.name, page.route);
        }
    }
}

#[test]
fn sites_of_five_kinds_have_few_routes_that_mean_something() {
    for kind in kinds() {
        let paths = paths(&kind);
        let (pages, known) = pages_of(&paths);
        let groups = groups_of(&pages, &known);
        assert_routes_mean_something(&kind, &paths, &pages, &groups, 60);
        assert_eq!(kind.name == "shop", groups.groups.is_empty(), "{}: {groups:?}", kind.name);
    }
}

/// Each language and version has release notes beside each other, and a manual of twelve chapters.
#[test]
fn documentation_in_languages_and_versions_is_grouped_in_some_studies() {
    const TREES: [&str; 16] = [
        "/en/3.2", "/en/4.2", "/en/5.0", "/en/5.1", "/fr/3.2", "/fr/4.2", "/fr/5.0", "/fr/5.1", "/ja/3.2",
        "/ja/4.2", "/ja/5.0", "/ja/5.1", "/ko/3.2", "/ko/4.2", "/ko/5.0", "/ko/5.1",
    ];
    let page = |rank: usize| {
        let (tree, page) = (TREES[rank % 16], rank / 16);
        match page % 5 {
            0..3 => format!("{tree}/releases/{}.{}", page / 20, page % 20),
            _ => format!(
                "{tree}/manual/{}/{}",
                ["a", "b", "c", "d"][page % 4].repeat(page % 6 + 1),
                title(page, "-")
            ),
        }
    };
    let sections: Vec<String> = TREES
        .iter()
        .flat_map(|tree| ["", "/releases", "/manual"].map(|end| format!("{tree}{end}")))
        .collect();
    let kind = Kind { name: "documentation", page, sections, sections_percent: 20 };
    let paths = paths(&kind);
    let (pages, _) = pages_of(&paths);
    let mut groups = RouteGroups::default();
    for _ in 0..3 {
        let known = known_beside(&groups, &paths);
        let lesson = learn(&pages, total(&pages), &known, &groups);
        groups = lesson.applied(&groups, |proposal| proposal.doubt.is_none());
    }
    let expected: BTreeSet<String> = TREES
        .iter()
        .flat_map(|tree| ["/releases/:slug", "/manual/*"].map(|end| format!("{tree}{end}")))
        .collect();
    assert_eq!(groups.groups.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_routes_mean_something(&kind, &paths, &pages, &groups, 120);
}

/// The ten largest pages of a site, with 60,000 page views.
fn largest_pages() -> Vec<Page> {
    (0..10).map(|i| page(&format!("/top-{i}"), 6_000)).collect()
}

#[test]
fn deep_tree_is_grouped_if_the_site_lacks_places() {
    // 12 chapters with 20 pages each: no position has many values.
    let mut pages = largest_pages();
    pages.extend([page("/docs", 100), page("/docs/large/part-1", 90)]);
    for chapter in 0..12 {
        pages.push(page(&format!("/docs/chapter-{chapter}"), 2));
        pages.extend((0..20).map(|part| page(&format!("/docs/chapter-{chapter}/part-{part}"), 3)));
    }
    let others = |names: usize| (0..names).map(|i| Known { route: format!("/shop/{i}x"), network: None });
    let mut known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    known.extend(others(1_000));
    let lesson = |known: &[Known], pages: &[Page]| learn(pages, total(pages), known, &RouteGroups::default());
    let doubts = |lesson: &Lesson| -> Vec<(String, Option<Doubt>)> {
        lesson.proposals.iter().map(|one| (one.pattern.clone(), one.doubt)).collect()
    };
    let tree = "/docs/*".to_owned();
    assert_eq!(doubts(&lesson(&known, &pages)), [(tree.clone(), Some(Doubt::Room))]);
    known.extend(others(1_600));
    let crowded = lesson(&known, &pages);
    assert_eq!(doubts(&crowded), [(tree.clone(), None)]);
    let groups = crowded.applied(&RouteGroups::default(), |_| true);
    assert_eq!(groups.apart.len(), 13, "chapters, and a page that is not small: {groups:?}");
    assert!(groups.apart.contains(&"/docs/large/part-1".to_owned()));
    let is_of_three = |page: &&Page| !page.route.contains("chapter-") || page.route.contains("chapter-1");
    let fewer: Vec<Page> = pages.iter().filter(is_of_three).cloned().collect();
    let later = learn(&fewer, total(&fewer), &[], &groups).applied(&groups, |_| false);
    assert_eq!(later.apart.len(), 4, "names apart stay beside a tree of 60 pages: {later:?}");

    // A variable in the tree, for which one network vouches.
    let releases = (0..300).map(|i| page(&format!("/docs/releases/{i}.x"), 3));
    let pages: Vec<Page> = pages.into_iter().chain(releases).collect();
    let network = Network::from_number(0);
    known.extend((0..300).map(|i| Known { route: format!("/docs/releases/{i}.x"), network }));
    let few = Some(Doubt::FewNetworks);
    assert_eq!(
        doubts(&lesson(&known, &pages)),
        [("/docs/releases/:slug".to_owned(), few), (tree, few)],
        "the tree would hide the releases"
    );
    let removed = RouteGroups { removed: vec!["/docs/releases/:slug".to_owned()], ..RouteGroups::default() };
    let lesson = learn(&pages, total(&pages), &known, &removed);
    assert!(lesson.proposals.iter().all(|one| one.doubt == Some(Doubt::Removed)), "{lesson:?}");
}

#[test]
fn section_of_some_pages_is_grouped_but_for_those_that_are_not_small() {
    let mut pages: Vec<Page> = (0..150).map(|i| page(&format!("/help/how-to-{i}"), 4)).collect();
    pages.extend(largest_pages());
    pages.extend([page("/help/refunds", 90), page("/help/index.html", 9)]);
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    let groups = groups_of(&pages, &known);
    assert_eq!(groups.groups, ["/help/:slug"]);
    assert_eq!(groups.apart, ["/help/index.html", "/help/refunds"], "the front page of a folder is no value");
}

#[test]
fn order_of_pages_changes_nothing() {
    let kinds = kinds();
    let (mut pages, mut known) = pages_of(&paths(&kinds[0]));
    let lesson = learn(&pages, total(&pages), &known, &RouteGroups::default());
    assert!(!lesson.proposals.is_empty() && !lesson.apart.is_empty());
    for _ in 0..3 {
        pages.rotate_left(1_234);
        pages.reverse();
        known.reverse();
        assert_eq!(learn(&pages, total(&pages), &known, &RouteGroups::default()), lesson);
    }
}

#[test]
fn one_network_that_invents_pages_groups_no_section() {
    let mut pages: Vec<Page> = (0..40).map(|i| page(&format!("/docs/guide-{i}"), 100 + i)).collect();
    let mut random = Random(3);
    let visitor = |random: &mut Random| Network::from_number(1 + random.below(NETWORKS) as i16);
    let mut known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: visitor(&mut random) }).collect();
    pages.push(page("/", 9_000));
    let made_up: Vec<Page> = (0..5_000).map(|i| page(&format!("/docs/made-up-{i}"), 2)).collect();
    let brought = |network: &mut dyn FnMut() -> Option<Network>| -> Vec<Known> {
        made_up
            .iter()
            .take(1_500)
            .map(|page| Known { route: page.route.clone(), network: network() })
            .collect()
    };
    let hostile = brought(&mut || Network::from_number(0));
    let honest = brought(&mut || visitor(&mut random));
    pages.extend(made_up.iter().cloned());
    let lesson = |known: Vec<Known>| learn(&pages, total(&pages), &known, &RouteGroups::default());
    let doubts = |lesson: &Lesson| -> Vec<(String, Option<Doubt>)> {
        lesson.proposals.iter().map(|one| (one.pattern.clone(), one.doubt)).collect()
    };
    let group = "/docs/:slug".to_owned();
    let flooded = lesson([known.clone(), hostile].concat());
    assert_eq!(doubts(&flooded), [(group.clone(), Some(Doubt::FewNetworks))]);
    known.extend(honest);
    assert_eq!(doubts(&lesson(known)), [(group, None)], "the same pages, from many networks");
}

#[test]
fn section_whose_pages_say_something_is_no_group() {
    // 150 pages of a handbook hold a third of the views; a wiki of 9,000 pages has the rest.
    let mut pages: Vec<Page> = (0..150).map(|i| page(&format!("/handbook/part-{i}"), 150 + i)).collect();
    pages.extend((0..9_000).map(|i| page(&format!("/wiki/page-{i}"), 6)));
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    assert_eq!(groups_of(&pages, &known).groups, ["/wiki/:slug"]);
    let few: Vec<Page> = pages.iter().map(|page| Page { views: 1, ..page.clone() }).take(900).collect();
    assert_eq!(groups_of(&few, &known).groups, [""; 0], "too few page views to call a page small");
}

#[test]
fn pages_below_variables_are_grouped_by_their_shape() {
    let mut pages = Vec::new();
    for i in 0..3_000 {
        let user = format!("/users/{}", title(i, "-"));
        pages.push(page(&user, 3));
        pages.push(page(&format!("{user}/posts"), 4));
        pages.push(page(&format!("{user}/likes"), 2));
        if i % 500 == 0 {
            pages.push(page(&format!("{user}/odd-{i}"), 1));
        }
    }
    pages.extend([page("/", 60_000), page("/users/login", 900), page("/users", 500), page("/about", 90)]);
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    let groups = groups_of(&pages, &known);
    assert_eq!(
        groups.groups,
        ["/users/:slug", "/users/:slug/likes", "/users/:slug/posts", "/users/:slug/*"],
        "{groups:?}"
    );
    assert_eq!(groups.apart, ["/users/login"]);
}

#[test]
fn front_pages_of_variables_are_a_shape() {
    let mut pages = largest_pages();
    for i in 0..300 {
        pages.push(page(&format!("/api/package-{i}/index.html"), 2));
        pages.extend((0..3).map(|class| page(&format!("/api/package-{i}/class-{}.html", i * 3 + class), 2)));
    }
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    assert_eq!(groups_of(&pages, &known).groups, ["/api/:slug/index.html", "/api/:slug/:slug"]);
}

#[test]
fn variable_of_the_first_segment_is_only_suggested() {
    let mut pages: Vec<Page> = (0..9_000).map(|i| page(&format!("/{}", title(i, "-")), 3)).collect();
    pages.extend([page("/about", 40), page("/pricing", 300)]);
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    let lesson = learn(&pages, total(&pages), &known, &RouteGroups::default());
    let [proposal] = lesson.proposals.as_slice() else { panic!("{lesson:?}") };
    assert_eq!((proposal.pattern.as_str(), proposal.doubt), ("/:slug", Some(Doubt::TopLevel)));
    let groups = lesson.applied(&RouteGroups::default(), |_| true);
    assert_eq!(groups.apart, ["/about", "/pricing"], "fixed pages with 0.1 % of the views");
}

#[test]
fn present_groups_stay_and_names_apart_leave_late() {
    let posts = |hello: u64| {
        let mut pages: Vec<Page> =
            (0..9_000).map(|i| page(&format!("/blog/{}", title(i, "-")), 10)).collect();
        pages.extend((0..30).map(|i| page(&format!("/blog/hit-{i}"), 2_000 + i)));
        pages.push(page("/blog/hello", hello));
        pages
    };
    let present = RouteGroups {
        groups: vec!["/blog/:slug".to_owned()],
        apart: vec!["/blog/hello".to_owned()],
        ..RouteGroups::default()
    };
    // Of 150,000 page views: 0.6 %, then 0.4 %.
    for (hello, stays) in [(900, true), (600, false)] {
        let pages = posts(hello);
        let lesson = learn(&pages, total(&pages), &[], &present);
        assert_eq!(lesson.proposals, []);
        let groups = lesson.applied(&present, |proposal| proposal.doubt.is_none());
        assert_eq!(groups.groups, present.groups);
        assert_eq!(
            (groups.apart.contains(&"/blog/hello".to_owned()), groups.apart.len()),
            (stays, 30 + usize::from(stays))
        );
    }
    let removed = RouteGroups { removed: present.groups.clone(), ..RouteGroups::default() };
    let pages = posts(900);
    let known: Vec<Known> =
        pages.iter().map(|page| Known { route: page.route.clone(), network: None }).collect();
    let lesson = learn(&pages, total(&pages), &known, &removed);
    assert_eq!(lesson.proposals[0].doubt, Some(Doubt::Removed));
    let again = lesson.applied(&removed, |_| true);
    assert_eq!((again.groups, again.removed), (present.groups, Vec::new()));
}

#[test]
fn long_paths_and_no_pages_are_harmless() {
    assert_eq!(learn(&[], 0, &[], &RouteGroups::default()), Lesson::default());
    let pages: Vec<Page> = (0..600).map(|i| page(&format!("{}/{i}x", "/a".repeat(200)), 1)).collect();
    assert_eq!(learn(&pages, 90_000, &[], &RouteGroups::default()), Lesson::default());
}
