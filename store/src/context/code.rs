//! A page view's context as it is kept: two bytes and a number a part, texts as codes of the day's
//! [`super::texts`].
//!
//! `[which parts follow (a byte), the classes: bits 0 and 1 the viewport, 2 and 3 the load state of INP, 4 and 5
//! that of CLS (a byte), the parts in the order of their bits]`. A text is the two bytes of its code, little
//! endian; any other number is LEB128, and lists begin with their length.

use super::texts::Code;
use super::{ClsDetail, Context, Detail, InpDetail, LcpDetail};
use vitals::attribution::LoadState;
use vitals::histogram::{EncodingError, read_varint, write_varint};
use vitals::limits;
use vitals::metric::{Metric, Value};
use vitals::view::Viewport;

const LCP: u8 = 1;
const INP: u8 = 1 << 1;
const CLS: u8 = 1 << 2;
const TBT: u8 = 1 << 3;
const ERRORS: u8 = 1 << 4;
const TAGS: u8 = 1 << 5;
const MARKS: u8 = 1 << 6;

/// The bytes of a context; `None` where it says nothing.
#[must_use]
pub fn encode(context: &Context<Code>) -> Option<Vec<u8>> {
    if context.is_empty() {
        return None;
    }
    // Most have no more.
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
    bytes[..2].copy_from_slice(&[parts, classes]);
    Some(bytes)
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

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Where the bytes are no context.
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
        true => list(bytes, limits::TAGS_MAX, |bytes| Ok((text(bytes)?, text(bytes)?)))?,
        false => Vec::new(),
    };
    let marks = match has(MARKS) {
        true => list(bytes, limits::MARKS_MAX, |bytes| Ok((text(bytes)?, number(bytes)?)))?,
        false => Vec::new(),
    };
    let viewport = match classes & 3 {
        0 => None,
        class => Some(Viewport::from_number(class - 1).ok_or(EncodingError)?),
    };
    if !bytes.is_empty() {
        return Err(EncodingError);
    }
    let detail = (parts & (LCP | INP | CLS | TAGS | MARKS) != 0)
        .then(|| Box::new(Detail { lcp, inp, cls, tags, marks }));
    Ok(Context { viewport, tbt, errors, detail })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn largest() -> Context<Code> {
        let most = u32::MAX;
        let longest = limits::TIME_MS_MAX;
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
                    value_micros: limits::CLS_MAX * 1_000_000,
                    load_state: LoadState::DomContentLoaded,
                }),
                tags: vec![(7, 8); limits::TAGS_MAX],
                marks: vec![(9, longest); limits::MARKS_MAX],
            })),
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
        // Stored: other bytes would make page views of the release before unreadable.
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
        };
        assert_eq!(encode(&context), Some(vec![1, 2, 1, 2, 0, 0, 1, 2, 3, 0xac, 2]));
    }
}
