//! Budget files, alerts with their notices, and leases of tasks.

use super::{DAY0_MS, load, load_from, site, update};
use crate::limits::{ALERTS_PER_SITE_MAX, BUDGET_VERSIONS_MAX, ROUTES_PER_SITE_MAX};
use crate::{
    Alert, AlertChange, AlertEvent, AppliedBudgets, Digest, Network, NewAlert, NewBudgets, Notice, Overflow,
    Senders, SiteId, Store, StoreError,
};
use std::sync::Arc;

fn file(text: &str, routes: &[&str], applied_ms: i64) -> NewBudgets {
    NewBudgets {
        text: text.to_owned(),
        routes: routes.iter().map(|&route| route.to_owned()).collect(),
        applied_ms,
        applied_by: "pipeline".to_owned(),
        replaces: None,
    }
}

/// # Panics
/// If a version is lost, doubled, or outlives its bound or its site.
pub async fn budget_files_are_kept_by_version(store: Arc<dyn Store>) {
    let [a, b] = [site(&store, "a").await, site(&store, "b").await];
    assert_eq!(store.budgets(a, None).await.unwrap(), None);
    let first = store.budgets_put(a, &file("one 'é", &["/p"], 10)).await.unwrap();
    let applied_by = "pipeline".to_owned();
    let expected = AppliedBudgets { version: 1, text: "one 'é".to_owned(), applied_ms: 10, applied_by };
    assert_eq!(first, expected);
    let again = store.budgets_put(a, &file("one 'é", &["/p"], 20)).await.unwrap();
    assert_eq!(again, first, "the same text is the same version");
    let [late, ahead] = [0, 2].map(|version| NewBudgets { replaces: Some(version), ..file("late", &[], 25) });
    for other in [late, ahead] {
        assert_eq!(
            store.budgets_put(a, &other).await.unwrap(),
            again,
            "made from another version than the newest"
        );
    }
    let second = NewBudgets { replaces: Some(again.version), ..file("two", &[], 30) };
    let second = store.budgets_put(a, &second).await.unwrap();
    assert_eq!((second.version, store.budgets(a, None).await.unwrap()), (2, Some(second.clone())));
    assert_eq!(store.budgets(a, Some(1)).await.unwrap(), Some(first));
    assert_eq!(store.budgets(a, Some(3)).await.unwrap(), None);
    assert_eq!(store.budgets(b, None).await.unwrap(), None);
    for number in 0..BUDGET_VERSIONS_MAX {
        store.budgets_put(a, &file(&format!("n{number}"), &[], 40)).await.unwrap();
    }
    let versions = store.budget_versions(a).await.unwrap();
    let numbers: Vec<i64> = versions.iter().map(|one| one.version).collect();
    assert_eq!(numbers, (3..3 + BUDGET_VERSIONS_MAX as i64).rev().collect::<Vec<_>>());
    assert!(versions.iter().all(|one| one.text.is_empty()));
    store.standing_put(a, "{}").await.unwrap();
    store.standing_put(a, "{\"é\": 1}").await.unwrap();
    assert_eq!(store.standing(a).await.unwrap().as_deref(), Some("{\"é\": 1}"));
    assert_eq!(store.standing(b).await.unwrap(), None);
    for refused in [
        store.budgets_put(SiteId(999_999), &file("x", &[], 0)).await.map(drop),
        store.standing_put(SiteId(999_999), "").await,
    ] {
        assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");
    }
    store.site_delete(a).await.unwrap();
    assert_eq!((store.budgets(a, None).await.unwrap(), store.standing(a).await.unwrap()), (None, None));
}

/// A route that the newest budgets name gets a place although all are taken.
///
/// # Panics
/// If it is counted under `(other)`, or a route of an older version is not.
pub async fn routes_of_budgets_have_reserved_places(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    store.budgets_put(site, &file("one", &["/old"], 0)).await.unwrap();
    store.budgets_put(site, &file("two", &["/checkout"], 0)).await.unwrap();
    let of = |number: usize, route: &str| {
        let mut update = update(DAY0_MS + number as i64, number as u128, &[]);
        update.route = route.to_owned();
        update
    };
    // Of unknown senders, so that their places are earned at once and nothing can displace them.
    let numbers: Vec<usize> = (0..ROUTES_PER_SITE_MAX).collect();
    for part in numbers.chunks(500) {
        let views = part.iter().map(|&number| of(number, &format!("/{number}"))).collect();
        load(&store, site, 1, views).await.unwrap();
    }
    let sender = Senders::Networks(vec![Network::of(site, 7)]);
    for (number, route, overflow) in [(5_000, "/checkout", 0), (5_001, "/old", 1)] {
        let report = load_from(&store, site, 1, vec![of(number, route)], sender.clone()).await.unwrap();
        assert_eq!(report.overflow, Overflow { routes: overflow, ..Overflow::default() }, "{route}");
    }
}

