//! Encodes a page view's context: two bytes, then the numbers of each part; texts are codes of the day's
//! [`super::texts`].
//!
//! `[which parts follow (a byte), the classes: bits 0 and 1 the viewport, 2 and 3 the load state of INP, 4 and 5 that
//! of CLS (a byte), the parts in the order of their bits]`. A text is the two bytes of its code, little endian; any
//! other number is LEB128, and lists begin with their length. Contexts of releases before [`conditions`] have none,
//! and remain readable.

mod conditions;

use super::texts::{Code, OTHER_TEXT, TextCodes, day};
use super::{ClsDetail, Context, Detail, InpDetail, LcpDetail};
use crate::view::ViewUpdate;
use vitals::attribution::LoadState;
use vitals::histogram::{EncodingError, read_varint, write_varint};
use vitals::metric::{Metric, Value};
use vitals::view::Viewport;

const LCP: u8 = 1;
const INP: u8 = 1 << 1;
const CLS: u8 = 1 << 2;
const TBT: u8 = 1 << 3;
const ERRORS: u8 = 1 << 4;
const TAGS: u8 = 1 << 5;
const MARKS: u8 = 1 << 6;
const CONDITIONS: u8 = 1 << 7;

/// Encodes a context; returns `None` if the context is empty.
#[must_use]
pub fn encode(context: &Context<Code>) -> Option<Vec<u8>> {
    if context.is_empty() {
        return None;
    }
    // Enough for most contexts.
    let mut bytes = Vec::with_capacity(48);
    let mut parts = 0;
    let mut classes = context.viewport.map_or(0, |viewport| viewport as u8 + 1);
    bytes.extend_from_slice(&[0, 0]);
    if let Some(detail) = &context.detail {
        let Detail { lcp, inp, cls, .. } = detail.as_ref();
        if let Some(lcp) = lcp {
            parts |= LCP;
            texts(&mut bytes, &[lcp.target, lcp.url]);
            numbers(&mut bytes, &lcp.parts_ms);
        }
        if let Some(inp) = inp {
            parts |= INP;
            classes |= (inp.load_state as u8) << 2;
            texts(&mut bytes, &[inp.target, inp.event, inp.script]);
            numbers(&mut bytes, &inp.parts_ms);
            numbers(&mut bytes, &[inp.at_ms, inp.script_ms]);
        }
        if let Some(cls) = cls {
            parts |= CLS;
            classes |= (cls.load_state as u8) << 4;
            texts(&mut bytes, &[cls.target]);
            numbers(&mut bytes, &[cls.at_ms, cls.value_micros]);
        }
    }
    if let Some(tbt) = context.tbt {
        parts |= TBT;
        numbers(&mut bytes, &[tbt.micros()]);
    }
    if context.errors != 0 {
        parts |= ERRORS;
        bytes.push(context.errors);
    }
    if let Some(detail) = &context.detail {
        if !detail.tags.is_empty() {
            parts |= TAGS;
            write_varint(&mut bytes, detail.tags.len() as u64);
            for &(name, value) in &detail.tags {
                texts(&mut bytes, &[name, value]);
            }
        }
        if !detail.marks.is_empty() {
            parts |= MARKS;
            write_varint(&mut bytes, detail.marks.len() as u64);
            for &(name, at_ms) in &detail.marks {
                texts(&mut bytes, &[name]);
                numbers(&mut bytes, &[at_ms]);
            }
        }
    }
    if let Some(conditions) = &context.conditions {
        parts |= CONDITIONS;
        conditions::write(&mut bytes, conditions);
    }
    bytes[..2].copy_from_slice(&[parts, classes]);
    Some(bytes)
}

/// Returns the encoded size of a context. Every text takes two bytes.
#[must_use]
pub fn bytes_of(context: &Context) -> usize {
    encode(&context.map(|_, _| OTHER_TEXT)).map_or(0, |bytes| bytes.len())
}

