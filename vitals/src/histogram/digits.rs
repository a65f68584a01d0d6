//! Counts of many buckets, stored by their binary digits, so that one addition adds 64 counts.
//!
//! A word holds one digit of 64 neighboring counts. Words are added like in a hardware adder: a sum and a carry, digit
//! by digit.

use super::plane::Plane;

/// Digits of a count; the caller receives further carries.
pub(super) const COUNT: usize = 12;

/// Bytes of a plane in a word.
const WORD: usize = 8;

/// Non-negative counts of a range of words.
#[derive(Clone, Debug, Default)]
pub(super) struct Digits {
    /// The index of the first word.
    first: usize,
    words: Vec<[u64; COUNT]>,
    /// Words, with the buckets whose last digit overflowed.
    beyond: Vec<(usize, u64)>,
}

impl Digits {
    /// Adds planes, lowest digit first: at most [`COUNT`]. [`Self::take_beyond`] returns overflows of the last digit.
    pub(super) fn add(&mut self, planes: &[Plane<'_>]) {
        let set = || planes.iter().filter(|plane| !plane.bytes.is_empty());
        let (Some(first), Some(end)) = (set().map(|plane| plane.first).min(), set().map(Plane::end).max())
        else {
            return;
        };
        let (first, end) = (first.wrapping_div(WORD), end.div_ceil(WORD));
        self.widen(first, end);
        let start = first.saturating_sub(self.first);
        let words = self.words.get_mut(start..).unwrap_or_default();
        for (number, word) in (first..end).zip(words) {
            let at = number.saturating_mul(WORD);
            let mut carry = 0;
            let mut digits = word.iter_mut();
            for (plane, digit) in planes.iter().zip(&mut digits) {
                let (was, more) = (*digit, plane.word(at));
                *digit = was ^ more ^ carry;
                carry = (was & more) | (carry & (was ^ more));
            }
            while carry != 0 {
                let Some(digit) = digits.next() else {
                    self.beyond.push((number, carry));
                    break;
                };
                let was = *digit;
                *digit = was ^ carry;
                carry &= was;
            }
        }
    }

    /// Extends the range of words.
    fn widen(&mut self, first: usize, end: usize) {
        if self.words.is_empty() {
            self.first = first;
        }
        if let Some(more) = self.first.checked_sub(first).filter(|&more| more > 0) {
            self.words.splice(0..0, core::iter::repeat_n([0; COUNT], more));
            self.first = first;
        }
        let len = end.saturating_sub(self.first);
        if len > self.words.len() {
            self.words.resize(len, [0; COUNT]);
        }
    }

    /// Returns the words, with the buckets whose last digit overflowed, since the last call.
    pub(super) fn take_beyond(&mut self) -> Vec<(usize, u64)> {
        core::mem::take(&mut self.beyond)
    }

    /// Returns the range of words.
    pub(super) fn range(&self) -> core::ops::Range<usize> {
        self.first..self.first.saturating_add(self.words.len())
    }

    /// Returns the counts of a word's buckets.
    pub(super) fn counts(&self, number: usize) -> [i64; 64] {
        let mut counts = [0; 64];
        let word = number.checked_sub(self.first).and_then(|place| self.words.get(place));
        let Some(word) = word else { return counts };
        for (byte, counts) in (0..).step_by(8).zip(counts.chunks_exact_mut(8)) {
            for (shift, digits) in (0..).step_by(8).zip(word.chunks(8)) {
                for (count, low) in counts.iter_mut().zip(turned(digits, byte)) {
                    *count |= i64::from(low).wrapping_shl(shift);
                }
            }
        }
        counts
    }
}

/// Returns the numbers formed by the digits of eight buckets, whose bits start at `shift` in each word: transposes a
/// matrix of 8 × 8 bits (Warren, Hacker's Delight, 7-3).
fn turned(digits: &[u64], shift: u32) -> [u8; 8] {
    let mut rows = [0; 8];
    for (row, digit) in rows.iter_mut().zip(digits) {
        *row = digit.wrapping_shr(shift) as u8;
    }
    let mut bits = u64::from_le_bytes(rows);
    for (distance, mask) in
        [(7, 0x00aa_00aa_00aa_00aa_u64), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let swapped = (bits ^ bits.wrapping_shr(distance)) & mask;
        bits ^= swapped ^ swapped.wrapping_shl(distance);
    }
    bits.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_turned() {
        let digits = [0b0000_0001, 0b1000_0000, 0, 0, 0, 0, 0, 0b0100_0001];
        assert_eq!(turned(&digits, 0), [0b1000_0001, 0, 0, 0, 0, 0, 0b1000_0000, 0b10]);
        assert_eq!(turned(&[0x0300], 8), [1, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn counts_add_up_and_what_is_beyond_is_handed_out() {
        let mut digits = Digits::default();
        // Buckets 72 and 83, three each, seven times more than the digits can count.
        let plane = Plane { first: 9, bytes: &[1, 8] };
        for _ in 0..7 << COUNT {
            digits.add(&[plane, plane]);
        }
        let beyond = digits.take_beyond();
        assert_eq!((beyond.len(), beyond[0]), (3 * 7, (1, 1 << 8 | 1 << 19)));
        assert!(digits.take_beyond().is_empty() && digits.counts(1) == [0; 64]);
        digits.add(&[Plane::default(), plane]);
        digits.add(&[Plane { first: 0, bytes: &[0x80] }]);
        digits.add(&[Plane { first: 40, bytes: &[2; 9] }]);
        assert_eq!(digits.range(), 0..7);
        let counted: Vec<(usize, i64)> = digits
            .range()
            .flat_map(|word| (word * 64..).zip(digits.counts(word)))
            .filter(|&(_, count)| count > 0)
            .collect();
        let last = (0..9).map(|byte| (321 + 8 * byte, 1));
        assert_eq!(counted, [(7, 1), (72, 2), (83, 2)].into_iter().chain(last).collect::<Vec<_>>());
    }
}
