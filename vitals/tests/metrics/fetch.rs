use super::*;
use vitals::fetch::{Delivery, Edges, Fetch, Fetched, Protocol, TtfbCause};

/// Returns the TTFB attribution of each view of a document with such a fetch.
fn causes(edges: Edges, items: &[Item]) -> Vec<Option<TtfbCause>> {
    let mut document = Document::new(id(0));
    let fetch = Fetch { protocol: "h3".to_owned(), ..Fetch::default() };
    document.fetched(Fetched { edges, fetch });
    for item in items {
        document.push(item);
    }
    document.snapshots(600_000.0).into_iter().map(|view| view.attribution.ttfb).collect()
}

/// Returns the parts of a load whose response begins at 120.
fn parts(edges: Edges) -> [f64; 6] {
    causes(edges, &[navigation()]).remove(0).expect("a cause").parts_ms.expect("parts")
}

#[test]
fn parts_of_ttfb_last_from_edge_to_edge_and_sum_to_it() {
    // Redirects end at 30, the worker's start at 42.5, the cache lookup at 43, DNS at 60, the connection at 90.
    assert_eq!(parts([30.0, 42.5, 43.0, 60.0, 90.0]), [30.0, 12.5, 0.5, 17.0, 30.0, 30.0]);
    // Without a worker, the fetch follows the redirects.
    assert_eq!(parts([0.0, 42.5, 43.0, 60.0, 90.0]), [42.5, 0.0, 0.5, 17.0, 30.0, 30.0]);
    // A reused connection.
    assert_eq!(parts([0.0, 2.0, 2.0, 2.0, 2.0]), [2.0, 0.0, 0.0, 0.0, 0.0, 118.0]);
}

#[test]
fn edge_that_is_untold_or_out_of_order_gives_its_part_no_time() {
    for (edges, expected) in [
        ([0.0; 5], [0.0, 0.0, 0.0, 0.0, 0.0, 120.0]),
        // Withheld, as for another origin.
        ([0.0, 40.0, 0.0, 0.0, 0.0], [40.0, 0.0, 0.0, 0.0, 0.0, 80.0]),
        ([0.0, 40.0, f64::NAN, 70.0, 60.0], [40.0, 0.0, 0.0, 30.0, 0.0, 50.0]),
        // Reversed.
        ([90.0, 60.0, 43.0, 42.5, 30.0], [90.0, 0.0, 0.0, 0.0, 0.0, 30.0]),
        // After the first byte.
        ([0.0, 40.0, 1e300, 50.0, f64::INFINITY], [40.0, 0.0, 80.0, 0.0, 0.0, 0.0]),
        ([f64::NAN, -5.0, f64::NEG_INFINITY, -0.0, 90.0], [0.0, 0.0, 0.0, 0.0, 90.0, 30.0]),
        ([-1.0, 20.0, 20.0, 20.0, 20.0], [20.0, 0.0, 0.0, 0.0, 0.0, 100.0]),
    ] {
        assert_eq!(parts(edges), expected, "{edges:?}");
    }
}

#[test]
fn prerendered_page_waited_for_no_part_before_its_activation() {
    let edges = [0.0, 5.0, 10.0, 20.0, 60.0];
    let parts = |at| causes(edges, &[prerendered(at)]).remove(0).unwrap().parts_ms.unwrap();
    assert_eq!(parts(50.0), [0.0, 0.0, 0.0, 0.0, 10.0, 60.0]);
    assert_eq!(parts(1_000.0), [0.0; 6]);
}

#[test]
fn load_alone_has_a_fetch() {
    let items = [navigation(), restore(5_000.0, 1), soft(9_000.0, 2)];
    let told: Vec<bool> = causes([0.0; 5], &items).iter().map(Option::is_some).collect();
    assert_eq!(told, [true, false, false]);
    let without_ttfb = causes([0.0; 5], &[]).remove(0).unwrap();
    assert_eq!((without_ttfb.parts_ms, without_ttfb.fetch.protocol.as_str()), (None, "h3"));
    assert_eq!(views(&[navigation()], 9_000.0)[0].attribution.ttfb, None, "nothing was told of it");
}

#[test]
fn delivery_is_what_the_browser_says_or_what_sizes_tell() {
    let prefetch = Some(Delivery::NavigationalPrefetch);
    for (delivery_type, transfer, encoded, has_worker, expected) in [
        (prefetch, 0.0, 900.0, false, prefetch),
        (Some(Delivery::Cache), 900.0, 900.0, true, Some(Delivery::Cache)),
        (None, 1_200.0, 900.0, false, Some(Delivery::Network)),
        (None, 300.0, 900.0, true, Some(Delivery::Network)),
        (None, 0.0, 900.0, false, Some(Delivery::Cache)),
        (None, 0.0, 900.0, true, None),
        (None, 0.0, 0.0, false, None),
        (None, f64::NAN, f64::NAN, false, None),
        (None, -1.0, -1.0, false, None),
    ] {
        assert_eq!(
            Delivery::of(delivery_type, transfer, encoded, has_worker),
            expected,
            "{transfer} {encoded}"
        );
    }
}

#[test]
fn protocol_has_a_class() {
    for (text, class) in [
        ("", None),
        ("http/1.0", Some(Protocol::Http1)),
        ("http/1.1", Some(Protocol::Http1)),
        ("h2", Some(Protocol::H2)),
        ("h3", Some(Protocol::H3)),
        ("h3-29", Some(Protocol::H3)),
        ("spdy/3", Some(Protocol::Other)),
        ("H2", Some(Protocol::Other)),
    ] {
        assert_eq!(Protocol::of(text), class, "{text}");
    }
}
