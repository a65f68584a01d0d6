//! Counts values in fixed logarithmic buckets, with exact rating counters.
//!
//! Buckets are those of a base-2 exponential histogram with 64 buckets an octave (OpenTelemetry scale 6, Prometheus
//! schema 6). Bucket `k` holds the integers from `ceil(2^(k/64))` up to, not including, `ceil(2^((k+1)/64))`, in
//! millionths of the metric's unit. The index is computed with integers only, so every platform and every merge order
//! gives the same histogram.
//!
//! An encoded histogram consists of a header, the three rating counters, and the buckets. The header is the LEB128 of
//! four times a number plus the form. The counters are LEB128, zigzagged in form 1.
//!
//! Form 2 is for values that lie close together: the number is that of its bit planes (the module `planes`). Forms 0
//! and 1 are lists, whose number is that of the buckets; form 1 allows negative counts. A list that is not empty
//! holds the first bucket's index (LEB128) and a byte with two orders. For each bucket follow the gap to the previous
//! one and its count less one, as exponential Golomb codes of these orders (Teuhola, 1978). The codes are packed into
//! bits, most significant first; zeros fill the last byte.

mod bits;
mod digits;
mod estimate;
mod plane;
mod planes;
mod read;
mod weighted;

pub use estimate::Estimate;
pub use read::{Bin, ERROR_PERCENT_MAX, rank};
pub use weighted::Weighted;

use crate::metric::{Metric, Rating, Value};
use core::cmp::Ordering;

/// Buckets an octave.
const PER_OCTAVE: u16 = 64;

/// `2^(k/64)` for `k` = 0…63 in 1.63 fixed point, rounded down.
///
/// A 32-bit number, shifted so that its first bit is bit 63, lies at or over `2^(k/64)` of its octave if and only if
/// it is at or over the entry. No such number lies between an entry and the exact boundary, as `boundaries_are_exact`
/// proves for all of them.
const OCTAVE: [u64; PER_OCTAVE as usize] = octave();

/// Counts of one metric's values.
///
/// Counts are signed, because a histogram may be a correction: it subtracts a page view's old values and adds the new
/// ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    ratings: [i64; 3],
    /// Ascending by bucket, without zero counts. Bucket 0 holds the value 0; index `k + 1` is bucket `k` of the
    /// module's definition.
    buckets: Vec<(u16, i64)>,
}

/// The reason why bytes are not a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingError;

impl core::fmt::Display for EncodingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the bytes are not a histogram")
    }
}

impl core::error::Error for EncodingError {}

impl Histogram {
    /// Counts a value `by` more times; `by` may be negative.
    pub fn add(&mut self, metric: Metric, value: Value, by: i64) {
        self.count(Place::new(metric, value), by);
    }

    /// Creates an empty histogram with capacity for so many places.
    #[must_use]
    pub fn with_capacity(places: usize) -> Self {
        Self { ratings: [0; 3], buckets: Vec::with_capacity(places) }
    }

