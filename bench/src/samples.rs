//! What was measured, one value a round.

/// The values of one figure, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle value; of an even number, the mean of the middle two. NaN of none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// The smallest and the greatest.
    pub(crate) fn range(&self) -> (f64, f64) {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }

    /// Round by round, these values over those: what both met in a round cancels out.
    pub(crate) fn over(&self, limit: &Self) -> Self {
        self.0.iter().zip(&limit.0).map(|(ours, limit)| ours / limit).collect()
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples<const N: usize>(values: [f64; N]) -> Samples {
        values.into_iter().collect()
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert!((samples([9.0, 1.0, 5.0]).median() - 5.0).abs() < f64::EPSILON);
        assert!((samples([4.0, 1.0, 2.0, 9.0]).median() - 3.0).abs() < f64::EPSILON);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn ratios_pair_what_was_measured_in_the_same_round() {
        let ratios = samples([10.0, 30.0]).over(&samples([20.0, 30.0]));
        assert_eq!(ratios, samples([0.5, 1.0]));
        assert_eq!(ratios.range(), (0.5, 1.0));
    }
}