fn condition(key: &str, since_ms: i64) -> NewAlert {
    NewAlert {
        key: key.to_owned(),
        since_ms,
        is_warning: since_ms % 2 == 1,
        summary: "LCP p75 ≤ 2500 ms is broken".to_owned(),
        details: "{\"n\": 1}".to_owned(),
    }
}

fn notice(channel: &str, due_ms: Option<i64>) -> Notice {
    let (event, attempts, sent_ms, error) = (AlertEvent::Opened, 0, None, None);
    Notice { channel: channel.to_owned(), event, attempts, due_ms, sent_ms, error }
}

/// # Panics
/// If an alert is opened twice, lost, or changed after its end.
pub async fn alerts_open_once_and_end(store: Arc<dyn Store>) {
    let [a, b] = [site(&store, "a").await, site(&store, "b").await];
    let open = async |key: &str, since_ms: i64, now_ms: i64| {
        store.alert_open(a, now_ms, &condition(key, since_ms), &[]).await.unwrap()
    };
    let change = async |id, now_ms, change| store.alert_change(a, id, now_ms, &change).await.unwrap();
    assert_eq!(open("x", 5, 10).await, Some(1));
    assert_eq!(open("x", 6, 11).await, None, "it is open");
    assert_eq!(open("y", 5, 12).await, Some(2));
    assert!(change(1, 20, AlertChange::Acknowledge { by: "ada".to_owned() }).await);
    assert!(change(1, 21, AlertChange::Snooze { until_ms: 90 }).await);
    let first = Alert {
        site: a,
        id: 1,
        alert: condition("x", 5),
        opened_ms: 10,
        acknowledged: Some((20, "ada".to_owned())),
        snoozed_until_ms: Some(90),
        resolved_ms: None,
        resolved_by: None,
        notices: Vec::new(),
    };
    assert_eq!(store.alert(a, 1).await.unwrap(), Some(first.clone()));
    assert!(change(1, 30, AlertChange::Resolve { by: Some("ada".to_owned()) }).await);
    for after in [
        AlertChange::Resolve { by: None },
        AlertChange::Snooze { until_ms: 99 },
        AlertChange::Acknowledge { by: "bob".to_owned() },
    ] {
        assert!(!change(1, 31, after.clone()).await && !change(9, 31, after).await);
    }
    let resolved = Alert { resolved_ms: Some(30), resolved_by: Some("ada".to_owned()), ..first };
    assert_eq!(store.alert(a, 1).await.unwrap(), Some(resolved));
    assert_eq!(open("x", 5, 40).await, None, "its start had an alert");
    assert_eq!(open("x", 41, 42).await, Some(3));
    let ids = async |open_only, skip, limit| -> Vec<i64> {
        store.alerts(a, open_only, skip, limit).await.unwrap().iter().map(|alert| alert.id).collect()
    };
    assert_eq!(ids(false, 0, 10).await, [3, 2, 1]);
    assert_eq!((ids(true, 0, 10).await, ids(false, 1, 1).await), (vec![3, 2], vec![2]));
    assert_eq!(store.alerts(b, false, 0, 10).await.unwrap(), []);
    assert!(store.alert(b, 3).await.unwrap().is_none());
    let refused = store.alert_open(SiteId(999_999), 0, &condition("x", 0), &[]).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");
    for number in 0..ALERTS_PER_SITE_MAX as i64 {
        let id = open("z", 100 + number, 100).await.unwrap();
        assert!(change(id, 101, AlertChange::Resolve { by: None }).await);
    }
    let kept = ids(false, 0, 2_000).await;
    assert_eq!((kept.len(), &kept[..2]), (ALERTS_PER_SITE_MAX + 2, &[3, 2][..]), "open ones stay");
    store.site_delete(a).await.unwrap();
    assert_eq!(store.alerts(a, false, 0, 10).await.unwrap(), []);
}