    /// The memory of the buckets, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.buckets.capacity().saturating_mul(size_of::<(u16, i64)>())
    }

    /// Counts a value at its place `by` more times; `by` may be negative.
    pub fn count(&mut self, place: Place, by: i64) {
        if let Some(count) = self.ratings.get_mut(place.rating as usize) {
            *count = count.saturating_add(by);
        }
        self.add_bucket(place.bucket, by);
    }

    fn add_bucket(&mut self, index: u16, by: i64) {
        // Fast path: values often arrive in order.
        if by != 0 && self.buckets.last().is_none_or(|&(last, _)| last < index) {
            return self.buckets.push((index, by));
        }
        match self.buckets.binary_search_by_key(&index, |&(at, _)| at) {
            Ok(place) => {
                let left = self.buckets.get_mut(place).map_or(0, |slot| {
                    slot.1 = slot.1.saturating_add(by);
                    slot.1
                });
                if left == 0 {
                    self.buckets.remove(place);
                }
            }
            Err(place) if by != 0 => self.buckets.insert(place, (index, by)),
            Err(_) => {}
        }
    }

    /// Adds all counts of another histogram of the same metric.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.ratings.iter_mut().zip(&other.ratings) {
            *mine = mine.saturating_add(*theirs);
        }
        // Fast path for a few buckets into many, as when deltas are added: a search per bucket copies nothing.
        if other.buckets.len().saturating_mul(8) < self.buckets.len() {
            for &(index, count) in &other.buckets {
                self.add_bucket(index, count);
            }
            return;
        }
        if other.buckets.is_empty() {
            return;
        }
        let mine = core::mem::take(&mut self.buckets);
        let mut merged = Vec::with_capacity(mine.len().saturating_add(other.buckets.len()));
        let (mut left, mut right) = (mine.into_iter().peekable(), other.buckets.iter().copied().peekable());
        while let (Some(&(a, count_a)), Some(&(b, count_b))) = (left.peek(), right.peek()) {
            let (index, count) = match a.cmp(&b) {
                Ordering::Less => (a, count_a),
                Ordering::Greater => (b, count_b),
                Ordering::Equal => (a, count_a.saturating_add(count_b)),
            };
            if a <= b {
                left.next();
            }
            if b <= a {
                right.next();
            }
            if count != 0 {
                merged.push((index, count));
            }
        }
        merged.extend(left);
        merged.extend(right);
        self.buckets = merged;
    }

    /// Returns the number of counted values.
    #[must_use]
    pub fn n(&self) -> i64 {
        self.ratings.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the exact number of values with this rating.
    #[must_use]
    pub fn rated(&self, rating: Rating) -> i64 {
        self.ratings.get(rating as usize).copied().unwrap_or(0)
    }

    /// Whether nothing is counted, not even a correction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.ratings == [0; 3]
    }

    /// Appends the histogram's bytes; see [`crate::histogram`] for the encoding.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let signed = self.ratings.iter().chain(self.buckets.iter().map(|(_, count)| count)).any(|&n| n < 0);
        let list = List::of(&self.buckets, signed);
        let planes = if signed { None } else { planes::Planes::of(&self.buckets) };
        let bytes_max = if self.buckets.len() < FEW {
            list.bytes().saturating_mul(3).wrapping_div(2)
        } else {
            list.bytes().saturating_mul(2)
        };
        let planes = planes.filter(|planes| planes.bytes() <= bytes_max);
        let (number, form) = match &planes {
            Some(planes) => (planes.len(), Form::Planes),
            None => (self.buckets.len(), if signed { Form::Signed } else { Form::Unsigned }),
        };
        write_varint(bytes, (number as u64).wrapping_shl(2) | form as u64);
        for &count in &self.ratings {
            write_varint(bytes, count_code(count, signed));
        }
        match planes {
            Some(planes) => planes.write(bytes),
            None => list.write(bytes),
        }
    }

    /// Reads a histogram from the front of `bytes` and moves them past it.
    ///
    /// # Errors
    /// If the bytes end too early, or name a bucket that does not exist.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, EncodingError> {
        let head = Head::read(bytes)?;
        if head.form == Form::Planes {
            let mut sum = Sum::default();
            planes::add(bytes, head.number, &mut sum)?;
            return Ok(Self { ratings: head.ratings, buckets: sum.buckets() });
        }
        let mut buckets = Vec::new();
        // Gaps are unsigned, so the buckets ascend.
        read_list(bytes, &head, |index, count| buckets.push((index, count)))?;
        Ok(Self { ratings: head.ratings, buckets })
    }
}

/// Bound between small and large histograms, in buckets. A smaller one is written as bit planes if these take at most
/// 1.5 times the bytes of a list, a larger one if they take at most twice the bytes. Planes are read up to four times
/// as fast, and gain with the number of buckets; most stored histograms have few.
const FEW: usize = 16;

/// The encoding of buckets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A list of counts.
    Unsigned = 0,
    /// A list of zigzagged counts.
    Signed = 1,
    /// Bit planes.
    Planes = 2,
}

/// The header before the buckets.
struct Head {
    form: Form,
    /// The number of buckets, or of planes.
    number: u64,
    ratings: [i64; 3],
}

impl Head {
    fn read(bytes: &mut &[u8]) -> Result<Self, EncodingError> {
        let head = read_varint(bytes)?;
        let form = match head & 3 {
            0 => Form::Unsigned,
            1 => Form::Signed,
            2 => Form::Planes,
            _ => return Err(EncodingError),
        };
        let mut ratings = [0; 3];
        for count in &mut ratings {
            *count = count_of(read_varint(bytes)?, form == Form::Signed)?;
        }
        Ok(Self { form, number: head.wrapping_shr(2), ratings })
    }
}

