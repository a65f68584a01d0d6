//! What a row of the spool holds: a byte for the format, a checksum, and the records of one commit.
//!
//! `[FORMAT, CRC-32 of the rest (4 bytes, little endian), records…]`, the records as postcard writes a
//! sequence of `(site, network, updates, conditions of each)`: their number as a varint, then each in turn. Records of
//! [`WITHOUT_CONDITIONS`] are `(site, updates)`; an update of a server that left them is loaded all the same.

use super::SpoolBeacon;
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::{Network, SiteId, ViewUpdate};
use vitals::histogram::write_varint;

/// The format of a row. It changes whenever `ViewUpdate` changes its serialized form.
pub(crate) const FORMAT: u8 = 5;
/// The format of the release before, which is read too.
pub(super) const WITHOUT_CONDITIONS: u8 = 4;

const HEAD: usize = 5;

/// The bytes of one record, to be joined by [`join`].
pub(crate) fn encode_record(record: &SpoolBeacon) -> Result<Vec<u8>, postcard::Error> {
    // Most have one update, in about so many bytes.
    let conditions: Vec<_> = record.updates.iter().map(|update| &update.context.conditions).collect();
    let record = (record.site, record.network, &record.updates, conditions);
    postcard::to_extend(&record, Vec::with_capacity(224))
}

/// The payload of a row of encoded records.
pub(crate) fn join<'a>(records: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let bytes: usize = records.clone().map(<[u8]>::len).sum();
    let mut payload = Vec::with_capacity(bytes + HEAD + 10);
    payload.extend_from_slice(&[FORMAT, 0, 0, 0, 0]);
    write_varint(&mut payload, records.len() as u64);
    for record in records {
        payload.extend_from_slice(record);
    }
    let (head, body) = payload.split_at_mut(HEAD);
    head[1..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    payload
}

/// The records of a payload, or what is wrong with it.
pub(crate) fn split(payload: &[u8]) -> Result<Vec<SpoolBeacon>, String> {
    let head = payload.split_first_chunk::<HEAD>();
    let Some((&[format @ (WITHOUT_CONDITIONS | FORMAT), a, b, c, d], body)) = head else {
        return Err(format!("its payload is not of format {WITHOUT_CONDITIONS} or {FORMAT}"));
    };
    if crc32fast::hash(body) != u32::from_le_bytes([a, b, c, d]) {
        return Err("its checksum is wrong".to_owned());
    }
    let records = match format {
        WITHOUT_CONDITIONS => postcard::from_bytes::<Vec<(SiteId, Vec<ViewUpdate>)>>(body)
            .map(|records| records.into_iter().map(without_network).collect()),
        _ => postcard::from_bytes::<Vec<WithConditions>>(body)
            .map(|records| records.into_iter().map(joined).collect()),
    };
    records.map_err(|error| format!("its records cannot be read: {error}"))
}

/// A record of [`WITHOUT_CONDITIONS`], which names no network: all of a site share one.
fn without_network((site, updates): (SiteId, Vec<ViewUpdate>)) -> SpoolBeacon {
    SpoolBeacon { site, network: Network::of(site, 0), updates }
}

type WithConditions = (SiteId, Network, Vec<ViewUpdate>, Vec<Option<Box<Conditions>>>);