/// # Panics
/// If a notice is lost, doubled, or delivered out of turn.
pub async fn notices_are_due_until_delivered(store: Arc<dyn Store>) {
    let [a, b] = [site(&store, "a").await, site(&store, "b").await];
    let to = |channels: &[(&str, i64)]| -> Vec<(String, i64)> {
        channels.iter().map(|&(channel, due_ms)| (channel.to_owned(), due_ms)).collect()
    };
    store.alert_open(a, 10, &condition("x", 1), &to(&[("mail", 10), ("chat", 50)])).await.unwrap();
    store.alert_open(b, 10, &condition("x", 1), &to(&[("mail", 5)])).await.unwrap();
    let due = async |now_ms| store.notices_due(now_ms, 10, &[]).await.unwrap();
    assert_eq!(due(4).await, []);
    let [mail_a, mail_b] = [notice("mail", Some(10)), notice("mail", Some(5))];
    assert_eq!(due(10).await, [(b, 1, mail_b.clone()), (a, 1, mail_a.clone())]);
    assert_eq!(store.notices_due(10, 1, &[]).await.unwrap().len(), 1);
    let without = ["mail", "other"].map(str::to_owned);
    let chat_a = (a, 1, notice("chat", Some(50)));
    assert_eq!(store.notices_due(50, 1, &without).await.unwrap(), [chat_a], "a channel does not hide others");
    // A failure, then a delivery.
    let error = Some("503".to_owned());
    let failed = Notice { attempts: 1, due_ms: Some(30), error, ..mail_a.clone() };
    store.notice_tried(a, 1, &mail_a, &failed).await.unwrap();
    let delivered = |notice: &Notice| Notice { due_ms: None, sent_ms: Some(31), ..notice.clone() };
    store.notice_tried(b, 1, &mail_b, &delivered(&mail_b)).await.unwrap();
    assert_eq!(due(30).await, [(a, 1, failed.clone())]);
    store.notice_tried(a, 1, &failed, &delivered(&mail_a)).await.unwrap();
    assert_eq!(due(49).await, []);
    // A warning becomes an error once: also a delivered notice is due again, and another channel hears of it.
    assert!(store.alert_change(a, 1, 31, &AlertChange::Acknowledge { by: "ada".to_owned() }).await.unwrap());
    let raise =
        AlertChange::Raise { details: "{\"n\": 2}".to_owned(), notices: to(&[("mail", 33), ("page", 34)]) };
    assert!(store.alert_change(a, 1, 33, &raise).await.unwrap());
    assert!(!store.alert_change(a, 1, 33, &raise).await.unwrap(), "it is an error");
    let raised = store.alert(a, 1).await.unwrap().unwrap();
    assert_eq!((raised.alert.is_warning, raised.alert.details.as_str()), (false, "{\"n\": 2}"));
    assert_eq!(raised.acknowledged, None, "nobody has acknowledged the error");
    let [again, page] = [Notice { sent_ms: Some(31), ..notice("mail", Some(33)) }, notice("page", Some(34))];
    let raised = [(a, 1, again.clone()), (a, 1, page.clone())];
    assert_eq!(due(34).await, raised);
    store.notice_tried(a, 1, &failed, &delivered(&failed)).await.unwrap();
    store.notice_tried(a, 1, &delivered(&failed), &delivered(&failed)).await.unwrap();
    assert_eq!(due(34).await, raised, "a delivery beside the raise does not count for it");
    for told in [again, page] {
        store.notice_tried(a, 1, &told, &delivered(&told)).await.unwrap();
    }
    // A snooze makes a delivered notice due again at its end.
    assert!(store.alert_change(a, 1, 32, &AlertChange::Snooze { until_ms: 90 }).await.unwrap());
    let chat = notice("chat", Some(50));
    let reminder = Notice { sent_ms: Some(31), ..notice("mail", Some(90)) };
    let page = Notice { channel: "page".to_owned(), ..reminder.clone() };
    assert_eq!(due(90).await, [(a, 1, chat), (a, 1, reminder.clone()), (a, 1, page.clone())]);
    // The end: told where the start was told, and nowhere else.
    assert!(store.alert_change(a, 1, 40, &AlertChange::Resolve { by: None }).await.unwrap());
    let resolved = Notice { event: AlertEvent::Resolved, due_ms: Some(40), ..reminder.clone() };
    let ended = Notice { event: AlertEvent::Resolved, due_ms: Some(40), ..page };
    assert_eq!(due(99).await, [(a, 1, resolved.clone()), (a, 1, ended.clone())]);
    assert_eq!(store.alert(a, 1).await.unwrap().unwrap().notices, [resolved.clone(), ended.clone()]);
    let late = Notice { due_ms: Some(40), ..reminder };
    store.notice_tried(a, 1, &late, &delivered(&late)).await.unwrap();
    assert_eq!(
        due(99).await,
        [(a, 1, resolved), (a, 1, ended)],
        "an attempt of the event before changes nothing"
    );
    store.site_delete(a).await.unwrap();
    assert_eq!(due(99).await, []);
}