fn count_code(count: i64, signed: bool) -> u64 {
    if signed { zigzag(count) } else { count.unsigned_abs() }
}

fn count_of(code: u64, signed: bool) -> Result<i64, EncodingError> {
    if signed { Ok(unzigzag(code)) } else { i64::try_from(code).map_err(|_| EncodingError) }
}

/// Buckets as a list of codes.
struct List<'a> {
    buckets: &'a [(u16, i64)],
    signed: bool,
    gap_order: u8,
    count_order: u8,
}

impl<'a> List<'a> {
    fn of(buckets: &'a [(u16, i64)], signed: bool) -> Self {
        let (gaps, counts) = symbols(buckets, signed).fold((0_u64, 0_u64), |(gaps, counts), (gap, count)| {
            (gaps.saturating_add(gap), counts.saturating_add(count))
        });
        let (gap_order, count_order) = (bits::order(gaps, buckets.len()), bits::order(counts, buckets.len()));
        Self { buckets, signed, gap_order, count_order }
    }

    /// Returns the encoded size.
    fn bytes(&self) -> usize {
        let bits = symbols(self.buckets, self.signed).fold(0_usize, |sum, (gap, count)| {
            let (gap, count) = (bits::len(gap, self.gap_order), bits::len(count, self.count_order));
            sum.saturating_add(gap as usize).saturating_add(count as usize)
        });
        bits.div_ceil(8).saturating_add(3)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let Some(&(first, _)) = self.buckets.first() else { return };
        write_varint(bytes, u64::from(first));
        bytes.push(self.gap_order | self.count_order.wrapping_shl(4));
        let mut writer = bits::Writer::new(bytes);
        for (gap, count) in symbols(self.buckets, self.signed) {
            writer.write(gap, self.gap_order);
            writer.write(count, self.count_order);
        }
        writer.finish();
    }
}

/// Returns the gap before each bucket and the code of its count. No count is zero, so the code is the count less one.
fn symbols(buckets: &[(u16, i64)], signed: bool) -> impl Iterator<Item = (u64, u64)> {
    let mut next = buckets.first().map_or(0, |&(first, _)| first);
    buckets.iter().map(move |&(index, count)| {
        let gap = u64::from(index.saturating_sub(next));
        next = index.saturating_add(1);
        (gap, count_code(count, signed).wrapping_sub(1))
    })
}

/// Reads a list of buckets.
fn read_list(bytes: &mut &[u8], head: &Head, mut take: impl FnMut(u16, i64)) -> Result<(), EncodingError> {
    let &Head { number, form, .. } = head;
    if number > u64::from(BUCKETS) {
        return Err(EncodingError);
    }
    if number == 0 {
        return Ok(());
    }
    let mut next = read_varint(bytes)?;
    let (&orders, rest) = bytes.split_first().ok_or(EncodingError)?;
    let (gap_order, count_order) = (orders & 0xf, orders.wrapping_shr(4));
    let mut reader = bits::Reader::new(rest);
    for _ in 0..number {
        let (gap, code) = reader.read_pair(gap_order, count_order).ok_or(EncodingError)?;
        let index = next.checked_add(gap).filter(|&index| index < u64::from(BUCKETS)).ok_or(EncodingError)?;
        let code = code.checked_add(1).ok_or(EncodingError)?;
        take(index as u16, count_of(code, form == Form::Signed)?);
        next = index.wrapping_add(1);
    }
    *bytes = reader.rest();
    Ok(())
}

/// The bucket of a value and its rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    bucket: u16,
    rating: Rating,
}

impl Place {
    /// Returns the place of a metric's value.
    #[must_use]
    pub fn new(metric: Metric, value: Value) -> Self {
        Self { bucket: bucket(value.micros()), rating: metric.rate(value) }
    }

    /// Returns the place as one number, for storage.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.bucket.wrapping_shl(2) | self.rating as u16
    }

    /// Returns the place of a stored number; `None` if the number is invalid.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        let bucket = number.wrapping_shr(2);
        let rating = match number & 3 {
            0 => Rating::Good,
            1 => Rating::NeedsImprovement,
            2 => Rating::Poor,
            _ => return None,
        };
        if bucket < BUCKETS { Some(Self { bucket, rating }) } else { None }
    }
}