fn texts(bytes: &mut Vec<u8>, codes: &[Code]) {
    for code in codes {
        bytes.extend_from_slice(&code.to_le_bytes());
    }
}

fn numbers(bytes: &mut Vec<u8>, numbers: &[u32]) {
    for &number in numbers {
        write_varint(bytes, number.into());
    }
}

/// Decodes the output of [`encode`].
///
/// # Errors
/// If the bytes are not a context.
pub fn decode(mut bytes: &[u8]) -> Result<Context<Code>, EncodingError> {
    let bytes = &mut bytes;
    let &[parts, classes] = take(bytes)?;
    let has = |part| parts & part != 0;
    let load_state = |bits: u8| LoadState::ALL.get(usize::from(bits & 3)).copied().ok_or(EncodingError);
    let lcp = match has(LCP) {
        true => Some(LcpDetail { target: text(bytes)?, url: text(bytes)?, parts_ms: many(bytes)? }),
        false => None,
    };
    let inp = match has(INP) {
        true => {
            let (target, event, script) = (text(bytes)?, text(bytes)?, text(bytes)?);
            let parts_ms = many(bytes)?;
            let [at_ms, script_ms] = many(bytes)?;
            let load_state = load_state(classes >> 2)?;
            Some(InpDetail { target, event, at_ms, parts_ms, script, script_ms, load_state })
        }
        false => None,
    };
    let cls = match has(CLS) {
        true => {
            let target = text(bytes)?;
            let [at_ms, value_micros] = many(bytes)?;
            Some(ClsDetail { target, at_ms, value_micros, load_state: load_state(classes >> 4)? })
        }
        false => None,
    };
    let tbt = match has(TBT) {
        true => Some(Value::from_micros(Metric::Tti, number(bytes)?).ok_or(EncodingError)?),
        false => None,
    };
    let errors = match has(ERRORS) {
        true => take::<1>(bytes)?[0],
        false => 0,
    };
    let tags = match has(TAGS) {
        true => list(bytes, vitals::limits::TAGS_MAX, |bytes| Ok((text(bytes)?, text(bytes)?)))?,
        false => Vec::new(),
    };
    let marks = match has(MARKS) {
        true => list(bytes, vitals::limits::MARKS_MAX, |bytes| Ok((text(bytes)?, number(bytes)?)))?,
        false => Vec::new(),
    };
    let viewport = match classes & 3 {
        0 => None,
        class => Some(Viewport::from_number(class - 1).ok_or(EncodingError)?),
    };
    let conditions = match has(CONDITIONS) {
        true => Some(Box::new(conditions::read(bytes)?)),
        false => None,
    };
    if !bytes.is_empty() {
        return Err(EncodingError);
    }
    let detail = (parts & (LCP | INP | CLS | TAGS | MARKS) != 0)
        .then(|| Box::new(Detail { lcp, inp, cls, tags, marks }));
    Ok(Context { viewport, tbt, errors, detail, conditions })
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], EncodingError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(EncodingError)?;
    *bytes = rest;
    Ok(first)
}

fn text(bytes: &mut &[u8]) -> Result<Code, EncodingError> {
    take(bytes).map(|&code| Code::from_le_bytes(code))
}

fn number(bytes: &mut &[u8]) -> Result<u32, EncodingError> {
    u32::try_from(read_varint(bytes)?).map_err(|_| EncodingError)
}

fn many<const N: usize>(bytes: &mut &[u8]) -> Result<[u32; N], EncodingError> {
    let mut numbers = [0; N];
    for one in &mut numbers {
        *one = number(bytes)?;
    }
    Ok(numbers)
}

fn list<T>(
    bytes: &mut &[u8],
    max: usize,
    one: impl Fn(&mut &[u8]) -> Result<T, EncodingError>,
) -> Result<Vec<T>, EncodingError> {
    let len = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
    if len > max {
        return Err(EncodingError);
    }
    (0..len).map(|_| one(bytes)).collect()
}