fn joined((site, network, mut updates, conditions): WithConditions) -> SpoolBeacon {
    for (update, conditions) in updates.iter_mut().zip(conditions) {
        update.context.conditions = conditions;
    }
    SpoolBeacon { site, network, updates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{Context, Detail, Source, Weight};
    use vitals::attribution::{Attribution, ClsCause, LoadState};
    use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
    use vitals::metric::{Metric, Value, Values};
    use vitals::view::{Device, NavigationType, Os, Rtt, Tier, TtiGap, ViewId, Viewport};

    fn records() -> Vec<SpoolBeacon> {
        let mut values = Values::EMPTY;
        values.set(Metric::Lcp, Value::new(Metric::Lcp, 2500.0).ok());
        values.set(Metric::Tti, Value::new(Metric::Tti, 3800.0).ok());
        let cls =
            ClsCause { target: "#é".to_owned(), at_ms: 9.0, value: 0.1, load_state: LoadState::Complete };
        let attribution = Attribution { cls: Some(cls), ..Attribution::NONE };
        let own = ViewUpdate {
            id: ViewId::new(1_763_632_800_123, 7),
            source: Source::Own { seq: 300 },
            received_ms: 1_763_632_801_000,
            url: "https://shop.example/é".to_owned(),
            route: "/é".to_owned(),
            navigation_type: Some(NavigationType::BackForwardCache),
            device: Some(Device::Desktop),
            browser: Some("firefox".to_owned()),
            os: Some(Os::Linux),
            connection: Some("4g".to_owned()),
            country: Some("DE".to_owned()),
            release: Some("v1".to_owned()),
            values,
            tti_gap: Some(TtiGap::Cpu),
            weight: Weight::of_sample(0.3),
            context: Context {
                viewport: Some(Viewport::Medium),
                tbt: Some(Value::ZERO),
                errors: 4,
                detail: Detail::new(attribution, vec![("plan".to_owned(), "free".to_owned())], Vec::new()),
                conditions: Some(Box::new(Conditions {
                    ttfb_parts_ms: Some([0, 0, 1, 2, 3, 300]),
                    protocol: Some(Protocol::H3),
                    delivery: Some(Delivery::Network),
                    document_kb: Some(34),
                    server_timings: vec![("edge".to_owned(), 12, "é".to_owned())],
                    not_restored: vec!["unload-listener".to_owned()],
                    confidence: Some((ConfidenceLevel::Low, 50)),
                    rtt: Some(Rtt::Under200),
                    memory: Some(Tier::High),
                    cpu: Some(Tier::Medium),
                    engaged: Some(true),
                    first_input_ms: Some(200),
                })),
            },
        };
        let foreign = ViewUpdate {
            source: Source::Foreign,
            received_ms: -1,
            navigation_type: None,
            device: None,
            browser: None,
            os: None,
            connection: None,
            country: None,
            release: None,
            values: Values::EMPTY,
            tti_gap: None,
            weight: Weight::ONE,
            context: Context::NONE,
            ..own.clone()
        };
        let network = |prefix| Network::of(SiteId(1), prefix);
        vec![
            SpoolBeacon { site: SiteId(1), network: network(1), updates: vec![own] },
            SpoolBeacon { site: SiteId(-2), network: network(2), updates: vec![foreign] },
            SpoolBeacon { site: SiteId(3), network: network(3), updates: Vec::new() },
        ]
    }

    fn payload(records: &[SpoolBeacon]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = records.iter().map(|record| encode_record(record).unwrap()).collect();
        join(records.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_payload_is_read_back() {
        assert_eq!(split(&payload(&records())), Ok(records()));
        assert_eq!(split(&payload(&[])), Ok(Vec::new()));
    }

    /// When this fails, the serialized form has changed: raise [`FORMAT`], so that a spool that was
    /// left by the release before is refused with its message instead of being misread.
    #[test]
    fn the_format_is_the_one_of_its_number() {
        let bytes = payload(&records());
        assert_eq!((FORMAT, bytes.len(), crc32fast::hash(&bytes)), (5, 274, 638_085_659));
    }

    #[test]
    fn row_of_the_release_before_is_read_without_conditions() {
        let mut expected = records();
        let written: Vec<Vec<u8>> = expected
            .iter()
            .map(|record| postcard::to_allocvec(&(record.site, &record.updates)).unwrap())
            .collect();
        let mut bytes = join(written.iter().map(Vec::as_slice));
        bytes[0] = WITHOUT_CONDITIONS;
        assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (208, 3_946_209_903), "as that release wrote it");
        for record in &mut expected {
            record.network = Network::of(record.site, 0);
            for update in &mut record.updates {
                update.context.conditions = None;
            }
        }
        assert_eq!(split(&bytes), Ok(expected));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = payload(&records());
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert!(split(&damaged).is_err(), "byte {place}");
            assert!(split(&bytes[..place]).is_err(), "cut at {place}");
        }
    }
}
