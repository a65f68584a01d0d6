//! Exponential Golomb codes, packed into bits, most significant first.
//!
//! The code of order `k` of a number `n` is `n + 2^k` in binary, preceded by a zero for each bit beyond `k + 1`. Small
//! numbers take few bits, and any number can be encoded.

/// The largest order: orders are stored in 4 bits.
const ORDER_MAX: u8 = 15;

/// Returns the order for numbers with this sum: the order of their mean.
pub(super) fn order(sum: u64, numbers: usize) -> u8 {
    let mean = sum.checked_div(numbers as u64).unwrap_or(0);
    (mean.checked_ilog2().unwrap_or(0) as u8).min(ORDER_MAX)
}

/// Returns the number of bits of a number's code.
pub(super) fn len(number: u64, order: u8) -> u32 {
    let code = u128::from(number).wrapping_add(1_u128.wrapping_shl(u32::from(order)));
    let code_bits = 128_u32.wrapping_sub(code.leading_zeros());
    code_bits.saturating_mul(2).saturating_sub(u32::from(order)).saturating_sub(1)
}

/// Appends codes to bytes.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits of the incomplete last byte, in the lowest places.
    held: u64,
    held_bits: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, held: 0, held_bits: 0 }
    }

    pub(super) fn write(&mut self, number: u64, order: u8) {
        // Counts are at most i64::MAX, zigzag-encoded u64::MAX − 1, so the sum may need 65 bits.
        let code = u128::from(number).wrapping_add(1_u128.wrapping_shl(u32::from(order)));
        let code_bits = 128_u32.wrapping_sub(code.leading_zeros());
        self.push(0, code_bits.saturating_sub(u32::from(order)).saturating_sub(1));
        if code_bits > 32 {
            self.push(code.wrapping_shr(64) as u64, code_bits.saturating_sub(64));
            self.push((code as u64).wrapping_shr(32), code_bits.min(64).saturating_sub(32));
        }
        self.push(code as u64, code_bits.min(32));
    }

    /// Appends the lowest `bits` of a number: at most 64 zeros, or 32 bits of any number.
    fn push(&mut self, number: u64, bits: u32) {
        let mut left = bits;
        while left > 0 {
            let now = left.min(32);
            left = left.wrapping_sub(now);
            let part = number.checked_shr(left).unwrap_or(0) & 1_u64.wrapping_shl(now).wrapping_sub(1);
            self.held = self.held.wrapping_shl(now) | part;
            self.held_bits = self.held_bits.wrapping_add(now);
            while self.held_bits >= 8 {
                self.held_bits = self.held_bits.wrapping_sub(8);
                self.bytes.push(self.held.wrapping_shr(self.held_bits) as u8);
            }
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(mut self) {
        if self.held_bits > 0 {
            self.push(0, 8_u32.wrapping_sub(self.held_bits));
        }
    }
}

/// Reads codes from the front of bytes.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Number of bits read.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns at least the next 57 bits, from the top down, with zeros past the end.
    fn peek(&self) -> u64 {
        let (byte, bit) = (self.at.wrapping_shr(3), (self.at & 7) as u32);
        let rest = self.bytes.get(byte..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(&bytes) => u64::from_be_bytes(bytes),
            None => {
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(rest) {
                    *to = *from;
                }
                u64::from_be_bytes(bytes)
            }
        };
        word.wrapping_shl(bit)
    }

    /// Reads the next number from a code of this order. `None` if the bytes end inside the code, or the number exceeds
    /// 64 bits.
    pub(super) fn read(&mut self, order: u8) -> Option<u64> {
        let word = self.peek();
        let zeros = word.leading_zeros();
        let code_bits = zeros.wrapping_add(1).wrapping_add(u32::from(order));
        let bits = zeros.wrapping_add(code_bits);
        if bits > 57 {
            return self.read_long(order);
        }
        self.advance(bits)?;
        let code = word.wrapping_shr(64_u32.wrapping_sub(bits));
        Some(code.wrapping_sub(1_u64.wrapping_shl(u32::from(order))))
    }

    /// Reads the next two numbers, like [`Self::read`] twice. Short codes, which are nearly all, are read with one
    /// peek.
    pub(super) fn read_pair(&mut self, first: u8, second: u8) -> Option<(u64, u64)> {
        let word = self.peek();
        let bits = |word: u64, order: u8| {
            word.leading_zeros().wrapping_mul(2).wrapping_add(u32::from(order)).wrapping_add(1)
        };
        let first_bits = bits(word, first);
        if first_bits < 40 {
            let rest = word.wrapping_shl(first_bits);
            let second_bits = bits(rest, second);
            let both = first_bits.wrapping_add(second_bits);
            if both <= 57 {
                self.advance(both)?;
                let number = |word: u64, bits: u32, order: u8| {
                    word.wrapping_shr(64_u32.wrapping_sub(bits))
                        .wrapping_sub(1_u64.wrapping_shl(u32::from(order)))
                };
                return Some((number(word, first_bits, first), number(rest, second_bits, second)));
            }
        }
        Some((self.read(first)?, self.read(second)?))
    }

    /// Like [`Self::read`], for codes longer than one peek.
    #[cold]
    fn read_long(&mut self, order: u8) -> Option<u64> {
        let mut zeros = 0_u32;
        while self.bit()? == 0 {
            zeros = zeros.checked_add(1).filter(|&zeros| zeros <= 64)?;
        }
        let mut code = 1_u128;
        for _ in 0..zeros.checked_add(u32::from(order))? {
            code = code.checked_mul(2)? | u128::from(self.bit()?);
        }
        u64::try_from(code.checked_sub(1_u128.wrapping_shl(u32::from(order)))?).ok()
    }

    fn bit(&mut self) -> Option<u8> {
        let bit = self.peek().wrapping_shr(63) as u8;
        self.advance(1)?;
        Some(bit)
    }

    fn advance(&mut self, bits: u32) -> Option<()> {
        let at = self.at.checked_add(bits as usize)?;
        if at > self.bytes.len().checked_mul(8)? {
            return None;
        }
        self.at = at;
        Some(())
    }

    /// Returns the bytes after the byte of the last bit read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at.div_ceil(8)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_read_back_in_any_order() {
        let numbers: Vec<u64> =
            (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]).collect();
        for order in 0..=ORDER_MAX {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            for &number in &numbers {
                writer.write(number, order);
            }
            writer.finish();
            let mut reader = Reader::new(&bytes);
            for &number in &numbers {
                assert_eq!(reader.read(order), Some(number), "order {order}");
            }
            let mut reader = Reader::new(&bytes);
            let (pairs, last) = numbers.as_chunks::<2>();
            for &[a, b] in pairs {
                assert_eq!(reader.read_pair(order, order), Some((a, b)), "order {order}");
            }
            assert_eq!(reader.read(order).as_ref(), last.first(), "order {order}");
            assert!(reader.rest().is_empty());
            assert_eq!(Reader::new(&bytes[..3]).read(order).and(Reader::new(&[]).read(order)), None);
        }
    }

    #[test]
    fn small_numbers_take_few_bits() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        for number in [0, 0, 1, 2] {
            writer.write(number, 0);
        }
        writer.finish();
        assert_eq!(bytes, [0b1101_0011]);
    }

    #[test]
    fn order_is_that_of_the_mean() {
        let orders = [(0, 0), (0, 5), (7, 4), (8, 4), (15, 4), (16, 4), (1_000, 10), (u64::MAX, 1)];
        assert_eq!(orders.map(|(sum, numbers)| order(sum, numbers)), [0, 0, 0, 1, 1, 2, 6, ORDER_MAX]);
    }

    #[test]
    fn length_is_what_a_code_takes() {
        for order in [0, 1, 5, ORDER_MAX] {
            for number in [0, 1, 2, 30, 31, 32, 1_000, u64::from(u32::MAX), u64::MAX] {
                let mut bytes = Vec::new();
                let mut writer = Writer::new(&mut bytes);
                writer.write(number, order);
                let bits = 8 * writer.bytes.len() as u32 + writer.held_bits;
                assert_eq!(len(number, order), bits, "{number} in order {order}");
            }
        }
        assert_eq!([len(0, 0), len(1, 0), len(6, 0), len(0, 5)], [1, 3, 5, 6]);
    }
}