/// Sums many histograms of one metric without building the encoded ones.
///
/// The counts are a dense array from the lowest to the highest bucket, so adding costs one addition per bucket.
/// Counts from bit planes are stored separately by their binary digits, which adds 64 buckets at once.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    ratings: [i64; 3],
    /// The bucket of the first count.
    first: u16,
    counts: Vec<i64>,
    /// Counts from bit planes, not yet added to `counts`.
    digits: digits::Digits,
}

impl Sum {
    /// Counts a value at its place `by` more times; `by` may be negative.
    pub fn add(&mut self, place: Place, by: i64) {
        if let Some(count) = self.ratings.get_mut(place.rating as usize) {
            *count = count.saturating_add(by);
        }
        self.add_bucket(place.bucket, by);
    }

    fn add_bucket(&mut self, index: u16, by: i64) {
        let place = usize::from(index.wrapping_sub(self.first));
        match self.counts.get_mut(place) {
            Some(count) if index >= self.first => *count = count.saturating_add(by),
            _ => self.widen(index, by),
        }
    }

    /// Extends the array to a bucket outside of it, and counts the value.
    #[cold]
    fn widen(&mut self, index: u16, by: i64) {
        if self.counts.is_empty() {
            self.first = index;
        }
        if index < self.first {
            let more = usize::from(self.first.saturating_sub(index));
            self.counts.splice(0..0, core::iter::repeat_n(0, more));
            self.first = index;
        }
        let place = usize::from(index.saturating_sub(self.first));
        if place >= self.counts.len() {
            self.counts.resize(place.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(by);
        }
    }

    /// Adds a histogram from the front of `bytes` and moves them past it.
    ///
    /// # Errors
    /// If the bytes are not a histogram. The part read until then stays added.
    pub fn add_encoded(&mut self, bytes: &mut &[u8]) -> Result<(), EncodingError> {
        let head = Head::read(bytes)?;
        if head.form == Form::Planes {
            planes::add(bytes, head.number, self)?;
        } else {
            read_list(bytes, &head, |index, count| self.add_bucket(index, count))?;
        }
        self.add_ratings(head.ratings);
        Ok(())
    }

    /// Adds the rating counters of the histogram at the front of `bytes`, and none of its buckets. The sum then tells no
    /// percentile.
    ///
    /// # Errors
    /// If the bytes do not begin with the header of a histogram.
    pub fn add_encoded_ratings(&mut self, mut bytes: &[u8]) -> Result<(), EncodingError> {
        let head = Head::read(&mut bytes)?;
        self.add_ratings(head.ratings);
        Ok(())
    }

    fn add_ratings(&mut self, ratings: [i64; 3]) {
        for (mine, theirs) in self.ratings.iter_mut().zip(ratings) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Returns the counts of some buckets; extends the array if needed.
    fn span(&mut self, first: u16, last: u16) -> &mut [i64] {
        self.add_bucket(first, 0);
        self.add_bucket(last, 0);
        let start = usize::from(first.saturating_sub(self.first));
        let end = usize::from(last.saturating_sub(self.first)).saturating_add(1);
        self.counts.get_mut(start..end).unwrap_or_default()
    }

    /// Adds the planes of the lowest digits.
    fn add_low(&mut self, planes: &[plane::Plane<'_>]) {
        self.digits.add(planes);
        for (word, mut buckets) in self.digits.take_beyond() {
            while let Some(place) = planes::lowest(&mut buckets) {
                let index = word.saturating_mul(WORD).saturating_add(place as usize);
                self.add_bucket(index as u16, 1_i64.wrapping_shl(digits::COUNT as u32));
            }
        }
    }

    /// Returns the buckets with a count that is not zero.
    fn buckets(&self) -> Vec<(u16, i64)> {
        let (first, digits) = (usize::from(self.first), self.digits.range());
        let (start, end) = match (self.counts.is_empty(), digits.is_empty()) {
            (true, _) => (digits.start, digits.end),
            (false, is_alone) => {
                let end = first.saturating_add(self.counts.len()).div_ceil(WORD);
                let start = first.wrapping_div(WORD);
                if is_alone { (start, end) } else { (start.min(digits.start), end.max(digits.end)) }
            }
        };
        let mut buckets = Vec::with_capacity(end.saturating_sub(start).saturating_mul(WORD));
        for word in start..end {
            let indices = word.saturating_mul(WORD)..;
            for (index, low) in indices.zip(self.digits.counts(word)) {
                let own = index.checked_sub(first).and_then(|place| self.counts.get(place));
                let count = low.saturating_add(own.copied().unwrap_or(0));
                if count != 0 {
                    buckets.push((index as u16, count));
                }
            }
        }
        buckets
    }

    /// Returns the rating counters alone.
    #[must_use]
    pub const fn finish_ratings(&self) -> Histogram {
        Histogram { ratings: self.ratings, buckets: Vec::new() }
    }

    /// Returns the sum as a histogram.
    #[must_use]
    pub fn finish(&self) -> Histogram {
        Histogram { ratings: self.ratings, buckets: self.buckets() }
    }
}

/// Buckets per word, one digit each.
const WORD: usize = u64::BITS as usize;

/// Number of buckets: the zero bucket and 32 octaves of a `u32`.
const BUCKETS: u16 = 32 * PER_OCTAVE + 1;

/// Returns the bucket of a value.
fn bucket(micros: u32) -> u16 {
    let Some(octave) = micros.checked_ilog2() else { return 0 };
    // Shifts the number so that its first bit is the top bit.
    let mantissa = u64::from(micros).wrapping_shl(63_u32.wrapping_sub(octave));
    let step = OCTAVE.partition_point(|&boundary| boundary <= mantissa);
    // The first boundary is 1, so at least one boundary is at or under the mantissa. The index is the bucket's
    // exponent plus one, because index 0 holds zero.
    (octave as u16).saturating_mul(PER_OCTAVE).saturating_add(step as u16)
}

/// Returns the lower bound of a bucket, not rounded to an integer.
fn lower(index: u16) -> f64 {
    let Some(exponent) = index.checked_sub(1) else { return 0.0 };
    let octave = exponent.wrapping_div(PER_OCTAVE);
    let step = exponent.wrapping_rem(PER_OCTAVE);
    let mantissa = OCTAVE.get(usize::from(step)).copied().unwrap_or(0) as f64;
    // Division by a power of two is exact on every platform.
    mantissa / 1_u64.wrapping_shl(63_u32.wrapping_sub(octave.into())) as f64
}

const fn zigzag(number: i64) -> u64 {
    (number.wrapping_shl(1) ^ number.wrapping_shr(63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number.wrapping_shr(1) as i64) ^ (number as i64 & 1).wrapping_neg()
}

/// Appends a number as LEB128.
pub fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number = number.wrapping_shr(7);
    }
    bytes.push(number as u8);
}

/// Reads a LEB128 number from the front of `bytes` and moves them past it.
///
/// # Errors
/// If the bytes end inside the number, or the number is longer than 64 bits.
pub fn read_varint(bytes: &mut &[u8]) -> Result<u64, EncodingError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(EncodingError)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return Err(EncodingError);
        }
        number |= part.wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(EncodingError)
}

