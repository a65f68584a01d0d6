//! Counts as bit planes: for each binary digit of the counts, the set of buckets with that digit.
//!
//! If values lie close together, a plane takes few bits per bucket. Counts are added 64 at a time
//! ([`Digits`](digits::Digits)) without searching for the ends of codes: ten times faster than reading codes.
//!
//! A plane is the number of its bytes (LEB128; nothing follows 0), its first bucket divided by 8 (LEB128), and one bit
//! for each bucket from there on, lowest bit of a byte first.

use super::plane::Plane;
use super::{BUCKETS, EncodingError, Sum, digits, write_varint};

/// Binary digits of a count.
const DIGITS: usize = 63;

/// The planes of non-negative counts.
pub(super) struct Planes<'a> {
    buckets: &'a [(u16, i64)],
    /// The first and the last bucket of each plane.
    spans: [Option<(u16, u16)>; DIGITS],
    /// The number of planes.
    len: usize,
}

impl<'a> Planes<'a> {
    /// Builds the planes of buckets; `None` if a count is negative.
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

    /// Returns the number of planes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn spans(&self) -> impl Iterator<Item = Option<(u16, u16)>> {
        self.spans.iter().copied().take(self.len)
    }

    /// Returns an upper estimate of the encoded bytes.
    pub(super) fn bytes(&self) -> usize {
        let plane =
            |span: Option<(u16, u16)>| span.map_or(1, |(first, last)| width(first, last).saturating_add(3));
        self.spans().map(plane).fold(0, usize::saturating_add)
    }

    /// Appends the encoded planes.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        for (digit, span) in (0..).zip(self.spans()) {
            let Some((first, last)) = span else {
                write_varint(bytes, 0);
                continue;
            };
            let len = width(first, last);
            write_varint(bytes, len as u64);
            write_varint(bytes, u64::from(first.wrapping_shr(3)));
            let start = bytes.len();
            bytes.resize(start.saturating_add(len), 0);
            let plane = bytes.get_mut(start..).unwrap_or_default();
            let set = self.buckets.iter().filter(|(_, count)| count.wrapping_shr(digit) & 1 == 1);
            for (index, _) in set {
                let byte = index.wrapping_shr(3).saturating_sub(first.wrapping_shr(3));
                if let Some(byte) = plane.get_mut(usize::from(byte)) {
                    *byte |= 1_u8.wrapping_shl(u32::from(index & 7));
                }
            }
        }
    }
}

/// Returns the bytes of a plane.
fn width(first: u16, last: u16) -> usize {
    usize::from(last.wrapping_shr(3).saturating_sub(first.wrapping_shr(3))).saturating_add(1)
}

/// Removes the lowest set digit from a number and returns its index.
pub(super) const fn lowest(digits: &mut u64) -> Option<u32> {
    if *digits == 0 {
        return None;
    }
    let digit = digits.trailing_zeros();
    *digits &= digits.wrapping_sub(1);
    Some(digit)
}

/// Adds `by` to the count of every bucket in a plane.
fn add_plane(plane: &Plane<'_>, by: i64, sum: &mut Sum) {
    let first = plane.first.saturating_mul(8) as u16;
    let end = plane.end().saturating_mul(8).min(usize::from(BUCKETS));
    let counts = sum.span(first, end.saturating_sub(1) as u16);
    let words = (plane.first..plane.end()).step_by(8).map(|at| plane.word(at));
    for (mut word, counts) in words.zip(counts.chunks_mut(64)) {
        while let Some(place) = lowest(&mut word) {
            if let Some(count) = counts.get_mut(place as usize) {
                *count = count.saturating_add(by);
            }
        }
    }
}

/// Adds `planes` planes from the front of `bytes` and advances them past these planes.
pub(super) fn add(bytes: &mut &[u8], planes: u64, sum: &mut Sum) -> Result<(), EncodingError> {
    if planes > DIGITS as u64 {
        return Err(EncodingError);
    }
    let mut low = [Plane::default(); digits::COUNT];
    let low_len = (planes as usize).min(digits::COUNT);
    for place in low.iter_mut().take(low_len) {
        *place = Plane::read(bytes)?.unwrap_or_default();
    }
    sum.add_low(low.get(..low_len).unwrap_or_default());
    for digit in digits::COUNT as u32..planes as u32 {
        if let Some(plane) = Plane::read(bytes)? {
            add_plane(&plane, 1_i64.wrapping_shl(digit), sum);
        }
    }
    Ok(())
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
        let last = u64::from(BUCKETS).div_ceil(8) - 1;
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
            (plane(2, last - 1, &[1, 3]), 1),
            (plane(1, last + 1, &[1]), 1),
            (plane(1, 1 << 20, &[1]), 1),
            (plane(1, u64::MAX, &[1]), 1),
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
