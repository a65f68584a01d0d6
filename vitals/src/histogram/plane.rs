//! One bit plane: the set of buckets whose counts have one binary digit. See [`planes`](super::planes) for its bytes.

use super::{BUCKETS, EncodingError, read_varint};

/// A plane that was read.
#[derive(Clone, Copy, Default)]
pub(super) struct Plane<'a> {
    /// The first bucket divided by 8.
    pub(super) first: usize,
    /// At least one byte.
    pub(super) bytes: &'a [u8],
}

impl<'a> Plane<'a> {
    /// Reads a plane from the front of `bytes` and advances them past it; `None` if no count has the digit.
    pub(super) fn read(bytes: &mut &'a [u8]) -> Result<Option<Self>, EncodingError> {
        let len = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
        if len == 0 {
            return Ok(None);
        }
        let first = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
        let (plane, rest) = bytes.split_at_checked(len).ok_or(EncodingError)?;
        *bytes = rest;
        let end = first.checked_add(len).ok_or(EncodingError)?;
        let is_past = match end.checked_sub(BYTES) {
            None => false,
            // The last possible byte contains only the last bucket.
            Some(0) => plane.last().is_some_and(|&last| last & !LAST != 0),
            Some(_) => true,
        };
        if is_past { Err(EncodingError) } else { Ok(Some(Self { first, bytes: plane })) }
    }

    /// Returns the exclusive end, in bytes of a plane of all buckets.
    pub(super) const fn end(&self) -> usize {
        self.first.saturating_add(self.bytes.len())
    }

    /// Returns the bits of the 64 buckets from byte `at` on.
    pub(super) fn word(&self, at: usize) -> u64 {
        match at.checked_sub(self.first) {
            Some(start) => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                match rest.first_chunk::<8>() {
                    Some(&whole) => u64::from_le_bytes(whole),
                    None => last_word(rest, self.bytes),
                }
            }
            None => {
                let zeros = self.first.saturating_sub(at).saturating_mul(8);
                let front = match self.bytes.first_chunk::<8>() {
                    Some(&whole) => u64::from_le_bytes(whole),
                    None => last_word(self.bytes, self.bytes),
                };
                front.checked_shl(zeros as u32).unwrap_or(0)
            }
        }
    }
}

/// Returns the eight bytes from `rest` on, which is the end of `all` and shorter than eight bytes, padded with zeros.
fn last_word(rest: &[u8], all: &[u8]) -> u64 {
    // If there is a last whole word, shifts its bits down.
    if let Some(&whole) = all.last_chunk::<8>() {
        let missing = 8_usize.saturating_sub(rest.len()).saturating_mul(8);
        return u64::from_le_bytes(whole).checked_shr(missing as u32).unwrap_or(0);
    }
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// Bytes of a plane of all buckets, and the valid bits of its last byte.
const BYTES: usize = (BUCKETS as usize).div_ceil(8);
const LAST: u8 = (1_u16.wrapping_shl(BUCKETS as u32 - (BYTES as u32 - 1) * 8) - 1) as u8;