/// Computes [`OCTAVE`] by repeated square roots in integers, at compile time.
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
const fn octave() -> [u64; PER_OCTAVE as usize] {
    // roots[i] = floor(2^(2^-i) × 2^63): 2, √2, ⁴√2 … 2^(1/64).
    let mut roots = [0_u64; 7];
    let mut square = 2_u128 << 126;
    let mut i = 1;
    while i < 7 {
        let root = sqrt(square);
        roots[i] = root as u64;
        square = root << 63;
        i += 1;
    }
    let mut table = [0_u64; PER_OCTAVE as usize];
    let mut k = 0;
    while k < PER_OCTAVE as usize {
        let mut product = 1_u128 << 63;
        let mut bit = 0;
        while bit < 6 {
            if k & (1 << bit) != 0 {
                product = (product * roots[6 - bit] as u128) >> 63;
            }
            bit += 1;
        }
        // The truncations above lose less than 2^-55 of the value.
        table[k] = product as u64;
        k += 1;
    }
    table
}

/// The integer square root, by bisection.
#[allow(clippy::arithmetic_side_effects)]
const fn sqrt(square: u128) -> u128 {
    let (mut low, mut high) = (0_u128, 1_u128 << 64);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match middle.checked_mul(middle) {
            Some(product) if product <= square => low = middle,
            _ => high = middle,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bits of `number^64`, by schoolbook squaring.
    fn bits_of_64th_power(number: u32) -> u32 {
        let mut digits = vec![number];
        for _ in 0..6 {
            let mut square = vec![0_u32; digits.len() * 2];
            for (i, &a) in digits.iter().enumerate() {
                let mut carry = 0_u64;
                for (j, &b) in digits.iter().enumerate() {
                    let sum = u64::from(a) * u64::from(b) + u64::from(square[i + j]) + carry;
                    square[i + j] = sum as u32;
                    carry = sum >> 32;
                }
                square[i + digits.len()] = carry as u32;
            }
            digits = square;
        }
        let top = digits.iter().rposition(|&digit| digit != 0).expect("a positive number");
        top as u32 * 32 + digits[top].ilog2() + 1
    }

    #[test]
    fn boundaries_are_exact() {
        assert_eq!(bucket(0), 0);
        for exponent in 0..u32::from(BUCKETS - 1) {
            // number >= 2^(exponent/64) if and only if number^64 >= 2^exponent, which has exponent + 1 bits.
            let reaches = |number: u32| bits_of_64th_power(number) > exponent;
            let guess = (f64::from(exponent) / 64.0).exp2().round() as u32;
            let first = (guess.saturating_sub(1).max(1)..=guess + 1).find(|&number| reaches(number));
            let first = first.expect("a guess is off by one at most");
            assert!(first == 1 || !reaches(first - 1));
            assert!(u32::from(bucket(first)) > exponent, "{first} is under boundary {exponent}");
            assert!(u32::from(bucket(first - 1)) <= exponent, "{} is over boundary {exponent}", first - 1);
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn counts_cancel_out() {
        let mut histogram = Histogram::default();
        let value = Value::new(Metric::Lcp, 2_500.0).unwrap();
        histogram.add(Metric::Lcp, value, 3);
        assert_eq!((histogram.n(), histogram.rated(Rating::Good)), (3, 3));
        histogram.add(Metric::Lcp, value, -3);
        assert!(histogram.is_empty());
        histogram.add(Metric::Lcp, value, 0);
        assert!(histogram.is_empty());
    }

    #[test]
    fn rating_counters_are_summed_without_buckets() {
        // A list, a list with corrections, and bit planes.
        let (mut sum, mut whole) = (Sum::default(), Sum::default());
        for (numbers, by) in [(3, 1), (3, -1), (300, 1)] {
            let mut histogram = Histogram::default();
            for number in 0..numbers {
                let value = Value::new(Metric::Lcp, 2_000.0 + 9.0 * f64::from(number)).unwrap();
                histogram.add(Metric::Lcp, value, by);
            }
            let mut bytes = Vec::new();
            histogram.encode(&mut bytes);
            sum.add_encoded_ratings(&bytes).unwrap();
            whole.add_encoded(&mut &bytes[..]).unwrap();
            assert_eq!(sum.add_encoded_ratings(&bytes[..3]), Err(EncodingError), "the header is cut off");
        }
        let (ratings, whole) = (sum.finish_ratings(), whole.finish());
        assert_eq!(ratings.n(), 300);
        assert_eq!(
            Rating::ALL.map(|rating| ratings.rated(rating)),
            Rating::ALL.map(|rating| whole.rated(rating))
        );
        assert_eq!(ratings.percentile(Metric::Lcp, 75), None);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for step in [1.0, 900.0] {
            let mut histogram = Histogram::default();
            for number in 0..20 {
                let value = Value::new(Metric::Lcp, 2_500.0 + step * f64::from(number)).unwrap();
                histogram.add(Metric::Lcp, value, 300);
            }
            let mut bytes = Vec::new();
            histogram.encode(&mut bytes);
            for len in 0..bytes.len() {
                assert_eq!(Histogram::decode(&mut &bytes[..len]), Err(EncodingError), "cut off at {len}");
            }
        }
        for damaged in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0][..], // more buckets than there are
            &[4, 0, 0, 0, 0x81, 0x10, 0, 0xc0],                                   // a bucket beyond the last
            &[8, 0, 0, 0, 0x80, 0x10, 0, 0xf0],                                   // a gap beyond the last
            &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],                                   // a symbol without end
            &[3, 0, 0, 0],                                                        // no form
            &[6, 0, 0, 0, 2, 1],                                                  // a plane that is cut off
            &[0x80; 11],                                                          // a number without end
        ] {
            assert_eq!(Histogram::decode(&mut &damaged[..]), Err(EncodingError), "{damaged:?}");
        }
        let bits_65 = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(read_varint(&mut &bits_65[..]), Err(EncodingError));
    }
}