impl TextCodes {
    /// Encodes a page view's context; `None` if the context is empty. Every text must have a code.
    #[must_use]
    pub fn encode(&self, view: &ViewUpdate) -> Option<Vec<u8>> {
        let day = day(view);
        let code = |kind, text: &String| self.code((day, kind, text)).unwrap_or(OTHER_TEXT);
        encode(&view.context.map(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::conditions::{Conditions, DROP_ORDER};
    use crate::limits;
    use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
    use vitals::view::{Rtt, Tier};

    fn largest() -> Context<Code> {
        let most = u32::MAX;
        let longest = vitals::limits::TIME_MS_MAX;
        Context {
            viewport: Some(Viewport::Large),
            tbt: Value::from_micros(Metric::Tti, longest * 1_000),
            errors: u8::MAX,
            detail: Some(Box::new(Detail {
                lcp: Some(LcpDetail { target: 1, url: 2, parts_ms: [longest; 4] }),
                inp: Some(InpDetail {
                    target: 3,
                    event: 4,
                    at_ms: most,
                    parts_ms: [longest; 3],
                    script: 5,
                    script_ms: longest,
                    load_state: LoadState::Complete,
                }),
                cls: Some(ClsDetail {
                    target: 6,
                    at_ms: most,
                    value_micros: vitals::limits::CLS_MAX * 1_000_000,
                    load_state: LoadState::DomContentLoaded,
                }),
                tags: vec![(7, 8); vitals::limits::TAGS_MAX],
                marks: vec![(9, longest); vitals::limits::MARKS_MAX],
            })),
            conditions: None,
        }
    }

    fn largest_conditions() -> Conditions<Code> {
        Conditions {
            ttfb_parts_ms: Some([vitals::limits::TIME_MS_MAX; 6]),
            protocol: Some(Protocol::Other),
            delivery: Some(Delivery::NavigationalPrefetch),
            document_kb: Some(vitals::limits::DOCUMENT_BYTES_MAX / 1_000),
            server_timings: vec![(10, vitals::limits::TIME_MS_MAX, 11); vitals::limits::SERVER_TIMINGS_MAX],
            not_restored: vec![12; vitals::limits::NOT_RESTORED_MAX],
            confidence: Some((ConfidenceLevel::Low, 100)),
            rtt: Some(Rtt::From800),
            memory: Some(Tier::High),
            cpu: Some(Tier::High),
            engaged: Some(true),
            first_input_ms: Some(u32::MAX),
        }
    }

    #[test]
    fn the_largest_context_is_within_its_bound_and_read_back() {
        let bytes = encode(&largest()).unwrap();
        assert!(bytes.len() <= limits::CONTEXT_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes), Ok(largest()));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), Err(EncodingError), "{end} bytes");
        }
        assert_eq!(decode(&[bytes, vec![0]].concat()), Err(EncodingError));
    }

    #[test]
    fn conditions_are_read_back_whole_and_cut_nowhere() {
        let context = Context { conditions: Some(Box::new(largest_conditions())), ..Context::NONE };
        let bytes = encode(&context).unwrap();
        assert_eq!(decode(&bytes), Ok(context));
        for end in 2..bytes.len() {
            assert_eq!(decode(&bytes[..end]), Err(EncodingError), "{end} bytes");
        }
        assert_eq!(decode(&[bytes, vec![0]].concat()), Err(EncodingError));
    }

    #[test]
    fn each_condition_is_read_back_alone() {
        let all = largest_conditions();
        let none = Conditions::default;
        for conditions in [
            Conditions { ttfb_parts_ms: all.ttfb_parts_ms, ..none() },
            Conditions { document_kb: all.document_kb, ..none() },
            Conditions { server_timings: vec![(0, 7, 1)], ..none() },
            Conditions { not_restored: vec![300], ..none() },
            Conditions { confidence: Some((ConfidenceLevel::High, 0)), ..none() },
            Conditions { first_input_ms: Some(0), ..none() },
            Conditions { protocol: Some(Protocol::Http1), ..none() },
            Conditions { delivery: Some(Delivery::Cache), ..none() },
            Conditions { engaged: Some(false), ..none() },
            Conditions { rtt: Some(Rtt::Under100), ..none() },
            Conditions { memory: Some(Tier::Low), ..none() },
            Conditions { cpu: Some(Tier::Medium), ..none() },
        ] {
            let context = Context { conditions: Some(Box::new(conditions)), ..Context::NONE };
            assert_eq!(decode(&encode(&context).unwrap()), Ok(context));
        }
    }

    #[test]
    fn class_that_is_none_is_no_context() {
        // The last class of each field, and the number after it.
        for (of_load, of_visitor, is_known) in [
            (4, 0, true),
            (5, 0, false),
            (3 << 3, 0, true),
            (2 << 5, 0, true),
            (3 << 5, 0, false),
            (0, 5, true),
            (0, 6, false),
            (0, 3 << 3 | 3 << 5, true),
        ] {
            let bytes = [1 << 7, 0, 1 << 6, of_load, of_visitor];
            assert_eq!(decode(&bytes).is_ok(), is_known, "{of_load} {of_visitor}");
        }
    }

    #[test]
    fn full_context_leaves_out_the_least_useful_first() {
        let named = |context: &Context<Code>| context.map(|_, code| code.to_string());
        let with = |conditions| Context { conditions: Some(Box::new(conditions)), ..largest() };
        let bounded = named(&with(largest_conditions())).bounded();
        assert!(bytes_of(&bounded) <= limits::CONTEXT_BYTES_MAX, "{} bytes", bytes_of(&bounded));
        assert_eq!(bounded.detail, named(&largest()).detail, "what explains the values stays");
        // Removes as many fields as needed, in the table's order.
        let mut expected = named(&with(largest_conditions()));
        let mut left_out = 0;
        for (_, leave_out) in DROP_ORDER {
            if bytes_of(&expected) <= limits::CONTEXT_BYTES_MAX {
                break;
            }
            leave_out(expected.conditions.as_mut().unwrap());
            left_out += 1;
        }
        assert_eq!((bounded.clone(), left_out), (expected, 3));
        assert_eq!(bounded.clone().bounded(), bounded, "once decided it stays");
        // All fields outside of the table fit beside the largest detail.
        let mut rest = named(&with(largest_conditions()));
        for (_, leave_out) in DROP_ORDER {
            leave_out(rest.conditions.as_mut().unwrap());
        }
        assert!(bytes_of(&rest) <= limits::CONTEXT_BYTES_MAX);
    }

    #[test]
    fn context_without_tags_and_marks_fits_whole() {
        let mut context = Context { conditions: Some(Box::new(largest_conditions())), ..largest() };
        let detail = context.detail.as_mut().unwrap();
        (detail.tags, detail.marks) = (Vec::new(), Vec::new());
        assert!(encode(&context).unwrap().len() <= limits::CONTEXT_BYTES_MAX);
    }

    #[test]
    fn usual_context_takes_so_many_bytes() {
        // A typical view of a shop's page: LCP of an image, INP with a script, CLS, TBT; then with its conditions.
        let detail = Detail {
            lcp: Some(LcpDetail { target: 1, url: 2, parts_ms: [210, 90, 300, 400] }),
            inp: Some(InpDetail {
                target: 3,
                event: 4,
                at_ms: 9_000,
                parts_ms: [8, 150, 20],
                script: 5,
                script_ms: 120,
                load_state: LoadState::Complete,
            }),
            cls: Some(ClsDetail {
                target: 6,
                at_ms: 900,
                value_micros: 40_000,
                load_state: LoadState::Loading,
            }),
            tags: Vec::new(),
            marks: Vec::new(),
        };
        let mut context = Context {
            viewport: Some(Viewport::Large),
            tbt: Value::from_micros(Metric::Tti, 80_000),
            errors: 0,
            detail: Some(Box::new(detail)),
            conditions: None,
        };
        let before = encode(&context).unwrap().len();
        let conditions = Conditions {
            ttfb_parts_ms: Some([0, 0, 2, 14, 45, 150]),
            document_kb: Some(32),
            confidence: Some((ConfidenceLevel::High, 50)),
            first_input_ms: Some(2_400),
            server_timings: Vec::new(),
            not_restored: Vec::new(),
            ..largest_conditions()
        };
        context.conditions = Some(Box::new(conditions.clone()));
        let after = encode(&context).unwrap().len();
        let timed = Conditions { server_timings: vec![(7, 0, 8), (9, 35, 0)], ..conditions };
        context.conditions = Some(Box::new(timed));
        let with_server_timings = encode(&context).unwrap().len();
        assert_eq!((before, after, with_server_timings), (36, 50, 61));
    }

    #[test]
    fn each_part_is_read_back_alone() {
        assert_eq!(encode(&Context::NONE), None);
        let whole = largest();
        let detail = whole.detail.as_deref().unwrap();
        let none = Detail { lcp: None, inp: None, cls: None, tags: Vec::new(), marks: Vec::new() };
        let of = |detail| Context { detail: Some(Box::new(detail)), ..Context::NONE };
        for context in [
            Context { viewport: Some(Viewport::Small), ..Context::NONE },
            Context { tbt: Some(Value::ZERO), ..Context::NONE },
            Context { errors: 4, ..Context::NONE },
            of(Detail { lcp: detail.lcp.clone(), ..none.clone() }),
            of(Detail { inp: detail.inp.clone(), ..none.clone() }),
            of(Detail { cls: detail.cls.clone(), ..none.clone() }),
            of(Detail { tags: vec![(0, 1)], ..none.clone() }),
            of(Detail { marks: vec![(300, 0)], ..none }),
        ] {
            assert_eq!(decode(&encode(&context).unwrap()), Ok(context));
        }
    }

    #[test]
    fn the_format_never_changes() {
        // The bytes are stored: a change would make page views of the previous release unreadable.
        let detail = Detail {
            lcp: Some(LcpDetail { target: 0x0201, url: 0, parts_ms: [1, 2, 3, 300] }),
            inp: None,
            cls: None,
            tags: Vec::new(),
            marks: Vec::new(),
        };
        let context = Context {
            viewport: Some(Viewport::Medium),
            tbt: None,
            errors: 0,
            detail: Some(Box::new(detail)),
            conditions: None,
        };
        assert_eq!(encode(&context), Some(vec![1, 2, 1, 2, 0, 0, 1, 2, 3, 0xac, 2]));
        let conditions = Conditions {
            ttfb_parts_ms: Some([0, 0, 1, 2, 3, 300]),
            protocol: Some(Protocol::H3),
            delivery: Some(Delivery::Network),
            document_kb: Some(34),
            server_timings: vec![(0x0302, 12, 0x0504)],
            not_restored: vec![0x0706],
            confidence: Some((ConfidenceLevel::Low, 50)),
            rtt: Some(Rtt::Under200),
            memory: Some(Tier::High),
            cpu: Some(Tier::Medium),
            engaged: Some(true),
            first_input_ms: Some(200),
        };
        let context = Context { conditions: Some(Box::new(conditions)), ..Context::NONE };
        let parts = [0, 0, 1, 2, 3, 0xac, 2, 34, 1, 2, 3, 4, 5, 12, 1, 6, 7, 0x80 | 50, 0xc8, 1];
        let classes = [3 | 1 << 3 | 2 << 5, 2 | 3 << 3 | 2 << 5];
        assert_eq!(encode(&context), Some([&[0x80, 0, 0x7f], &parts[..], &classes[..]].concat()));
    }
}