/// # Panics
/// If a digest is lost, sent twice, or outlives its week or its site.
pub async fn digest_of_a_week_is_due_once(store: Arc<dyn Store>) {
    let [a, b] = [site(&store, "a").await, site(&store, "b").await];
    let [mail, chat] = ["mail", "chat"].map(str::to_owned);
    let both = [mail.clone(), chat.clone()];
    let plan = async |site, week, due_ms, channels: &[String]| {
        store.digests_plan(site, week, due_ms, channels).await.unwrap();
    };
    let planned = |site, channel: &str, week, due_ms| Digest {
        site,
        channel: channel.to_owned(),
        week,
        attempts: 0,
        due_ms: Some(due_ms),
        sent_ms: None,
        error: None,
    };
    let due = async |now_ms| store.digests_due(now_ms, 10, &both).await.unwrap();
    plan(a, 70, 10, &both).await;
    plan(a, 70, 99, &both).await;
    plan(b, 70, 5, std::slice::from_ref(&mail)).await;
    assert_eq!(due(4).await, []);
    let first = planned(a, "mail", 70, 10);
    let all = [planned(b, "mail", 70, 5), planned(a, "chat", 70, 10), first.clone()];
    assert_eq!(due(10).await, all);
    assert_eq!(store.digests_due(10, 1, &both).await.unwrap().len(), 1);
    assert_eq!(store.digests_due(10, 10, std::slice::from_ref(&chat)).await.unwrap(), all[1..2]);

    // One of two servers has it, also after a failure.
    let tried = async |read: &Digest, after: &Digest| store.digest_tried(read, after).await.unwrap();
    let under_way = Digest { attempts: 1, due_ms: None, error: Some("é".to_owned()), ..first.clone() };
    assert!(tried(&first, &under_way).await);
    assert!(!tried(&first, &under_way).await, "another server has it");
    assert_eq!(due(99).await, all[..2]);
    let failed = Digest { due_ms: Some(40), ..under_way.clone() };
    assert!(tried(&under_way, &failed).await);
    assert_eq!(due(40).await.last(), Some(&failed));
    let again = Digest { attempts: 2, ..under_way };
    let sent = Digest { sent_ms: Some(41), error: None, ..again.clone() };
    assert!(tried(&failed, &again).await && tried(&again, &sent).await);
    assert!(!tried(&sent, &failed).await, "it is delivered");
    assert_eq!(store.digests(a).await.unwrap(), [planned(a, "chat", 70, 10), sent.clone()]);

    // The week is over with the next one. A clock that runs a week behind changes nothing.
    plan(a, 70, 50, &both).await;
    plan(a, 63, 50, &both).await;
    assert_eq!(store.digests(a).await.unwrap(), [planned(a, "chat", 70, 10), sent]);
    plan(a, 77, 60, std::slice::from_ref(&mail)).await;
    assert_eq!(store.digests(a).await.unwrap(), [planned(a, "mail", 77, 60)], "no channel is kept for ever");
    plan(a, 700, 70, &both).await;
    plan(a, 84, 80, &both).await;
    let back = [planned(a, "chat", 84, 80), planned(a, "mail", 84, 80)];
    assert_eq!(store.digests(a).await.unwrap(), back, "the clock was wrong for a while");

    let refused = store.digests_plan(SiteId(999_999), 70, 0, &both).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");
    store.site_delete(a).await.unwrap();
    store.site_delete(b).await.unwrap();
    assert_eq!(due(99).await, []);
}

/// # Panics
/// If two holders have a lease at once.
pub async fn task_has_one_holder(store: Arc<dyn Store>) {
    let [one, other] = [[1; 16], [2; 16]];
    let lease = async |task: &str, holder, for_ms| store.lease(task, holder, DAY0_MS, for_ms).await.unwrap();
    assert!(lease("a", one, 600_000).await);
    assert!(lease("a", one, 600_000).await, "renewed");
    assert!(!lease("a", other, 600_000).await);
    assert!(lease("b", other, 600_000).await, "of another task");
    assert!(lease("a", one, 0).await, "given back");
    assert!(lease("a", other, 600_000).await);
    assert!(!lease("a", one, 600_000).await);
}
