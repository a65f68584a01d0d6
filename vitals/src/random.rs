//! Random numbers of the simulations in tests.

/// SplitMix64 (Steele, Lea and Flood 2014), so that the simulations are the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a number from 0 to, not including, 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a log-normal value with σ = 0.7, the spread of field LCP, and the given 75th percentile.
    pub(crate) fn log_normal(&mut self, p75: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let normal = radius * (core::f64::consts::TAU * self.uniform()).cos();
        p75 * (0.7 * (normal - 0.674_489_75)).exp()
    }
}
