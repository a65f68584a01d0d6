//! Counts as bit planes: for each binary digit of the counts, the buckets in whose count it is set.
//!
//! Where values lie close together, a plane takes few bits a bucket, and counts are added up bit by bit,
//! without finding out where one number ends and the next begins: several times faster than codes are read.
//!
//! A plane is the number of its bytes (LEB128; of none nothing follows), its first bucket (LEB128), and for
//! that and each one after it a bit, the lowest of a byte first.

use super::{BUCKETS, EncodingError, Sum, read_varint, write_varint};

/// Binary digits of a count.
const DIGITS: usize = 63;

/// The planes of counts, none of which is negative.
pub(super) struct Planes<'a> {
    buckets: &'a [(u16, i64)],
    /// The first and the last bucket of each plane.
    spans: [Option<(u16, u16)>; DIGITS],
    /// How many planes there are.
    len: usize,
}

impl<'a> Planes<'a> {
    /// Those of some buckets; `None` where a count is negative.
    pub(super) fn of(buckets: &'a [(u16, i64)]) -> Option<Self> {
        let mut spans = [None; DIGITS];
        for &(index, count) in buckets {
            let mut digits = u64::try_from(count).ok()?;
            while let Some(digit) = lowest(&mut digits) {
                let span = spans.get_mut(digit as usize)?;
                *span = Some((span.map_or(index, |(first, _)| first), index));
            }
        }
        let len = spans.iter().rposition(Option::is_some).map_or(0, |last| last.saturating_add(1));
        Some(Self { buckets, spans, len })
    }

    /// How many planes there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn spans(&self) -> impl Iterator<Item = Option<(u16, u16)>> {
        self.spans.iter().copied().take(self.len)
    }

    /// How many bytes they take, about.
    pub(super) fn bytes(&self) -> usize {
        let plane =
            |span: Option<(u16, u16)>| span.map_or(1, |(first, last)| width(first, last).saturating_add(3));
        self.spans().map(plane).fold(0, usize::saturating_add)
    }

    /// Appends them.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        for (digit, span) in (0..).zip(self.spans()) {
            let Some((first, last)) = span else {
                write_varint(bytes, 0);
                continue;
            };
            let len = width(first, last);
            write_varint(bytes, len as u64);
            write_varint(bytes, u64::from(first));
            let start = bytes.len();
            bytes.resize(start.saturating_add(len), 0);
            let plane = bytes.get_mut(start..).unwrap_or_default();
            let set = self.buckets.iter().filter(|(_, count)| count.wrapping_shr(digit) & 1 == 1);
            for (index, _) in set {
                let place = index.saturating_sub(first);
                if let Some(byte) = plane.get_mut(usize::from(place.wrapping_shr(3))) {
                    *byte |= 1_u8.wrapping_shl(u32::from(place & 7));
                }
            }
        }
    }
}

/// Bytes of a plane.
fn width(first: u16, last: u16) -> usize {
    usize::from(last.saturating_sub(first).wrapping_shr(3)).saturating_add(1)
}

/// Takes the lowest binary digit that is set out of a number.
const fn lowest(digits: &mut u64) -> Option<u32> {
    if *digits == 0 {
        return None;
    }
    let digit = digits.trailing_zeros();
    *digits &= digits.wrapping_sub(1);
    Some(digit)
}

/// Adds so many planes from the front of `bytes` and moves them past them.
pub(super) fn add(bytes: &mut &[u8], planes: u64, sum: &mut Sum) -> Result<(), EncodingError> {
    if planes > DIGITS as u64 {
        return Err(EncodingError);
    }
    for digit in 0..planes as u32 {
        let len = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
        if len == 0 {
            continue;
        }
        let first = u16::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
        let (plane, rest) = bytes.split_at_checked(len).ok_or(EncodingError)?;
        *bytes = rest;
        let last = len.saturating_mul(8).saturating_add(usize::from(first)).saturating_sub(1);
        if first >= BUCKETS || last >= usize::from(BUCKETS).saturating_add(7) {
            return Err(EncodingError);
        }
        // Bits that are filled up may lie past the last bucket there is, but none that is set.
        let counts = sum.span(first, last.min(usize::from(BUCKETS).saturating_sub(1)) as u16);
        let by = 1_i64.wrapping_shl(digit);
        for (word, counts) in words(plane).zip(counts.chunks_mut(64)) {
            let mut word = word;
            while let Some(place) = lowest(&mut word) {
                let count = counts.get_mut(place as usize).ok_or(EncodingError)?;
                *count = count.saturating_add(by);
            }
        }
    }
    Ok(())
}

/// Bytes as words, the lowest byte first, the last word filled up with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let last = (!rest.is_empty()).then_some(last);
    whole.iter().copied().chain(last).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], planes: u64) -> Result<Vec<(u16, i64)>, EncodingError> {
        let (mut sum, mut bytes) = (Sum::default(), bytes);
        add(&mut bytes, planes, &mut sum)?;
        assert!(bytes.is_empty());
        Ok(sum.buckets())
    }

    #[test]
    fn counts_are_read_back() {
        for buckets in [
            vec![(0, 1)],
            vec![(BUCKETS - 1, i64::MAX)],
            vec![(0, 4), (9, 2), (64, 3), (65, 1), (500, 7), (BUCKETS - 1, 1 << 40)],
            (100..400).map(|index| (index, i64::from(index % 5 + 1))).collect(),
        ] {
            let planes = Planes::of(&buckets).unwrap();
            let mut bytes = Vec::new();
            planes.write(&mut bytes);
            assert!(planes.bytes() >= bytes.len());
            assert_eq!(read(&bytes, planes.len() as u64), Ok(buckets));
        }
        assert!(Planes::of(&[(3, 1), (4, -1)]).is_none());
    }

    #[test]
    fn damaged_planes_are_refused() {
        let last = u64::from(BUCKETS) - 1;
        let plane = |len: u64, first: u64, bytes: &[u8]| {
            let mut plane = Vec::new();
            write_varint(&mut plane, len);
            write_varint(&mut plane, first);
            plane.extend_from_slice(bytes);
            plane
        };
        assert_eq!(read(&plane(1, last, &[1]), 1), Ok(vec![(BUCKETS - 1, 1)]));
        for (bytes, planes) in [
            (plane(1, last, &[2]), 1),
            (plane(2, last, &[1, 0]), 1),
            (plane(1, last + 1, &[1]), 1),
            (plane(1, 1 << 20, &[1]), 1),
            (plane(3, 5, &[1, 1]), 1),
            (plane(u64::MAX, 5, &[1, 1]), 1),
            (plane(1, 5, &[1]), 2),
            (vec![0; 64], 64),
            (Vec::new(), 1),
        ] {
            assert_eq!(read(&bytes, planes), Err(EncodingError), "{bytes:?}");
        }
    }
}
